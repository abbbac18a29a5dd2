# Out of sight first: what has its number is whole, or not there.
for gone in $numbers; do
  # The generation last: as long as it is there, it can be named again when this is cut off.
  for at in "$copies"/*/generations "$generations"; do
    [ ! -e "$at/$gone" ] || mv -T "$at/$gone" "$at/.$gone.removed"
  done
done
