# Out of sight first: what has its number is whole, or not there.
for gone in $numbers; do
  for at in "$generations" "$copies"/*/generations; do
    [ ! -e "$at/$gone" ] || mv -T "$at/$gone" "$at/.$gone.removed"
  done
done
