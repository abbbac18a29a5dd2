# What the master's disks are, as `ssd.key=value`. Changes nothing.
on_disk
columns=PATH,TYPE,SIZE,MODEL,SERIAL,TRAN,RO,PTUUID,FSTYPE,LABEL,MOUNTPOINTS,LOG-SEC
printf 'ssd.disks=%s\n' "$(lsblk -J -b -o $columns | tr -d '\n')"
for link in /dev/disk/by-id/*; do
  [ ! -e "$link" ] || echo "ssd.link=${link##*/} $(readlink -f "$link")"
done
echo "ssd.state=$state"
echo "ssd.used=$(df -B1 --output=used "$source" | tail -n 1 | tr -d ' ')"
echo "ssd.board=$(tr -d '\000' 2>/dev/null </proc/device-tree/model || :)"
if command -v vcgencmd >/dev/null; then echo "ssd.otp=$(vcgencmd otp_dump | sed -n 's/^17://p')"; fi
if command -v rpi-eeprom-config >/dev/null; then echo "ssd.order=$(rpi-eeprom-config 2>/dev/null | sed -n 's/^BOOT_ORDER=//p' | tail -n 1)"; fi
