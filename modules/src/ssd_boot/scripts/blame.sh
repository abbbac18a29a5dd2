# Why a step failed, when it was the disk. What the step said itself comes before.

# last_error: the kernel's last words about an error of the disk.
last_error() { dmesg 2>/dev/null | grep -E "error, dev ${device##*/}," | tail -n 1; }

# watch_disk: what fails from here on is looked into.
watch_disk() { error_before=$(last_error); }

# is_gone: it was unplugged. One that is plugged in again may have another number; one that has just gone may still have its.
is_gone() {
  case $error in *offline*) return ;; esac
  ! command -v udevadm >/dev/null || udevadm settle || :
  [ ! -b "$device" ] || [ "$(readlink -e "$disk")" != "$device" ]
}

# is_full FOLDER: of the file system there, less than one part in a hundred is left.
is_full() { df -B1 --output=size,avail "$1" 2>/dev/null | awk 'NR == 2 { full = $2 * 100 < $1 } END { exit !full }'; }

# blame STATUS: says what is to be done about the disk.
blame() {
  [ "$1" -ne 0 ] || return 0
  error=$(last_error)
  [ "$error" != "$error_before" ] || error=
  safe='Nothing is lost: the master runs from where it ran before'
  if is_gone; then
    echo "$disk went away while it was written to: it was unplugged or lost its power. $safe. Plug it in again, through a hub with a supply of its own if it draws more than 600 mA, and run this again" >&2
  elif [ -n "$error" ]; then
    echo "$disk fails: ${error#\[*\] }. $safe. Give it enough power, another cable or another adapter, restart the master, and run this again; if it fails again, take another disk" >&2
  elif mountpoint -q "$work/root" && is_full "$work/root"; then
    echo "$disk is full. $safe. Make room on the master, or take a larger disk, and run this again" >&2
  fi
}
