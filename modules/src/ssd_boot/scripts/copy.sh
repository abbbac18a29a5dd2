# Copies the running system. Set before: $source, $images, $work, $file_system.

# release: whatever this or a killed run left mounted, and the helpers that copy and tell how far we are.
release() {
  for helper in ${ticker-} ${copiers-}; do
    kill "$helper" 2>/dev/null || :
    wait "$helper" 2>/dev/null || :
  done
  ticker= copiers=
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

mount_both() {
  release || fail "a run that was killed still uses $disk; reboot the master"
  mkdir -p "$work/root" "$work/source"
  repair
  mount -t "$file_system" -o noatime "$root_device" "$work/root"
  # By itself, without what is mounted on it: proc, the boot partition, this copy.
  mount --bind "$source" "$work/source"
}

used() { df -B1 --output=used "$1" | tail -n 1 | tr -d ' '; }

# tell_progress: now, and once a second until $ticker is killed. Ends the copy when the disk takes nothing any more: what copies
# would try every file that is left.
tell_progress() {
  total=$(used "$work/source")
  echo "feeder-progress $(used "$work/root") $total"
  # Not to hold the pipe open by which we are read, when it is we who end.
  while sleep 1 >/dev/null 2>&1; do
    # shellcheck disable=SC2046
    [ -b "$device" ] && [ -w "$work/root" ] || kill $(cat "$work/copiers" 2>/dev/null) 2>/dev/null || :
    echo "feeder-progress $(used "$work/root") $total"
  done &
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

# copy_tree FOLDER OPTION...: that folder of the root and all below it, but for the images of workers.
copy_tree() {
  folder=$1
  shift
  rsync -aHAXSR --numeric-ids "$@" --exclude=/.feeder-copying --exclude=/lost+found --exclude='/tmp/*' --exclude=/swapfile --exclude=/var/swap \
    --exclude="$images/*/state.img" --exclude="$images/*/.state.img.partial" \
    "$work/source/.$folder" "$work/root/"
}

# is_empty ROOT: but for what is there before anything is copied.
is_empty() { [ -z "$(find "$1" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name .feeder-copying)" ]; }

# wait_copiers: sets $status to the worst of theirs. 24: a file vanished while it was copied, which a running system does.
wait_copiers() {
  echo "$copiers" >"$work/copiers"
  status=0
  for copier in $copiers; do
    one=0
    wait "$copier" || one=$?
    [ $one -eq 0 ] || [ $one -eq 24 ] || status=$one
  done
  copiers=
  rm "$work/copiers"
}

# copy_all: what is not there yet or differs; what is gone goes. Images of workers come last and by themselves, because rsync
# would read every byte of their holes.
#
# After a power cut a file can have its size and date and not its content. So a copy is marked until all of it is on the
# medium, and one that was cut off is gone over by content.
#
# The first copy is made by two at a time, because creating files keeps a processor busier than a disk: one has what workers
# boot from, which is about as large as the rest. It writes files where they will be, without a second name or a checksum:
# nobody looks at them before, and there is nothing that they could be linked to. A link between the two halves becomes two
# files, and one again by the next copy.
copy_all() {
  mark_of_copy=$work/root/.feeder-copying
  base=${images%/*}
  how=--times
  [ ! -e "$mark_of_copy" ] || how=--checksum
  ! is_empty "$work/root" || how=first
  : >"$mark_of_copy"
  sync -f "$work/root"
  if [ $how = first ] && [ -d "$work/source$base" ]; then
    copy_tree "$base/" --inplace --checksum-choice=none &
    copiers=$!
    copy_tree / --inplace --checksum-choice=none --exclude="$base/" &
    copiers="$copiers $!"
  else
    [ $how != first ] || how=--times
    copy_tree / $how --delete &
    copiers=$!
  fi
  wait_copiers
  [ "$status" -eq 0 ] || fail "rsync stopped with status $status"
  for image in "$work/source$images"/*/state.img; do
    [ ! -f "$image" ] || copy_image "${image#"$work/source"}"
  done
  sync -f "$work/root"
  rm "$mark_of_copy"
}
