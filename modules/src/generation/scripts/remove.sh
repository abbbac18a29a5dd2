# Out of sight first: what has its number is whole, or not there.
for gone in $numbers; do
  [ ! -e "$generations/$gone" ] || mv -T "$generations/$gone" "$generations/.$gone.removed"
done
