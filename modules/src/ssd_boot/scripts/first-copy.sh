# The bulk of the copy, while everything runs. Can be cut off and goes on where it was.
set -eu
need_disk
[ "$(stage)" = formatted ] || exit 0
find_partitions
ticker=
trap release EXIT
trap 'exit 1' HUP INT TERM
mount_both
tell_progress
copy_all
release
reached copied
