for at in "$generations"/[1-9]*; do
  [ -d "$at" ] || continue
  state=broken release=
  if [ -f "$at/kernel-release" ] && [ -d "$at/root" ] && [ -d "$at/boot" ]; then
    state=complete
    read -r release <"$at/kernel-release"
  fi
  echo "generation.${at##*/}=$state $release"
  [ ! -f "$at/inputs" ] || sed "s/^/generation.${at##*/}./" "$at/inputs"
done
[ ! -f "$active" ] || echo "generations.active="$(cat "$active")
for own in "$copies"/*/generations; do
  [ -d "$own" ] || continue
  worker=${own%/generations}
  echo "copies.${worker##*/}="$(cd "$own" && echo [1-9]*)
done
