# Prints about once in $interval seconds what the master sees and says of itself (health), $times times or for ever (-1). $swarm is
# yes when its engine is to be asked. It ends when what it writes is read no more.
while :; do
  echo "look $(date +%s)"
  ip -4 neigh show | sed 's/^/neigh /'
  # NFS 3 has no clients, only connections; they stay for long when a client has lost its power.
  ss -Htn state established '( sport = :2049 )' | awk '{ sub(/:[0-9]*$/, "", $NF); gsub(/[][]|::ffff:/, "", $NF); print "nfs", $NF }' | sort -u
  for client in /proc/fs/nfsd/clients/*/info; do
    [ -r "$client" ] || continue
    sed -n 's/^address: "\(.*\):[0-9]*"$/client \1/p; s/^seconds from last renew: /renewed /p' "$client"
  done
  for unit in dnsmasq nfs-server; do
    echo "unit $unit $(systemctl is-active $unit.service 2>/dev/null)"
  done
  health
  if [ "$swarm" = yes ] && [ -S /run/docker.sock ] && command -v curl >/dev/null; then
    for what in nodes 'tasks?filters=%7B%22desired-state%22%3A%5B%22running%22%5D%7D'; do
      curl --silent --max-time 10 --unix-socket /run/docker.sock --write-out '\n' "http://engine/$what" | sed -n "s/^./json ${what%%\?*} &/p"
    done
  fi
  echo end
  times=$((times - 1))
  [ "$times" -ne 0 ] || exit 0
  sleep "$interval"
done
