# Runs inside the new root, emulated, when all packages are configured and the recipe's files are in place.
set -eu
export LC_ALL=C SOURCE_DATE_EPOCH

useradd --create-home --uid "$USER_ID" --shell /bin/bash --groups "$USER_GROUPS" "$USER_NAME"
install -d -m 700 -o "$USER_NAME" -g "$USER_NAME" "/home/$USER_NAME/.ssh"
printf '%s\n' "$SSH_PUBLIC_KEY" >"/home/$USER_NAME/.ssh/authorized_keys"
chown "$USER_NAME:$USER_NAME" "/home/$USER_NAME/.ssh/authorized_keys"
chmod 600 "/home/$USER_NAME/.ssh/authorized_keys"
passwd --quiet --lock root

# shellcheck disable=SC2086 # one word a unit
systemctl --quiet enable $UNITS_ENABLED
# shellcheck disable=SC2086
[ -z "$UNITS_MASKED" ] || systemctl --quiet mask $UNITS_MASKED

echo "feeder: initramfs"
for modules in /usr/lib/modules/*; do
	kernel=${modules##*/}
	mkinitramfs -c zstd -l 1 -o "/boot/initrd.img-$kernel" "$kernel"
done
