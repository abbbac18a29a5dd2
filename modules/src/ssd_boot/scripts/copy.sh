# Copies the running system. Set before: $source, $images, $work, $file_system.

# release: whatever this or a killed run left mounted, and the helper that tells how far we are.
release() {
  if [ -n "${ticker-}" ]; then kill "$ticker" 2>/dev/null || :; wait "$ticker" 2>/dev/null || :; ticker=; fi
  for mount in "$work/source" "$work/root"; do
    while mountpoint -q "$mount" 2>/dev/null; do umount "$mount" || return 1; done
  done
}

# repair: a power cut leaves a journal to replay, and worse on disks that lie about their caches.
repair() {
  status=0
  case $file_system in
    ext4) fsck=e2fsck; e2fsck -p "$root_device" >/dev/null 2>&1 || status=$?
      if [ $status -ge 4 ]; then status=0; e2fsck -f -y "$root_device" >/dev/null 2>&1 || status=$?; fi ;;
    f2fs) fsck=fsck.f2fs; fsck.f2fs -a "$root_device" >/dev/null 2>&1 || status=$? ;;
  esac
  [ $status -lt 4 ] && return
  # Nothing is lost: the system still runs from where it is copied from.
  write_mark "$device" made -
  fail "$fsck cannot repair the copy on $disk (status $status); run it again, and it is made anew"
}

mount_both() {
  release || fail "a run that was killed still uses $disk; reboot the master"
  mkdir -p "$work/root" "$work/source"
  repair
  mount -t "$file_system" -o noatime "$root_device" "$work/root"
  # By itself, without what is mounted on it: proc, the boot partition, this copy.
  mount --bind "$source" "$work/source"
}

used() { df -B1 --output=used "$1" | tail -n 1 | tr -d ' '; }

# tell_progress: now, and once a second until $ticker is killed.
tell_progress() {
  total=$(used "$work/source")
  echo "feeder-progress $(used "$work/root") $total"
  # Not to hold the pipe open by which we are read, when it is we who end.
  while sleep 1 >/dev/null 2>&1; do echo "feeder-progress $(used "$work/root") $total"; done &
  ticker=$!
}

# copy_image FILE: sparse regions are neither read nor written. A part of it never has its name.
copy_image() {
  from=$work/source$1
  to=$work/root$1
  if [ -f "$to" ] && [ "$(stat -c '%s %Y' "$to")" = "$(stat -c '%s %Y' "$from")" ]; then return; fi
  partial=${to%/*}/.${to##*/}.partial
  cp --sparse=always --preserve=all --remove-destination "$from" "$partial"
  # Size and date are on the medium before the content is, unless one waits for it.
  sync "$partial"
  mv "$partial" "$to"
}

# copy_all: what is not there yet or differs; what is gone goes. Images of workers come last and by themselves, because rsync
# would read every byte of their holes.
#
# After a power cut a file can have its size and date and not its content. So a copy is marked until all of it is on the
# medium, and one that was cut off is gone over by content.
copy_all() {
  mark_of_copy=$work/root/.feeder-copying
  by=--times
  [ ! -e "$mark_of_copy" ] || by=--checksum
  : >"$mark_of_copy"
  sync -f "$work/root"
  status=0
  rsync -aHAXS $by --numeric-ids --delete --exclude=/.feeder-copying --exclude=/lost+found --exclude='/tmp/*' --exclude=/swapfile --exclude=/var/swap \
    --exclude="$images/*/state.img" --exclude="$images/*/.state.img.partial" \
    "$work/source/" "$work/root/" || status=$?
  # 24: a file vanished while it was copied, which a running system does.
  [ $status -eq 0 ] || [ $status -eq 24 ] || fail "rsync stopped with status $status"
  for image in "$work/source$images"/*/state.img; do
    [ ! -f "$image" ] || copy_image "${image#"$work/source"}"
  done
  sync -f "$work/root"
  rm "$mark_of_copy"
}
