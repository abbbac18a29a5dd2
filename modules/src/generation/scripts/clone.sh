# Clones the system this board runs into generation {{ number }} and prepares the copy for workers.
set -eu
final={{ base }}/{{ number }}
partial={{ base }}/.{{ number }}.partial
boot=/boot/firmware
release=$(uname -r)

fail() { echo "$*" >&2; exit 1; }

[ ! -e "$final" ] || fail "$final exists but is not complete; move it away"
[ -f "$boot/{{ kernel }}" ] || fail "$boot/{{ kernel }} is missing: is the boot partition mounted on $boot?"
[ -d "/usr/lib/modules/$release" ] || fail "no modules of the running kernel $release: reboot into the installed kernel first"
{% if initramfs -%}
# This kernel cannot mount an NFS root by itself, so its initramfs must.
[ -f "$boot/{{ initramfs }}" ] || fail "this kernel has no NFS root built in and $boot/{{ initramfs }} is missing"
# Newer initramfs-tools put modules, which are compressed already, into a part that is not compressed again.
has_nfs=no
for unpack in cat zstd gzip xz lz4; do
  [ $unpack = cat ] && options= || options=-dc
  if $unpack $options < "$boot/{{ initramfs }}" 2>/dev/null | grep -aqF /nfsv3.ko; then has_nfs=yes; break; fi
done
[ $has_nfs = yes ] || fail "$boot/{{ initramfs }} lacks the NFS client: add nfsv3 to /etc/initramfs-tools/modules and run update-initramfs -u"
{%- endif %}

# A copy that fails half-way would leave the card full.
trap 'status=$?; [ $status -eq 0 ] || rm -rf "$partial"' EXIT
rm -rf "$partial"
mkdir -p "$partial/root" "$partial/boot"
root=$partial/root
apt-get clean

# The system, top by top, so that the copy is not copied into itself.
for entry in /* /.[!.]*; do
  case $entry in
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
for entry in bootcode.bin start*.elf fixup*.dat kernel*.img initramfs* *.dtb overlays LICENCE.broadcom; do
  for file in "$boot"/$entry; do
    [ ! -e "$file" ] || cp -rL "$file" "$partial/boot/"
  done
done
chmod -R u=rwX,go=rX "$partial/boot"

# What is this machine's own or this moment's.
rm -rf "$root"/etc/ssh/ssh_host_* "$root"/etc/exports.d/* "$root"/etc/dnsmasq.d/feeder.conf \
  "$root"/etc/systemd/network/* "$root"/var/lib/apt/lists/* "$root"/var/lib/nfs/rmtab \
  "$root"/var/lib/systemd/random-seed "$root"/var/lib/systemd/credential.secret \
  "$root"/var/log/journal/* "$root"/var/swap "$root"/var/tmp/*
# Private keys and Wi-Fi keys. What stays readable to whoever takes a worker's address: accounts and their password hashes.
rm -rf "$root"/root/.ssh/id_* "$root"/home/*/.ssh/id_* "$root"/etc/NetworkManager/system-connections/* \
  "$root"/etc/wpa_supplicant/*.conf "$root"/var/lib/cloud "$root"/var/lib/docker "$root"/var/lib/containerd

# A worker has no disk of its own: its root is mounted before init starts, and nothing else is.
: > "$root/etc/fstab"
rm -f "$root/etc/resolv.conf"
cat > "$root/etc/resolv.conf" <<'RESOLV'
{% for server in dns -%}
nameserver {{ server }}
{% endfor -%}
RESOLV
# Its identity comes from the master at every boot.
: > "$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"

for unit in {{ masked | join(" ") }}; do
  ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done

mkdir -p "$root/usr/lib/feeder"
cat > "$root{{ init }}" <<'INIT'
{{ worker_init }}INIT
chmod 0755 "$root{{ init }}"

# Publish: one rename, so that a generation is whole or not there.
echo "$release" > "$partial/kernel-release"
chmod 0755 "$partial" "$partial/boot"
sync
mv "$partial" "$final"
