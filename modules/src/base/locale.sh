# C.UTF-8 is part of libc and never generated.
generated() {
  case $locale in C.*) return 0 ;; esac
  grep -qx "$locale UTF-8" "$root/etc/locale.gen" 2>/dev/null && [ -e "$root/usr/lib/locale/locale-archive" -o -d "$root/usr/lib/locale/${locale%.UTF-8}.utf8" ]
}
if [ $verb = probe ]; then
  if generated && grep -qx "LANG=$locale" "$root/etc/locale.conf" 2>/dev/null && grep -qx "LANG=$locale" "$root/etc/default/locale" 2>/dev/null; then
    echo present
  else
    echo absent
  fi
else
  if ! generated; then
    touch "$root/etc/locale.gen"
    grep -qx "$locale UTF-8" "$root/etc/locale.gen" || echo "$locale UTF-8" >>"$root/etc/locale.gen"
    if [ -z "$root" ]; then
      locale-gen
    else
      # Programs need /dev/null; the mount ends with its namespace.
      unshare --mount --propagation private sh -ec 'mount --rbind /dev "$1/dev"; chroot "$1" locale-gen' sh "$root"
    fi
  fi
  mkdir -p "$root/etc/default"
  # Debian's pam reads the one, systemd the other; on some releases one is a link to the other.
  rm -f "$root/etc/default/locale"
  echo "LANG=$locale" >"$root/etc/locale.conf"
  echo "LANG=$locale" >"$root/etc/default/locale"
fi
