# on_root: whether the root is on the SSD.
on_root() {
  [ "$(findmnt -nro MAJ:MIN --target "$source")" = "$(lsblk -dnro MAJ:MIN "$root_device" 2>/dev/null | tr -d ' ')" ]
}

# on_disk: sets $state to how far the move is: none, made, formatted, copied, sealed, or running when the root is there.
on_disk() {
  state=none
  find_disk || return 0
  state=$(stage)
  if [ "$state" = sealed ] && on_root; then state=running; fi
}
