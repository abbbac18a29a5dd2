# Makes the copy into a system for workers. Done to every generation, whatever it is a copy of.

# What is this machine's own or this moment's.
rm -rf "$root"/etc/ssh/ssh_host_* "$root"/etc/exports.d/* "$root"/etc/dnsmasq.d/feeder.conf \
  "$root"/etc/systemd/network/* "$root"/var/lib/apt/lists/* "$root"/var/lib/nfs/rmtab \
  "$root"/var/lib/systemd/random-seed "$root"/var/lib/systemd/credential.secret \
  "$root"/var/log/journal/* "$root"/var/swap "$root"/var/tmp/*
# Private keys, Wi-Fi keys and passwords of registries. What stays readable to whoever takes a worker's address: accounts and their password hashes.
rm -rf "$root"/root/.ssh/id_* "$root"/home/*/.ssh/id_* "$root"/root/.docker/config.json \
  "$root"/home/*/.docker/config.json "$root"/etc/docker/key.json "$root"/etc/NetworkManager/system-connections/* \
  "$root"/etc/wpa_supplicant/*.conf "$root"/var/lib/cloud "$root"/var/lib/docker "$root"/var/lib/containerd

# A worker has no disk of its own: its root is mounted before init starts, and nothing else is.
: >"$root/etc/fstab"
rm -f "$root/etc/resolv.conf"
printf 'nameserver %s\n' $dns >"$root/etc/resolv.conf"
# Its identity comes from the master at every boot.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"

for unit in $masked; do
  ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done

# Raspberry Pi OS looks for its boot partition among what is mounted or in fstab; a worker has a folder in its place.
if [ -d "$root/usr/lib/raspberrypi-sys-mods" ]; then
  mkdir -p "$root/etc/default"
  touch "$root/etc/default/raspberrypi-sys-mods"
  sed -i '/^FWLOC=/d' "$root/etc/default/raspberrypi-sys-mods"
  echo FWLOC=/boot/firmware >>"$root/etc/default/raspberrypi-sys-mods"
fi
# What an image does at its first boot was done on the master, once and for all.
if [ -d "$root/etc/cloud" ]; then : >"$root/etc/cloud/cloud-init.disabled"; fi
# A swap file on NFS stands still when memory is short; compressed memory does not.
if [ -d "$root/etc/rpi" ]; then
  mkdir -p "$root/etc/rpi/swap.conf.d"
  printf '[Main]\nMechanism=zram\n' >"$root/etc/rpi/swap.conf.d/90-feeder.conf"
fi
# A board without a clock begins at these times, and certificates are not valid before they were made.
touch "$root/usr/lib/clock-epoch"
for clock in "$root/var/lib/systemd/timesync/clock" "$root/etc/fake-hwclock.data"; do
  [ ! -f "$clock" ] || touch "$clock"
done
if [ -f "$root/etc/fake-hwclock.data" ]; then date -u '+%Y-%m-%d %H:%M:%S' >"$root/etc/fake-hwclock.data"; fi
