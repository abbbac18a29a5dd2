# Copies the running system. Set before: $source, $images, $work, $file_system.

# release: whatever this or a killed run left mounted, and the processes that copy and tell how far we are.
release() {
  for process in ${ticker-} ${copier-}; do
    kill "$process" 2>/dev/null || :
    wait "$process" 2>/dev/null || :
  done
  ticker= copier=
  for mount in "$work/source" "$work/root"; do
    while mountpoint -q "$mount" 2>/dev/null; do umount "$mount" || return 1; done
  done
}

# copy_ended STATUS
copy_ended() {
  blame "$1"
  release || :
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

# free_disk: nothing of a run that was killed is in the way.
free_disk() { release || fail "a run that was killed still uses $disk; reboot the master"; }

mount_both() {
  mkdir -p "$work/root" "$work/source"
  mount -t "$file_system" -o noatime "$root_device" "$work/root"
  # By itself, without what is mounted on it: proc, the boot partition, this copy.
  mount --bind "$source" "$work/source"
}

used() { df -B1 --output=used "$1" | tail -n 1 | tr -d ' '; }

# copied_files: bytes on the mounted copy.
copied_files() { used "$work/root"; }

# tell_progress COMMAND [TOTAL]: what it prints, of TOTAL or the bytes in use; now, and once a second until $ticker is killed. Ends
# the copy when the disk takes nothing any more: what copies would try every file that is left.
tell_progress() {
  total=${2-$(used "$source")}
  tell "$($1 2>/dev/null)"
  # Not to hold the pipe open by which we are read, when it is we who end.
  while sleep 1 >/dev/null 2>&1; do
    [ -b "$device" ] && { ! mountpoint -q "$work/root" || [ -w "$work/root" ]; } || kill "$(cat "$work/copier" 2>/dev/null)" 2>/dev/null || :
    tell "$($1 2>/dev/null)"
  done &
  ticker=$!
}

# stop_telling: the process that does.
stop_telling() {
  kill "$ticker"
  wait "$ticker" 2>/dev/null || :
  ticker=
}

# tell BYTES: what is done may be more than what counts as used here: file systems differ in what they need for themselves.
tell() { [ -z "$1" ] || echo "feeder-progress $(($1 > total ? total : $1)) $total"; }

# wait_copier: sets $status to how it ended.
wait_copier() {
  echo "$copier" >"$work/copier"
  status=0
  wait "$copier" || status=$?
  copier=
  rm "$work/copier"
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

# sync_tree OPTION...: the root but for the images of workers. What a full disk cut off stays there, to show that it is full.
sync_tree() {
  rsync -aHAXS --numeric-ids --partial "$@" --exclude=/.feeder-copying --exclude=/lost+found --exclude='/tmp/*' --exclude=/swapfile --exclude=/var/swap \
    --exclude="$images/*/state.img" --exclude="$images/*/.state.img.partial" \
    "$work/source/" "$work/root/" &
  copier=$!
  wait_copier
  # 24: a file vanished while it was copied, which a running system does.
  [ "$status" -eq 0 ] || [ "$status" -eq 24 ] || fail "rsync stopped with status $status"
}

# copy_all: what is not there yet or differs; what is gone goes. Images of workers come last and by themselves, because rsync
# would read every byte of their holes.
#
# After a power cut a file can have its size and date and not its content. So a copy is marked until all of it is on the
# medium, and one that was cut off is gone over by content.
copy_all() {
  mark_of_copy=$work/root/.feeder-copying
  how=--times
  [ ! -e "$mark_of_copy" ] || how=--checksum
  : >"$mark_of_copy"
  sync -f "$work/root"
  sync_tree $how --delete
  for image in "$work/source$images"/*/state.img; do
    [ ! -f "$image" ] || copy_image "${image#"$work/source"}"
  done
  sync -f "$work/root"
  rm "$mark_of_copy"
}
