final=$generations/$number
partial=$generations/.$number.partial
root=$partial/root

[ ! -e "$final" ] || fail "$final exists but is not complete; move it away"
# A copy that fails half-way would leave the disk full.
trap 'status=$?; [ $status -eq 0 ] || rm -rf --one-file-system "$partial"' EXIT
rm -rf --one-file-system "$partial"
mkdir -p "$partial"
