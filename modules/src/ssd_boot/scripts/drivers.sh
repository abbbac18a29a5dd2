# Set before: $drivers, $initramfs, $firmware.

# need_drivers: the kernel reaches its root on the SSD, by itself or by its initramfs.
need_drivers() {
  for driver in $drivers; do
    ! grep -q "/$driver\.ko" "/usr/lib/modules/$(uname -r)/modules.builtin" || continue
    [ -f "$firmware/$initramfs" ] && lsinitramfs "$firmware/$initramfs" | grep -q "/$driver\.ko" ||
      fail "neither the kernel nor $firmware/$initramfs holds the driver $driver, without which the SSD cannot be the root: add $driver to /etc/initramfs-tools/modules and run update-initramfs -u"
  done
}
