# Who may be running from which generation, as far as the master can tell.
for tree in "$tftp"/*/; do
  into=$(readlink "$tree$kernel") || continue
  into=${into#"$generations/"}
  tree=${tree%/}
  echo "tree ${tree##*/} ${into%%/*}"
done
sed -n -e "s,^\([0-9.]*\):$generations/\([0-9]*\)/root:.*,mounted \1 \2,p" \
  -e "s,^\([0-9.]*\):$copies/[^/]*/generations/\([0-9]*\)/root:.*,mounted \1 \2,p" "$rmtab" 2>/dev/null || :
ss -Htn state established '( sport = :2049 )' | awk '{ sub(/:[0-9]*$/, "", $NF); gsub(/[][]|::ffff:/, "", $NF); print "connected", $NF }' | sort -u
