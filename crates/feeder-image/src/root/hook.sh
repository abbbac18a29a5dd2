# Runs outside the new root, called by mmdebstrap with the root's path when the essential packages are installed.
set -eu
root=$1
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
# The initramfs is made once, at the end.
export INITRD=No
unset TMPDIR

# This machine's dpkg unpacks: decompressing in an emulator would take most of the time of the whole build. It reads
# this machine's configuration too, hence the include of everything before our own rules. Maintainer scripts run in
# the new root, emulated.
echo "feeder: unpacking"
set --
while read -r name deb; do
	[ -e "$root/var/lib/dpkg/info/$name.list" ] || [ -e "$root/var/lib/dpkg/info/$name:$ARCHITECTURE.list" ] ||
		set -- "$@" "$deb"
done <"$WORK/packages"
filters='--path-include=/*'
while read -r filter; do
	filters="$filters --$filter"
done <"$WORK/filters"
set -f
# shellcheck disable=SC2086 # one word a filter
dpkg --root="$root" --log=/dev/null --force-unsafe-io --force-depends --no-triggers $filters --unpack "$@"
set +f

echo "feeder: configuring"
chroot "$root" dpkg --log=/dev/null --force-unsafe-io --configure -a

echo "feeder: settings"
cp -r --preserve=mode "$WORK/overlay/." "$root/"
{
	cat "$WORK/variables"
	cat "$WORK/configure.sh"
} | chroot "$root" sh
