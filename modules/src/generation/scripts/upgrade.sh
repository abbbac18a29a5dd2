# Copies another generation, and upgrades its packages in the copy. Neither this system nor what workers run is touched.
source=$generations/$from
[ -f "$source/kernel-release" ] || fail "there is no generation $from"
need_room "$(du -skx "$source" | cut -f 1)"
cp -a --reflink=auto "$source/root" "$source/boot" "$partial/"
nfs_root=$(sed -n 's/^nfs-root=//p' "$source/inputs" 2>/dev/null)
: "${nfs_root:=initramfs}"

# An initramfs that is built for the machine at hand would hold the drivers of the master.
modules=$(cat "$root"/etc/initramfs-tools/initramfs.conf "$root"/etc/initramfs-tools/conf.d/* 2>/dev/null | sed -n 's/^MODULES=//p' | tail -n 1)
if [ "$modules" = dep ]; then
  mkdir -p "$root/etc/initramfs-tools/conf.d"
  printf '# Written by feeder: this initramfs is for workers.\nMODULES=most\n' >"$root/etc/initramfs-tools/conf.d/zz-feeder"
fi

# In mounts of its own, which end with it. raspi-firmware's hooks do their work only where /boot/firmware is mounted or the system is
# in a chroot: here it is both.
export root partial wanted_packages
unshare --mount --propagation private sh -eu <<'UPGRADE'
mount --bind "$partial/boot" "$root/boot/firmware"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
# Nothing that is installed starts here.
kept=
if [ -e "$root/usr/sbin/policy-rc.d" ]; then
  kept=yes
  mv "$root/usr/sbin/policy-rc.d" "$root/usr/sbin/policy-rc.d.feeder"
fi
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 0755 "$root/usr/sbin/policy-rc.d"
in_copy() { chroot "$root" /usr/bin/env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" </dev/null; }
apt() { in_copy apt-get -q -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"; }
apt update
apt full-upgrade
if [ -n "$wanted_packages" ]; then apt install --no-install-recommends $wanted_packages; fi
apt clean
rm "$root/usr/sbin/policy-rc.d"
if [ -n "$kept" ]; then mv "$root/usr/sbin/policy-rc.d.feeder" "$root/usr/sbin/policy-rc.d"; fi
UPGRADE

# Hooks of kernel packages leave more there than firmware loads.
for file in "$partial"/boot/*; do
  served=no
  for pattern in $boot_files; do
    case ${file##*/} in $pattern) served=yes ;; esac
  done
  [ $served = yes ] || rm -rf "$file"
done
release=$(kernel_version "$partial/boot/$kernel")
if [ -f "$root/boot/config-$release" ]; then
  nfs_root=initramfs
  if grep -q '^CONFIG_ROOT_NFS=y' "$root/boot/config-$release" && grep -q '^CONFIG_IP_PNP=y' "$root/boot/config-$release"; then
    nfs_root=built-in
  fi
fi
