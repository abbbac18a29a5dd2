# Frees the SD card: what it held of the system goes; bootcode.bin and `timeout`, which start the board, stay.
set -eu
on_disk
[ "$state" = running ] || fail "the master does not run from $disk (it is: $state); its card is needed"
find_card >/dev/null
[ -n "$card" ] || exit 0
mount -t vfat "$card" "$work/card"
trap 'umount "$work/card"' EXIT
[ -f "$work/card/bootcode.bin" ] || fail "bootcode.bin is missing on $card, without which the card starts nothing; nothing was deleted"
# The old root, and no other partition that somebody may have made. Its name is with the old boot files, which go last.
old=$(sed -n 's/.*root=PARTUUID=\([^ ]*\).*/\1/p' "$work/card/feeder-sd/cmdline.txt" 2>/dev/null || :)
card_disk=$(disk_of "$card")
if [ -n "$old" ] && [ "$(blkid -p -s PTUUID -o value "$card_disk")" = "${old%-*}" ]; then
  number=${old##*-}
  case $card_disk in
    *[0-9]) root=${card_disk}p${number#0} ;;
    *) root=$card_disk${number#0} ;;
  esac
  if [ -b "$root" ] && [ "$root" != "$card" ]; then
    wipefs -q -a "$root"
    sync "$root"
  fi
fi
rm -rf "$work/card/feeder-sd"
flush_files "$work/card"
