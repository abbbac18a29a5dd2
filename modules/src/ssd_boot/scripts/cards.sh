# The SD card that the master came from, when it runs from its SSD. Set before: $source, $work.

# disk_of PARTITION
disk_of() { lsblk -dnrpo PKNAME "$1"; }

# find_card: sets $card to the card's boot partition, and prints every one with what it is: kept (our folder is on it), or boots.
find_card() {
  card=
  own=$(disk_of "$(findmnt -nro SOURCE --target "$source")")
  mkdir -p "$work/card"
  for part in $(lsblk -nrpo PATH,TYPE | awk '$2 == "part" { print $1 }'); do
    [ "$(blkid -p -s TYPE -o value "$part")" = vfat ] || continue
    [ "$(disk_of "$part")" != "$own" ] || continue
    ! grep -q "^$part " /proc/mounts || continue
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
