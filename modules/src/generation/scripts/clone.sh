# Clones the system that this board runs.
[ -f "$firmware/$kernel" ] || fail "$firmware/$kernel is missing: is the boot partition mounted on $firmware?"
# What the board will start next, which an upgrade may have made another one than it runs.
release=$(kernel_version "$firmware/$kernel")
[ -n "$release" ] || fail "$firmware/$kernel does not say which kernel it is"
[ -d "$system/usr/lib/modules/$release" ] || fail "there are no modules of $release, which $firmware/$kernel is"
if grep -qs '^CONFIG_ROOT_NFS=y' "$system/boot/config-$release" && grep -qs '^CONFIG_IP_PNP=y' "$system/boot/config-$release"; then
  nfs_root=built-in
else
  # This kernel cannot mount an NFS root by itself, so its initramfs must.
  nfs_root=initramfs
  [ -f "$firmware/$initramfs" ] || fail "this kernel has no NFS root built in and $firmware/$initramfs is missing"
  mounts_nfs "$firmware/$initramfs" "$release" ||
    fail "$firmware/$initramfs lacks the NFS client for $release: add nfsv3 to /etc/initramfs-tools/modules and run update-initramfs -u"
fi

mkdir -p "$root" "$partial/boot"
apt-get clean

# The system, top by top, so that the copy is not copied into itself; and folders in which something is left out, entry by entry.
# What engines store may be larger than all the rest, and vanishes while it is copied.
# What is mounted there stays here, too.
alike() {
  mkdir -p "$root$1"
  chown --reference="$system$1" "$root$1"
  chmod --reference="$system$1" "$root$1"
}
mounted=" $(awk '{ print $5 }' /proc/self/mountinfo | tr '\n' ' ') "
set --
for entry in "$system"/* "$system"/.[!.]* "$system"/var/* "$system"/var/.[!.]* "$system"/var/lib/* "$system"/var/lib/.[!.]*; do
  case ${entry#"$system"} in
    /boot | /dev | /lost+found | /media | /mnt | /proc | /run | /srv | /swapfile | /sys | /tmp) continue ;;
    /var | /var/lib | /var/lib/containerd | /var/lib/docker | /var/swap) continue ;;
    /var/*) case $mounted in *" $entry "*) alike "${entry#"$system"}"; continue ;; esac ;;
  esac
  if [ -e "$entry" ] || [ -L "$entry" ]; then set -- "$@" "$entry"; fi
done
need_room "$(du -skcx "$@" 2>/dev/null | tail -n 1 | cut -f 1)"
alike /var
alike /var/lib
for entry; do
  name=${entry#"$system"}
  cp -ax "$entry" "$root${name%/*}/"
done
for empty in boot boot/firmware dev media mnt proc run srv sys tmp; do
  mkdir -p "$root/$empty"
done
chmod 1777 "$root/tmp"
chmod 0755 "$root"

# What firmware loads, and nothing else of the boot partition: TFTP serves it to anybody, and the partition may hold
# password hashes and Wi-Fi keys that an imager left there.
for pattern in $boot_files; do
  for file in "$firmware"/$pattern; do
    [ ! -e "$file" ] || cp -rL "$file" "$partial/boot/"
  done
done
