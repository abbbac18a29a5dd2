# Turns mmdebstrap's archive into a file system, and takes out what would differ from one build to the next. Runs with
# the right to make files of any owner, in its own user namespace if need be.
set -eu
export LC_ALL=C
umask 022

tree=$WORK/tree
mkdir "$tree"
# The kernel fills /dev itself.
tar -C "$tree" --extract --file "$WORK/root.tar" --numeric-owner --preserve-permissions --xattrs --xattrs-include='*' \
	--exclude='./dev/*'
cd "$tree"

find run tmp var/tmp var/cache/apt var/cache/ldconfig var/lib/apt/lists var/log/journal -mindepth 1 -delete
find var/log -type f -delete
rm -rf var/log/journal
rm -f etc/*- etc/.pwd.lock var/lib/dpkg/*-old var/cache/debconf/*-old var/lib/systemd/random-seed \
	var/lib/dbus/machine-id etc/ssh/ssh_host_* etc/apt/sources.list etc/apt/apt.conf.d/99mmdebstrap \
	etc/dpkg/dpkg.cfg.d/99mmdebstrap vmlinuz vmlinuz.old initrd.img initrd.img.old
mkdir -p boot/firmware
cp "$WORK/filters" etc/dpkg/dpkg.cfg.d/90feeder
ln -sf ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
printf '%s' "$MACHINE_ID" >etc/machine-id
# Everything that follows an update of /usr was done while the packages were configured: no need to do it again.
for dir in etc var; do
	printf 'TIMESTAMP_NSEC=%s000000000\n' "$SOURCE_DATE_EPOCH" >"$dir/.updated"
done

# It was packed in haste, since in an emulator.
initrd=$(echo boot/initrd.img-*)
zstd --quiet --decompress --stdout "$initrd" >"$WORK/initramfs.cpio"
zstd --quiet -19 --stdout "$WORK/initramfs.cpio" >"$WORK/out/initramfs8"
cp "$WORK/out/initramfs8" "$initrd"

find . -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

cp boot/vmlinuz-* "$WORK/out/vmlinuz"
for name in $DEVICE_TREES; do
	cp usr/lib/linux-image-*/broadcom/"$name" "$WORK/out/"
done
cd "$WORK"
