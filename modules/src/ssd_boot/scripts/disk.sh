# What every step of the move knows about the disk. Set before: $disk.
#
# How far the move is stands on the disk itself, in bytes 256 to 439 of its first sector: room for a PC's boot code, which a
# Pi never runs. It is written together with the partition table, in the one sector that a disk writes whole or not at all:
#
#   feeder-ssd STAGE SUM UUID .
#
# STAGE  made, formatted, copied, sealed
# SUM    of disk id and partition table: whoever partitions the disk anew takes it out of our hands
# UUID   of the root file system, for the same reason; - before there is one

fail() {
  echo "$*" >&2
  exit 1
}

# await_disk: gives a disk the time that it needs to be found when the master has just started: sshd answers while udev still
# handles what the kernel found, and a USB disk is looked at a second after its cable is.
await_disk() {
  if [ -e "$disk" ] || ! command -v udevadm >/dev/null; then return; fi
  udevadm settle || :
  udevadm wait --timeout=15 "$disk" 2>/dev/null || :
}

# find_disk: sets $device and its two partitions.
find_disk() {
  await_disk
  device=$(readlink -e "$disk") && [ -b "$device" ] || return 1
  case $device in
    *[0-9]) boot_device=${device}p1 root_device=${device}p2 ;;
    *) boot_device=${device}1 root_device=${device}2 ;;
  esac
}

need_disk() {
  find_disk || fail "$disk is not there: is it plugged in, and has it enough power?"
}

# sum_of_table FILE
sum_of_table() {
  of_table=$(head -c 512 "$1" | tail -c 72 | cksum)
  echo "${of_table%% *}"
}

uuid_of() { blkid -p -s UUID -o value "$1" 2>/dev/null; }

# stage: prints none when the disk is not ours, or not any more.
stage() {
  mark=$(head -c 440 "$device" 2>/dev/null | tail -c 184 | LC_ALL=C tr -cd ' -~')
  case $mark in
    'feeder-ssd '*' .') ;;
    *) echo none; return ;;
  esac
  # Only printable characters, and none that the shell expands: it begins and ends as ours do.
  set -f
  # shellcheck disable=SC2086
  set -- $mark
  set +f
  if [ "$3" != "$(sum_of_table "$device")" ]; then
    echo none
  elif [ "$2" != made ] && [ "$4" != "$(uuid_of "$root_device")" ]; then
    echo none
  else
    echo "$2"
  fi
}

# write_mark FILE STAGE UUID: in one write, after all that it claims is on the disk.
write_mark() {
  text="feeder-ssd $2 $(sum_of_table "$1") $3 ."
  { printf '%s' "$text"; head -c $((184 - ${#text})) /dev/zero; } |
    dd of="$1" bs=184 count=1 iflag=fullblock oflag=seek_bytes seek=256 conv=notrunc,fsync status=none
}

# reached STAGE
reached() {
  flush
  write_mark "$device" "$1" "$(uuid_of "$root_device")"
}

# flush: what was written is on the medium, and what is read next comes from there.
flush() {
  for each in "$device" "$boot_device" "$root_device"; do
    if [ -b "$each" ]; then sync "$each"; blockdev --flushbufs "$each"; fi
  done
}

# flush_files FOLDER: all of its file system is on the medium. Of a FAT the first of these only hands all to the disk, which may
# lose what is in its cache or write it in another order; the second has it write its cache, too.
flush_files() {
  sync -f "$1"
  sync "$1"
}

# find_partitions: has the kernel read the table, and sets $disk_id.
find_partitions() {
  if [ ! -b "$root_device" ] || [ ! -b "$boot_device" ]; then
    blockdev --rereadpt "$device" 2>/dev/null || :
    [ -b "$root_device" ] || partx -u "$device"
    ! command -v udevadm >/dev/null || udevadm settle
  fi
  [ -b "$root_device" ] && [ -b "$boot_device" ] || fail "the kernel does not show the partitions of $device"
  disk_id=$(blkid -p -s PTUUID -o value "$device") || fail "$device has no disk id"
}

# in_use: prints what keeps the disk busy, if anything does.
in_use() {
  names=$(lsblk -nro KNAME "$device") || fail "lsblk does not know $device"
  for name in $names; do
    for holder in /sys/class/block/"$name"/holders/*; do
      [ ! -e "$holder" ] || echo "$name is part of ${holder##*/}"
    done
    ! grep -q "^/dev/$name " /proc/swaps || echo "$name is swap"
    awk -v device="/dev/$name" '$1 == device { print device " is mounted on " $2 }' /proc/mounts
  done | sort -u
}
