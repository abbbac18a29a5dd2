# What the scripts about generations share.
fail() { echo "$*" >&2; exit 1; }

# Fails unless there is room for so many KiB and a tenth more. Looked at before: on a disk that fills up meanwhile, no worker could
# write to its state image any more.
need_room() {
  free=$(df -Pk "$generations" | awk 'NR == 2 { print $4 }')
  [ $(($1 + $1 / 10)) -le "$free" ] ||
    fail "a generation takes $(($1 / 1024)) MiB, and the master has $((free / 1024)) MiB left: make room, as by cargo xtask generation gc"
}

# The release of the kernel in an image: its banner says it, once the image is unpacked.
kernel_version() {
  for unpack in cat 'gzip -dc' 'zstd -dc' 'xz -dc' 'lz4 -dc'; do
    banner=$($unpack <"$1" 2>/dev/null | grep -aom 1 'Linux version [0-9][^ ]*' | head -n 1) || :
    if [ -n "$banner" ]; then
      echo "${banner##* }"
      return
    fi
  done
}

# Whether an initramfs can mount an NFS root under that kernel. Newer initramfs-tools put modules, which are compressed already,
# into a part that is not compressed again.
mounts_nfs() {
  for unpack in cat 'zstd -dc' 'gzip -dc' 'xz -dc' 'lz4 -dc'; do
    if $unpack <"$1" 2>/dev/null | grep -aqF "modules/$2/kernel/fs/nfs/nfsv3.ko"; then return 0; fi
  done
  return 1
}

# Says what of a generation does not belong together, one line each: a kernel without its modules or device trees boots into a
# system that cannot load a driver, and a worker says so on a console that nobody looks at.
mismatches() {
  release=
  if [ -f "$1/kernel-release" ]; then read -r release <"$1/kernel-release"; fi
  [ -n "$release" ] || echo "it does not say for which kernel it was made"
  if [ -f "$1/boot/$kernel" ]; then
    held=$(kernel_version "$1/boot/$kernel")
    [ "$held" = "$release" ] || echo "boot/$kernel is ${held:-no kernel that can be read}, not $release"
  else
    echo "boot/$kernel is missing"
  fi
  [ -f "$1/root/usr/lib/modules/$release/modules.dep" ] || echo "root/usr/lib/modules/$release holds no modules"
  for board in $boards; do
    # By the names of Raspberry Pi's kernel, and of Linux's.
    [ -f "$1/boot/bcm2710-rpi-$board.dtb" ] || [ -f "$1/boot/bcm2837-rpi-$board.dtb" ] ||
      echo "boot holds no device tree for rpi-$board"
  done
  if ! grep -qx nfs-root=built-in "$1/inputs" 2>/dev/null; then
    if [ ! -f "$1/boot/$initramfs" ]; then
      echo "its kernel has no NFS root built in, and boot/$initramfs is missing"
    elif ! mounts_nfs "$1/boot/$initramfs" "$release"; then
      echo "boot/$initramfs lacks the NFS client for $release"
    fi
  fi
  [ -x "$1/root$init" ] || echo "root$init is no program"
}

# Fails unless all of a generation belongs together.
belongs_together() {
  wrong=$(mismatches "$1")
  [ -z "$wrong" ] || fail "generation $2 does not belong together: $(echo "$wrong" | tr '\n' ';' | sed 's/;$//; s/;/; /g')"
}
