# Makes the root file system. Until the end of it the disk says that there is none. Set before: $file_system.
set -eu
need_disk
[ "$(stage)" = made ] || exit 0
watch_disk
trap 'blame $?' EXIT
find_partitions
busy=$(in_use)
[ -z "$busy" ] || fail "$disk is in use: $busy"
case $file_system in
  ext4) mkfs.ext4 -q -F -L feeder-root "$root_device" ;;
  f2fs) mkfs.f2fs -q -f -l feeder-root "$root_device" ;;
esac
reached formatted
