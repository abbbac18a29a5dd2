# Gives the disk two partitions, and takes what was on it. Set before: $boot_mib, $serial (as shown to whoever agreed).
set -eu
need_disk
[ "$(stage)" = none ] || exit 0
busy=$(in_use)
[ -z "$busy" ] || fail "$disk is in use: $busy"
[ "$(blockdev --getss "$device")" = 512 ] || fail "$disk has sectors of $(blockdev --getss "$device") bytes; its boot firmware reads 512"
[ "$(blockdev --getro "$device")" = 0 ] || fail "$disk is write-protected"
found=$(lsblk -dno SERIAL "$device" | sed 's/^ *//; s/ *$//')
[ "$found" = "$serial" ] || fail "$disk is another disk now: its serial number is $found, not $serial"

need_drivers

total=$(blockdev --getsz "$device")
root_start=$((2048 + boot_mib * 2048))
# The rest, in whole MiB; a PC's partition table ends at 2 TiB.
[ "$total" -le 4294967295 ] || total=4294967295
root_size=$(((total - root_start) / 2048 * 2048))
[ "$root_size" -ge 65536 ] || fail "$disk is too small: $total sectors"

# The table is made beside the disk, with a disk id that no other disk has, and goes there as one sector.
mkdir -p "$work"
table=$work/table
rm -f "$table"
watch_disk
trap 'blame $?; rm -f "$table"' EXIT
truncate -s $((total * 512)) "$table"
id=$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
sfdisk -q "$table" <<TABLE
label: dos
label-id: 0x$id
start=2048, size=$((boot_mib * 2048)), type=c
start=$root_start, size=$root_size, type=83
TABLE
write_mark "$table" made -

# zero FROM: a MiB from that byte on.
zero() { dd if=/dev/zero of="$device" bs=1M count=1 oflag=seek_bytes seek="$1" conv=notrunc,fsync status=none; }
# Both ends of the disk hold tables, and the beginnings of partitions file systems: nothing of before shines through.
zero 0
zero $(($(blockdev --getsize64 "$device") - 1048576))
zero 1048576
zero $((root_start * 512))
flush
dd if="$table" of="$device" bs=512 count=1 conv=notrunc,fsync status=none
blockdev --rereadpt "$device" 2>/dev/null || :
partx -u "$device" 2>/dev/null || :
find_partitions
