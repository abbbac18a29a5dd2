in_group() { grep -q "^$1:[^:]*:[^:]*:\(.*,\)\{0,1\}$user\(,.*\)\{0,1\}\$" "$root/etc/group"; }
missing=
for group in $groups; do
  in_group "$group" || missing="$missing $group"
done
if [ $verb = probe ]; then
  if [ -z "$missing" ]; then echo present; else echo "not in$missing"; fi
else
  for group in $missing; do
    grep -q "^$group:" "$root/etc/group" || groupadd ${root:+--root "$root"} "$group"
    usermod ${root:+--root "$root"} --append --groups "$group" "$user"
  done
fi
