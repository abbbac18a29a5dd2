# The last copy, with everything that writes stopped; the proof that the SSD holds it all; and the switch.
# Set before: $services, $way (kept, removed, eeprom).

stop_services() {
  stopped=
  for unit in $services; do
    if systemctl is-active -q "$unit"; then
      stopped="$unit $stopped"
      systemctl stop "$unit"
    fi
  done
}

# ended: a move that failed leaves the master as it was.
ended() {
  status=$?
  blame "$status"
  release || :
  rm -f "$work/first-sector"
  # shellcheck disable=SC2086
  if [ "$status" -ne 0 ] && [ -n "${stopped-}" ]; then systemctl start $stopped || :; fi
}

# same_root: fsck, and a sample of files that nobody has changed since the copy began, read from the medium.
same_root() {
  case $file_system in
    ext4) e2fsck -f -n "$root_device" >/dev/null 2>&1 || fail "fsck finds mistakes in the copy on $disk" ;;
    f2fs) fsck.f2fs --dry-run "$root_device" >/dev/null 2>&1 || fail "fsck finds mistakes in the copy on $disk" ;;
  esac
  mount -t "$file_system" -o ro "$root_device" "$work/root"
  mount --bind "$source" "$work/source"
  (
    cd "$work/source"
    find . -xdev -type f ! -newer "$work/began" -size -16M ! -path './tmp/*' ! -path ./etc/fstab ! -path ./swapfile | sort >"$work/files"
    awk -v step=$((1 + $(wc -l <"$work/files") / 200)) 'NR % step == 0' "$work/files" | while IFS= read -r file; do
      cmp -s "$file" "$work/root/$file" || [ ! -e "$file" ] || [ "$file" -nt "$work/began" ] || { echo "$file"; break; }
    done >"$work/differs"
  )
  differs=$(cat "$work/differs")
  rm -f "$work/files" "$work/differs"
  release
  [ -z "$differs" ] || fail "${differs#.} on $disk is not what it is here"
}

set -eu
need_copy
watch_disk
ticker=
copier=
trap ended EXIT
trap 'exit 1' HUP INT TERM
to_the_beginning
stop_services

mkdir -p "$work"
free_disk
repair
mount_both
: >"$work/began"
tell_progress copied_files
copy_all
stop_telling
fstab_for <"$work/source/etc/fstab" | write_whole "$work/root/etc/fstab"
own=$work/root/.feeder-ssd
make_boot_image "$own"
write_boot
head -c 512 "$image" >"$work/first-sector"
sum=$(head -c "$extent" "$image" | sha256sum | cut -d ' ' -f 1)
rm -rf "$own"
sync -f "$work/root"
release
flush
same_root
seal "$work/first-sector" "$sum"
case $way in
  kept) card_leaves ;;
  eeprom) eeprom_prefers_usb ;;
  removed) ;;
esac
trap - EXIT
rm -f "$work/first-sector"
