home=$(sed -n "s/^$user:.*:\([^:]*\):[^:]*\$/\1/p" "$root/etc/passwd")
[ -n "$home" ] || { echo "there is no user $user" >&2; exit 1; }
file=$root$home/.ssh/authorized_keys
# The comment of a key does not make it another one.
missing() {
  printf '%s\n' "$keys" | while read -r kind key comment; do
    grep -qsF "$kind $key" "$file" || printf '%s %s%s\n' "$kind" "$key" "${comment:+ $comment}"
  done
}
if [ $verb = probe ]; then
  if [ -z "$(missing)" ]; then echo present; else echo absent; fi
else
  owner=$(stat -c %u:%g "$root$home")
  if [ ! -d "$root$home/.ssh" ]; then
    mkdir -m 0700 "$root$home/.ssh"
    chown "$owner" "$root$home/.ssh"
  fi
  new=$(missing)
  if [ -n "$new" ]; then
    # The last line may lack its end.
    { if [ -f "$file" ]; then sed '$a\' "$file"; fi; printf '%s\n' "$new"; } >"$file.feeder-new"
    chmod 0600 "$file.feeder-new"
    chown "$owner" "$file.feeder-new"
    mv "$file.feeder-new" "$file"
  fi
fi
