# Behind all others of the folder: of two rules, sudo hears the last.
file=$root/etc/sudoers.d/zz-feeder
if [ $verb = probe ]; then
  if [ "$(cat "$file" 2>/dev/null)" = "$rule" ] && [ "$(stat -c %a "$file")" = 440 ]; then echo present; else echo absent; fi
else
  [ -d "$root/etc/sudoers.d" ] || { echo "there is no $root/etc/sudoers.d: is sudo installed?" >&2; exit 1; }
  # Whoever provisions must be able to become root afterwards. Perl's crypt knows what the system knows; all of it goes by
  # standard input.
  if [ -n "${password:-}" ]; then
    hash_of_user
    printf '%s\n%s\n' "$password" "$found" | perl -e 'chomp(my ($password, $hash) = <STDIN>); exit((crypt($password, $hash) // "") eq $hash ? 0 : 1)' || {
      echo "sudo-password in [master] is not the password of $user here: nobody could provision any more. Correct it, or set password in [system]" >&2
      exit 1
    }
  fi
  # sudo reads no file with a dot in its name.
  new=$root/etc/sudoers.d/.zz-feeder.new
  rm -f "$new"
  (umask 0337 && printf '%s\n' "$rule" >"$new")
  visudo -cf "$new" >/dev/null || { rm -f "$new"; echo "visudo does not take the rule" >&2; exit 1; }
  mv "$new" "$file"
fi
