# Before all others of the folder: of two settings, sshd hears the first.
file=$root/etc/ssh/sshd_config.d/00-feeder.conf
# What counts is what sshd makes of all its files. A system in a folder has neither host keys nor an sshd.
heard() {
  [ -n "$root" ] || sshd -T -C "user=$user,host=localhost,addr=127.0.0.1" | grep -qix "passwordauthentication $allowed"
}
if [ $verb = probe ]; then
  if [ "$(cat "$file" 2>/dev/null)" != "$settings" ]; then echo absent; elif heard; then echo present; else echo overruled; fi
else
  mkdir -p "${file%/*}"
  printf '%s\n' "$settings" >"$file.feeder-new"
  chmod 0644 "$file.feeder-new"
  mv "$file.feeder-new" "$file"
  heard || { echo "sshd does not hear it: take PasswordAuthentication out of /etc/ssh/sshd_config, or away from before its Include" >&2; exit 1; }
fi
