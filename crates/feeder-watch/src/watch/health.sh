# What a machine says of itself; $room is the folder whose file system must have room.
echo "cmdline $(cat /proc/cmdline)"
echo "uptime $(cat /proc/uptime)"
set -- $(df -P -k "$room" 2>/dev/null | tail -n 1)
echo "space ${2:-} ${3:-} ${4:-}"
if command -v systemctl >/dev/null; then
  echo "system $(systemctl is-system-running 2>/dev/null)"
  systemctl list-units --failed --plain --no-legend 2>/dev/null | sed 's/^\([^ ]*\).*/failed \1/'
  echo "engine $(systemctl is-active docker.service 2>/dev/null)"
fi
