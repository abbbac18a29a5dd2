[ -f "$generations/$number/kernel-release" ] || fail "there is no generation $number"
belongs_together "$generations/$number" "$number"
# The last number of the list is the one that workers boot. What was active before stays in it: that is the way back.
{ tail -n 19 "$active" 2>/dev/null || :; echo "$number"; } >"$active.partial"
sync "$active.partial"
mv -T "$active.partial" "$active"
sync "$generations"
