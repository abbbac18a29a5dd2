# hash_of_user: sets $found to what is in the place of the hash of $user's password. The shell itself reads it, so that it is in no
# argument list.
hash_of_user() {
  found=
  while IFS=: read -r name value rest; do
    if [ "$name" = "$user" ]; then found=$value; fi
  done <"$root/etc/shadow"
}
