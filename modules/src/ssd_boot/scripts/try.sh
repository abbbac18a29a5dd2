# Has the board start once with its root on the SSD: firmware and kernel still come from the card, and so does every start
# after that one. Set before: as for the move.
set -eu
need_copy
watch_disk
ticker=
copier=
trap 'copy_ended $?' EXIT
trap 'exit 1' HUP INT TERM
to_the_beginning
free_disk
repair
mount_both
# What changed since the copy: whoever has mended something tries that.
copy_all
# The boot partition stays the card's: the SSD has none yet.
awk -v root="PARTUUID=$disk_id-02" -v type="$file_system" '
  !/^[ \t]*#/ && $2 == "/" { print root, "/", type, "defaults,noatime", 0, 1; next }
  { print }' <"$work/source/etc/fstab" | write_whole "$work/root/etc/fstab"
# A system that comes up and cannot be reached goes back by itself. The last copy deletes this again.
units=$work/root/etc/systemd/system
mkdir -p "$units/sysinit.target.wants"
write_whole "$units/feeder-trial.service" <<'UNIT'
[Unit]
Description=Back to the SD card, where the trial of the SSD ends
DefaultDependencies=no

[Service]
ExecStart=/bin/sh -c 'sleep 300; systemctl --force reboot'
UNIT
ln -sfn ../feeder-trial.service "$units/sysinit.target.wants/feeder-trial.service"
sync -f "$work/root"
release
# What workers wrote during the trial would be lost: they cannot start meanwhile.
line=$(cmdline_for <"$firmware/cmdline.txt") || fail "$firmware/cmdline.txt names no root"
echo "$line panic=10 systemd.mask=dnsmasq.service systemd.mask=nfs-server.service" | write_whole "$firmware/feeder-try.txt"
{ cat "$firmware/config.txt"; printf '\n[all]\ncmdline=feeder-try.txt\n'; } | write_whole "$firmware/tryboot.txt"
flush_files "$firmware"
