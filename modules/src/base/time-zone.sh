if [ $verb = probe ]; then
  if [ "$(readlink "$root/etc/localtime")" = "/usr/share/zoneinfo/$zone" ] && [ "$(cat "$root/etc/timezone" 2>/dev/null)" = "$zone" ]; then
    echo present
  else
    echo absent
  fi
else
  [ -f "$root/usr/share/zoneinfo/$zone" ] || { echo "there is no time zone $zone in /usr/share/zoneinfo" >&2; exit 1; }
  ln -sfn "/usr/share/zoneinfo/$zone" "$root/etc/.localtime.feeder-new"
  mv -T "$root/etc/.localtime.feeder-new" "$root/etc/localtime"
  echo "$zone" >"$root/etc/timezone"
fi
