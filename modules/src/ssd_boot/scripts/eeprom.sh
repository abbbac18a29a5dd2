# The boot order in the EEPROM of a 4 or 5: digits, tried from the last to the first; 1 is the SD card, 4 is USB.

eeprom_order() { rpi-eeprom-config | sed -n 's/^BOOT_ORDER=0x//p' | tail -n 1; }

# usb_first ORDER: the same order with USB before everything else.
usb_first() { printf '%s4\n' "$(echo "$1" | tr -d 4)"; }

# eeprom_prefers_usb: takes effect with the next start, which writes the EEPROM. The card stays as it is: an SSD that does not
# answer is passed over.
eeprom_prefers_usb() {
  order=$(eeprom_order)
  case $order in
    *4) return ;;
    '') order=f1 ;;
  esac
  rpi-eeprom-config | grep -v '^BOOT_ORDER=' >"$work/eeprom"
  echo "BOOT_ORDER=0x$(usb_first "$order")" >>"$work/eeprom"
  rpi-eeprom-config --apply "$work/eeprom"
  rm -f "$work/eeprom"
}
