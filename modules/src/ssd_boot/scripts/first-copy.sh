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
release || fail "a run that was killed still uses $disk; reboot the master"
if blocks_suffice; then
  copy_blocks
else
  mount_both
  tell_progress copied_files
  copy_all
fi
release
reached copied
