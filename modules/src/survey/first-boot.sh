# What is left of an image's first boot: it restarts the board, moves partitions and holds apt's lock, and what is provisioned
# meanwhile is lost or half done. Told by what is there, not by the release: images of one release differ.
for word in $(cat "$proc/cmdline"); do
  case $word in
    init=/usr/lib/raspberrypi-sys-mods/firstboot) echo "first_boot=raspberrypi-sys-mods (firstboot)" ;;
    systemd.run=*firstrun.sh*) echo "first_boot=the imager's firstrun.sh" ;;
  esac
done
if [ -e "$system/boot/firmware/rpi-preseed.toml" ]; then echo "first_boot=rpi-preseed"; fi
if [ -e "$system/run/cloud-init/enabled" ] && [ ! -e "$system/run/cloud-init/result.json" ]; then echo "first_boot=cloud-init"; fi
if [ -e "$system/boot/firmware/failed_userconf.txt" ]; then echo "user_failed=yes"; fi
