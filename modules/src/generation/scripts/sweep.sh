# What removals and copies that were cut off have left.
for left in "$generations"/.[0-9]*.removed "$generations"/.[0-9]*.partial \
  "$copies"/*/generations/.[0-9]*.removed "$copies"/*/generations/.[0-9]*.partial; do
  [ ! -e "$left" ] || rm -rf --one-file-system "$left"
done
