# The bulk of the copy, while everything runs. Can be cut off and goes on where it was.
set -eu
need_disk
[ "$(stage)" = formatted ] || exit 0
watch_disk
find_partitions
ticker=
copiers=
trap 'copy_ended $?' EXIT
trap 'exit 1' HUP INT TERM
mount_both
tell_progress
copy_all
release
reached copied
