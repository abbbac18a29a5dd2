# What it was made of.
packages_of() { dpkg-query --admindir="$1/var/lib/dpkg" -W -f '${Package}:${Architecture} ${Version}\n' | LC_ALL=C sort; }
packages_of "$root" >"$partial/packages"
of() { printf 'wanted=%s\npackages=%s\nkernel=%s\n' "$wanted" "$(sha256sum <"$partial/packages" | cut -d ' ' -f 1)" "$release"; }
{
  printf 'key=%s\n' "$(of | sha256sum | cut -c 1-12)"
  of
  printf 'nfs-root=%s\norigin=%s\ncreated=%s\n' "$nfs_root" "$origin" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
} >"$partial/inputs"
echo "$release" >"$partial/kernel-release"
chmod -R u=rwX,go=rX "$partial/boot"
chmod 0755 "$partial"
belongs_together "$partial" "$number"
if [ -n "$from" ] && grep -qxF "$(grep '^key=' "$partial/inputs")" "$generations/$from/inputs" 2>/dev/null; then
  echo "feeder-same-as $from"
  rm -rf --one-file-system "$partial"
  exit 0
fi

# One rename, so that a generation is whole or not there.
sync
mv -T "$partial" "$final"
