# The SD card that the master came from, when it runs from its SSD. Set before: $source, $work.

# find_card: sets $card to the card's boot partition and prints it with what it is: kept (our folder is on it), or boots.
find_card() {
  card=
  here=$(findmnt -nro SOURCE --target "$source")
  own=$(lsblk -dnro PKNAME "$here")
  mkdir -p "$work/card"
  for part in $(lsblk -nrpo PATH,FSTYPE | awk '$2 == "vfat" { print $1 }'); do
    [ "$(lsblk -dnro PKNAME "$part")" != "$own" ] || continue
    [ -z "$(lsblk -dnro MOUNTPOINTS "$part")" ] || continue
    mount -t vfat -o ro "$part" "$work/card" 2>/dev/null || continue
    if [ -d "$work/card/feeder-sd" ]; then
      card=$part
      echo "ssd.card=$part kept"
    elif [ -f "$work/card/config.txt" ]; then
      echo "ssd.card=$part boots"
    fi
    umount "$work/card"
  done
}
