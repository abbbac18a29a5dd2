# The SD card of a 3B or 3B+, which starts from its card as long as that holds a start*.elf. Kept in its slot, it holds
# bootcode.bin, which then goes on from USB, and `timeout`, which has it wait for slow disks.
# Set before: $firmware.

aside=$firmware/feeder-sd

# remove_whole FILE: its name goes before its contents. Of what was written to a FAT and not flushed, any part may be lost in a
# power cut: removed in one go, a file could keep its name over clusters that are free, and firmware would start what is in
# them. They are freed when nobody has the file open any more, which is after the flush.
remove_whole() (
  exec 3<"$1"
  rm "$1"
  flush_files "$firmware"
)

# is_usable: all of the boot partition can be read, and it is not mounted read-only, as the kernel leaves it after an error.
is_usable() {
  find "$firmware" -xdev >/dev/null 2>&1 || return 1
  case ,$(findmnt -nro OPTIONS --mountpoint "$firmware"), in *,ro,*) return 1 ;; esac
}

# mend_firmware: a power cut during the switch may leave a folder's name without the folder. Of that, the fsck of one start
# makes something that the kernel cannot read, and only the next one removes it.
mend_firmware() {
  mountpoint -q "$firmware" || return 0
  ! is_usable || return 0
  boot_from=$(findmnt -nro SOURCE --mountpoint "$firmware")
  umount "$firmware" || fail "$firmware is damaged and in use: restart the master, and run this again"
  if ! (
    # However this ends, it is mounted again.
    trap 'mount "$firmware"' EXIT
    trap 'exit 1' HUP INT TERM
    for _ in 1 2 3 4 5; do
      status=0
      fsck.vfat -a "$boot_from" >/dev/null 2>&1 || status=$?
      # 1: mistakes were found, and all of them corrected.
      [ "$status" -eq 1 ] || exit "$status"
    done
  ) || ! is_usable; then
    fail "$firmware is damaged, and fsck cannot mend it: look into it with fsck.vfat $boot_from"
  fi
}

# card_leaves: the board goes on from the SSD. At every moment, what decides is whether start*.elf is there: as long as it is,
# all that it needs is there too.
card_leaves() {
  [ -f "$firmware/bootcode.bin" ] || fail "$firmware/bootcode.bin is missing, without which a kept SD card starts nothing"
  mkdir -p "$aside"
  : >"$firmware/timeout"
  for file in "$firmware"/start*.elf; do
    [ ! -f "$file" ] || cp "$file" "$aside/"
  done
  flush_files "$firmware"
  for file in "$firmware"/start*.elf; do
    [ ! -f "$file" ] || remove_whole "$file"
  done
  flush_files "$firmware"
  for entry in "$firmware"/* "$firmware"/.[!.]*; do
    case ${entry##*/} in bootcode.bin | timeout | feeder-sd) continue ;; esac
    [ ! -e "$entry" ] || mv "$entry" "$aside/"
  done
  flush_files "$firmware"
}

# card_returns: the board starts from the card again; the other way round.
card_returns() {
  [ -d "$aside" ] || return 0
  for entry in "$aside"/* "$aside"/.[!.]*; do
    case ${entry##*/} in start*.elf) continue ;; esac
    [ ! -e "$entry" ] || [ -e "$firmware/${entry##*/}" ] || mv "$entry" "$firmware/"
  done
  flush_files "$firmware"
  for entry in "$aside"/start*.elf; do
    [ -e "$entry" ] || continue
    [ -e "$firmware/${entry##*/}" ] && cmp -s "$entry" "$firmware/${entry##*/}" && continue
    cp "$entry" "$firmware/feeder.new"
    sync "$firmware/feeder.new"
    mv "$firmware/feeder.new" "$firmware/${entry##*/}"
  done
  flush_files "$firmware"
  boots "$firmware" || fail "$firmware does not boot any more, and the copy that does is left alone: look into $aside"
  rm -rf "$aside" "$firmware/timeout"
  flush_files "$firmware"
}

# to_the_beginning: an earlier attempt may have gone as far as the switch. First the card boots again, then the SSD does not
# any more.
to_the_beginning() {
  mend_firmware
  card_returns
  boots "$firmware" || fail "$firmware holds nothing that a board boots"
  [ "$(stage)" != sealed ] || unseal
}
