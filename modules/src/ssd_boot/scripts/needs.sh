# What must hold before the SSD is touched, and before it takes over. Set before: $drivers, $initramfs, $firmware.

# need_drivers: the kernel reaches its root on the SSD, by itself or by its initramfs.
need_drivers() {
  for driver in $drivers; do
    ! grep -q "/$driver\.ko" "/usr/lib/modules/$(uname -r)/modules.builtin" || continue
    # grep reads to the end: lsinitramfs complains when it cannot say everything.
    [ -f "$firmware/$initramfs" ] && lsinitramfs "$firmware/$initramfs" | grep "/$driver\.ko" >/dev/null ||
      fail "neither the kernel nor $firmware/$initramfs holds the driver $driver, without which the SSD cannot be the root: add $driver to /etc/initramfs-tools/modules and run update-initramfs -u"
  done
}

# no_worker_runs: what a worker wrote after the last copy would be lost.
no_worker_runs() {
  clients=$(ss -Htn state established '( sport = :2049 )' | awk '{ sub(/:[0-9]+$/, "", $NF); print $NF }' | sort -u | tr '\n' ' ')
  [ -z "$clients" ] || fail "workers run from this master (${clients% }): shut them down, then run it again; one whose power was cut may count for some minutes"
}

# need_copy: the SSD may become the root. Sets what find_partitions does.
need_copy() {
  need_disk
  here=$(stage)
  case $here in
    copied | sealed) ;;
    *) fail "$disk does not hold a whole copy (it is: $here)" ;;
  esac
  find_partitions
  need_drivers
  no_worker_runs
}
