# A system in ./card, with what copies go wrong on, and a boot partition in ./firmware.
cd card
mkdir -p etc home/pi usr/lib srv/feeder/state/cluster01 srv/feeder/tftp boot/firmware proc tmp
cat >etc/fstab <<'FSTAB'
proc                  /proc           proc    defaults          0       0
PARTUUID=fe3de201-01  /boot/firmware  vfat    defaults          0       2
PARTUUID=fe3de201-02  /               ext4    defaults,noatime  0       1
# the NAS
192.168.10.9:/data    /data           nfs     noauto            0       0
FSTAB
echo raspberrypi >etc/hostname
head -c 3000000 /dev/urandom >usr/lib/large
ln usr/lib/large usr/lib/hard-link
ln usr/lib/large srv/feeder/tftp/linked-from-the-other-half
ln -s ../usr/lib/large etc/link
mkfifo home/pi/pipe
echo secret >etc/shadow
chmod 0640 etc/shadow
chown 0:42 etc/shadow
chmod 4755 usr/lib/large
echo 'a name with blanks' >"home/pi/ä b"
touch -d '2001-02-03 04:05:06' etc/hostname
chown 1000:1000 home/pi
for n in $(seq 1 300); do echo "file $n" >usr/lib/$n; done
# Half a GiB, of which a card of 96 MiB has room for nothing but the three pages that are written.
truncate -s 512M srv/feeder/state/cluster01/state.img
for at in 0 300 511; do echo "state at $at" | dd of=srv/feeder/state/cluster01/state.img bs=1M seek=$at conv=notrunc status=none; done
ln -s /srv/feeder/generations/1/boot/start.elf srv/feeder/tftp/start.elf
cd ../firmware
for file in bootcode.bin start.elf start4.elf start_cd.elf fixup.dat fixup4.dat kernel8.img; do
  head -c 200000 /dev/urandom >$file
done
mkdir overlays
for n in $(seq 1 20); do head -c 3000 /dev/urandom >overlays/overlay-$n.dtbo; done
echo 'arm_64bit=1' >config.txt
echo 'console=serial0,115200 console=tty1 root=PARTUUID=fe3de201-02 rootfstype=ext4 fsck.repair=yes rootwait resize' >cmdline.txt
cd ..
