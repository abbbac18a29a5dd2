# What removals and copies that were cut off have left.
for left in "$generations"/.[0-9]*.removed "$generations"/.[0-9]*.partial \
  "$copies"/*/generations/.[0-9]*.removed "$copies"/*/generations/.[0-9]*.partial; do
  [ ! -e "$left" ] || rm -rf --one-file-system "$left"
done
# Copies of what is not there any more: another generation may have that number one day.
for own in "$copies"/*/generations/[1-9]*; do
  if [ -d "$own" ] && [ ! -d "$generations/${own##*/}" ]; then rm -rf --one-file-system "$own"; fi
done
