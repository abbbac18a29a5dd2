# $subnet is the cluster's segment, $left how many seconds to listen, or -1.
if ! command -v tcpdump >/dev/null; then echo 'no tcpdump'; exit; fi
set -- $(ip -o -4 address show to "$subnet")
interface=${2:-}
if [ -z "$interface" ]; then
  # Its address on the segment is yet to come: what leads elsewhere is the segment's cable.
  set -- $(ip -o -4 route show default)
  while [ $# -gt 1 ]; do
    if [ "$1" = dev ]; then interface=$2; break; fi
    shift
  done
fi
if [ -z "$interface" ]; then echo 'no interface'; exit; fi
echo "listens $interface $(cat "/sys/class/net/$interface/address" 2>/dev/null || echo none)"
tcpdump -i "$interface" -p -n -l -tt -s 0 -xx 'udp and (port 67 or port 68)' &
capture=$!
# Whoever listened has gone when this can no longer be written.
trap '' PIPE
while [ "$left" -ne 0 ] && kill -0 $capture 2>/dev/null; do
  sleep 1
  echo tick 2>/dev/null || break
  left=$((left - 1))
done
if kill $capture 2>/dev/null; then wait $capture; exit 0; fi
wait $capture
