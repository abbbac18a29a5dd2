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

# The system, top by top, so that the copy is not copied into itself.
for entry in "$system"/* "$system"/.[!.]*; do
  case ${entry#"$system"} in
    /boot | /dev | /lost+found | /media | /mnt | /proc | /run | /srv | /swapfile | /sys | /tmp) continue ;;
  esac
  [ -e "$entry" ] || [ -L "$entry" ] || continue
  cp -ax "$entry" "$root/"
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
