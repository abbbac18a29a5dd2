# The bulk of the copy, while everything runs.
set -eu
need_disk
[ "$(stage)" = formatted ] || exit 0
watch_disk
find_partitions
ticker=
copier=
trap 'copy_ended $?' EXIT
trap 'exit 1' HUP INT TERM
free_disk
if blocks_suffice; then
  copy_blocks
else
  repair
  mount_both
  tell_progress copied_files
  copy_all
fi
release
reached copied
