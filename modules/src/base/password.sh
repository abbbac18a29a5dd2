# The hash is compared, and handed over, by the shell itself: it is in no argument list.
found=
while IFS=: read -r name value rest; do
  if [ "$name" = "$user" ]; then found=$value; fi
done <"$root/etc/shadow"
if [ $verb = probe ]; then
  case $found in
    "$hash") echo 'as given' ;;
    '' | '!'* | '*'*) echo none ;;
    *) echo another ;;
  esac
elif [ "$found" != "$hash" ]; then
  printf '%s:%s\n' "$user" "$hash" | chpasswd --encrypted ${root:+--root "$root"}
fi
