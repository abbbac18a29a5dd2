echo "cmdline $(cat /proc/cmdline)"
echo "uptime $(cat /proc/uptime)"
# The root is an overlay, which has the room of its upper layer.
set -- $(df -P -k / | tail -n 1)
echo "space ${2:-} ${3:-} ${4:-}"
if command -v systemctl >/dev/null; then
  echo "system $(systemctl is-system-running 2>/dev/null)"
  systemctl list-units --failed --plain --no-legend 2>/dev/null | sed 's/^\([^ ]*\).*/failed \1/'
  echo "engine $(systemctl is-active docker.service 2>/dev/null)"
fi
