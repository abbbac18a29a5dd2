# The boot partition of the SSD. It is made whole as a file, checked, and written with its first sector last: until that one
# sector is there, no firmware finds a file system, whatever a power cut leaves of the rest.
# Set before: $firmware (where the boot partition is mounted), $firmware_name (as fstab calls it), $boot_mib, $file_system.

# fstab_for: standard input with both file systems by their new names. Everything else stays.
fstab_for() {
  awk -v root="PARTUUID=$disk_id-02" -v boot="PARTUUID=$disk_id-01" -v type="$file_system" -v at="$firmware_name" '
    /^[ \t]*#/ || NF < 4 { print; next }
    $2 == "/" { if (!r++) print root, "/", type, ($3 == type ? $4 : "defaults,noatime"), 0, 1; next }
    $2 == at { if (!b++) print boot, at, "vfat", $4, 0, 2; next }
    { print }
    END {
      if (!r) print root, "/", type, "defaults,noatime", 0, 1
      if (!b) print boot, at, "vfat", "defaults", 0, 2
    }'
}

# cmdline_for: the one line of cmdline.txt with the new root, and without what an image does at its first boot.
cmdline_for() {
  tr '\n' ' ' | awk -v root="root=PARTUUID=$disk_id-02" -v type="rootfstype=$file_system" '{
    line = ""
    for (n = 1; n <= NF; n++) {
      word = $n
      if (word ~ /^root=/) { word = root; found = 1 }
      else if (word ~ /^rootfstype=/) { changed = (word != type); word = type; typed = 1 }
      else if (word == "resize" || word ~ /^init=.*\/firstboot$/) continue
      else if (word == "rootwait") waits = 1
      line = line (line == "" ? "" : " ") word
    }
    if (!found) exit 1
    if (!typed) line = line " " type
    if (changed) gsub(/ rootflags=[^ ]*/, "", line)
    if (!waits) line = line " rootwait"
    print line
  }'
}

# write_whole FILE: standard input, so that there is the old file or the new one.
write_whole() {
  cat >"$1.feeder-new"
  sync "$1.feeder-new"
  mv "$1.feeder-new" "$1"
}

# boots TREE: whether firmware finds there what it looks for.
boots() {
  [ -f "$1/config.txt" ] && [ -f "$1/cmdline.txt" ] || return 1
  for file in "$1"/start*.elf "$1"/kernel_2712.img; do [ ! -f "$file" ] || return 0; done
  return 1
}

# number AT LENGTH: a number of $image, which is little endian as this machine is.
number() { od -An -j "$1" -N "$2" -t "u$2" "$image" | tr -d ' '; }

# used_extent: sets $extent to the bytes of $image up to the end of its last cluster in use, in whole MiB. Fields of the boot
# sector as in Microsoft's "FAT: General Overview of On-Disk Format". Should it be too small, the comparison that follows fails.
used_extent() {
  cluster=$(number 13 1)
  reserved=$(number 14 2)
  fats=$(number 16 1)
  length=$(number 36 4)
  last=$(od -An -v -j $((reserved * 512)) -N $((length * 512)) -t u4 -w4 "$image" | awk '$1 { last = NR } END { print last - 1 }')
  extent=$((512 * (reserved + fats * length + (last - 1) * cluster)))
  extent=$(((extent + 1048575) / 1048576 * 1048576))
}

# make_boot_image FOLDER: $image, a FAT with all of the boot partition and a command line of its own, and $extent, the bytes
# from its beginning that are not zero.
make_boot_image() {
  tree=$1/tree
  image=$1/image
  rm -rf "$tree" "$image"
  mkdir -p "$tree"
  cp -r "$firmware/." "$tree/"
  rm -f "$tree/tryboot.txt" "$tree/feeder-try.txt"
  cmdline_for <"$firmware/cmdline.txt" >"$tree/cmdline.txt" || fail "$firmware/cmdline.txt names no root"
  boots "$tree" || fail "$firmware holds nothing that a board boots"
  # As Raspberry Pi OS has it; a small one would have too few clusters for FAT32.
  [ "$boot_mib" -ge 256 ] && cluster=4 || cluster=1
  truncate -s "${boot_mib}M" "$image"
  mkfs.vfat -F 32 -s $cluster -h 2048 -n bootfs "$image" >/dev/null 2>&1 || fail "mkfs.vfat failed"
  (
    export MTOOLSRC=/dev/null
    cd "$tree"
    for entry in * .[!.]*; do [ ! -e "$entry" ] || mcopy -s -m -Q -i "$image" "$entry" ::; done
  )
  used_extent
  truncate -s "$extent" "$image"
  truncate -s "${boot_mib}M" "$image"
  fsck.fat -n "$image" >/dev/null || fail "fsck finds mistakes in the boot partition that was made"
  mkdir "$1/back"
  MTOOLSRC=/dev/null mcopy -s -m -Q -i "$image" ::/* "$1/back/"
  diff -r "$tree" "$1/back" >&2 || fail "the boot partition that was made differs from $firmware"
}

# read_boot: the first $extent bytes of the SSD's boot partition, from the medium.
read_boot() { dd if="$boot_device" bs=1M count=$((extent / 1048576)) iflag=direct status=none; }

# write_boot: all of the image but its first sector.
write_boot() {
  dd if="$image" of="$boot_device" bs=1M iflag=skip_bytes,count_bytes oflag=seek_bytes skip=512 seek=512 \
    count=$((extent - 512)) conv=notrunc,fsync status=none
  flush
  read_boot | cmp -i 512 -n $((extent - 512)) - "$image" >&2 || fail "$disk does not give back what was written to its boot partition"
}

# unseal: no firmware finds a boot partition on the SSD any more.
unseal() {
  dd if=/dev/zero of="$boot_device" bs=512 count=1 conv=notrunc,fsync status=none
  reached copied
}

# seal FILE SUM: the first sector, after which the SSD boots; SUM is SHA-256 of all of the image that is not zero.
seal() {
  dd if="$1" of="$boot_device" bs=512 count=1 conv=notrunc,fsync status=none
  flush
  if [ "$(read_boot | sha256sum | cut -d ' ' -f 1)" != "$2" ] || ! fsck.fat -n "$boot_device" >/dev/null; then
    unseal
    fail "$disk does not give back what was written to its boot partition"
  fi
  reached sealed
}
