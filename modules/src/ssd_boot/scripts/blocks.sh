# The first copy by blocks: as fast as the disks are, where going from file to file keeps a processor busy. Set before: as for
# copying, $images.
#
# The root is mounted and changes meanwhile. What nobody changes is copied as it is: its inode and its blocks stay where they
# are, and were written out before. What somebody changes has a later ctime, and is copied once more as a file. Metadata is
# read as the kernel has it, since a file system and its block device share that cache; no journal is needed to make it
# current, and fsck mends where two moments of it meet.

# blocks_suffice: the copy can be made by blocks. Sets $from, how many $blocks of how many bytes ($block) it has, and how long an
# $inode is.
blocks_suffice() {
  [ "$file_system" = ext4 ] || return 1
  from=$(findmnt -nro FSTYPE,SOURCE --target "$source")
  case $from in 'ext4 '*) from=${from#* } ;; *) return 1 ;; esac
  [ -b "$from" ] || return 1
  # For a while the copy has the UUID and the label of the original: neither may be what the board starts from.
  grep -Eq '(^| )root=(PARTUUID=|/dev/)' "$firmware/cmdline.txt" || return 1
  # shellcheck disable=SC2046
  set -- $(dumpe2fs -h "$from" 2>/dev/null | sed -n 's/^Block count: *//p; s/^Block size: *//p; s/^Inode size: *//p')
  [ $# -eq 3 ] || return 1
  blocks=$1
  block=$2
  inode=$3
  # Smaller ones share a page of that cache: file and block device could disagree.
  [ "$block" = "$(getconf PAGESIZE)" ] || return 1
  [ $((blocks * block)) -le "$(blockdev --getsize64 "$root_device")" ]
}

# clock: how far it is from that of the kernel, which nobody sets, in seconds.
clock() {
  read -r uptime _ </proc/uptime
  echo $(($(date +%s) - ${uptime%.*}))
}

# was_set_back: the clock, since the copy began.
was_set_back() { [ "$(clock)" -lt $((clock_before - 1)) ]; }

# free_and_unused: what of the root's blocks need not be copied, as lines of "FIRST LAST free", or "zero" where somebody may look:
# blocks that are free, the journal, and rows of inode tables that were never used.
free_and_unused() {
  debugfs -R 'dump_extents -l <8>' "$from" 2>/dev/null | awk '$(NF - 2) == "-" { print $(NF - 3), $(NF - 1), "free" }'
  dumpe2fs "$from" 2>/dev/null | awk -v a_block=$((block / inode)) '
    /^  Inode table at / { split($4, table, "-") }
    / unused inodes$/ {
      unused = int($(NF - 2) / a_block)
      if (unused) print table[2] - unused + 1, table[2], "zero"
    }
    /^  Free blocks: / {
      gsub(",", "")
      for (i = 3; i <= NF; i++) { n = split($i, free, "-"); print free[1], free[n], "free" }
    }'
}

# ranges: how the copy is made, as lines of "copy FIRST COUNT" and "zero FIRST COUNT", in blocks. Small gaps are copied, too: a
# disk that reads ahead has them anyway.
ranges() {
  free_and_unused | sort -n | awk -v blocks="$blocks" -v gap=64 -v begin=0 '
    function put(what, first, count) { if (count > 0) print what, first, count }
    function leave_out() {
      if (kind == "free" && last - first < gap) return
      put("copy", begin, first - begin)
      if (kind == "zero") put(kind, first, last - first + 1)
      begin = last + 1
    }
    $3 == kind && $1 == last + 1 { last = $2; next }
    { if (kind) leave_out(); first = $1; last = $2; kind = $3 }
    END { if (kind) leave_out(); put("copy", begin, blocks - begin) }'
}

# copy_ranges: to the disk, by one process, in whose place it goes: to start one for each range would take as long as to copy some
# MiB. Tells bytes in a file, of which whoever reads it meanwhile has the old one or the new one.
copy_ranges() {
  exec perl -we '
    use strict;
    use constant { PART => 1 << 20, TOLD => 4 << 20 };
    my ($from, $to, $block, $file) = @ARGV;
    open(my $in, "<:raw", $from) or die "$from: $!\n";
    open(my $out, "+<:raw", $to) or die "$to: $!\n";
    my ($copied, $told, $part) = (0, 0, "");
    my $zeros = "\0" x PART;

    sub put {
      for (my $done = 0; $done < length($_[0]);) {
        $done += syswrite($out, $_[0], length($_[0]) - $done, $done) // die "$to: $!\n";
      }
    }
    sub tell_copied {
      open(my $new, ">", "$file.new") or die "$file: $!\n";
      print($new "$copied\n") && close($new) && rename("$file.new", $file) or die "$file: $!\n";
      $told = $copied;
    }

    while (<STDIN>) {
      my ($what, $first, $count) = split;
      defined(sysseek($_, $first * $block, 0)) or die "$from, $to: $!\n" for ($what eq "copy" ? $in : (), $out);
      for (my ($left, $got) = $count * $block; $left; $left -= $got) {
        $got = $left < PART ? $left : PART;
        if ($what eq "zero") {
          # Through the cache like the rest: nothing here waits for the medium.
          put(substr($zeros, 0, $got));
        } else {
          $got = sysread($in, $part, $got) // die "$from: $!\n";
          $got or die "$from: it ends before its file system does\n";
          put($part);
          $copied += $got;
          tell_copied() if $copied - $told >= TOLD;
        }
      }
    }
    tell_copied();' "$from" "$root_device" "$block" "$work/copied" <"$work/ranges" 2>"$work/said"
}

# copy_blocks: a mounted copy, with the UUID that the file system on the disk has now.
copy_blocks() {
  mkdir -p "$work"
  : >"$work/began"
  # A ctime is that of the last tick of the clock.
  touch -d '1 second ago' "$work/began"
  clock_before=$(clock)
  sync
  # What the block device has in its cache of files that were written since then.
  blockdev --flushbufs "$from"
  ranges >"$work/ranges" &
  copier=$!
  uuid=$(uuid_of "$root_device")
  # Cut off from here on, it is made anew: nothing of it is of use.
  write_mark "$device" made -
  echo 0 >"$work/copied"
  wait_copier
  [ "$status" -eq 0 ] || fail "$from does not tell which of its blocks are in use (status $status)"
  copy_ranges &
  copier=$!
  tell_progress "cat $work/copied" $(($(awk '$1 == "copy" { blocks += $3 } END { print blocks }' "$work/ranges") * block))
  wait_copier
  stop_telling
  [ "$status" -eq 0 ] || fail "copying blocks stopped with status $status: $(tail -n 1 "$work/said")"
  tell "$total"
  make_sound
  mount_both
  bring_what_changed
}

# make_sound: a file system of its own, over all of the partition.
make_sound() {
  # Newer ones keep a list of deleted files that are open beside the journal.
  case " $(dumpe2fs -h "$root_device" 2>/dev/null | sed -n 's/^Filesystem features: *//p') " in
    *' orphan_file '*) orphans=yes ;;
    *) orphans= ;;
  esac
  debugfs -w -R "feature -needs_recovery${orphans:+ -orphan_present}" "$root_device" >/dev/null 2>&1
  tune2fs -f -O "^has_journal${orphans:+,^orphan_file}" "$root_device" >/dev/null
  status=0
  e2fsck -f -y "$root_device" >/dev/null 2>&1 || status=$?
  [ $status -lt 4 ] || fail "e2fsck cannot make the copy on $disk sound (status $status)"
  tune2fs -U "$uuid" -L feeder-root -O "has_journal${orphans:+,orphan_file}" "$root_device" >/dev/null
  resize2fs "$root_device" >/dev/null 2>&1 || fail "resize2fs cannot give the copy all of $disk"
}

# bring_what_changed: what was written while the blocks were copied, and out goes what no copy has.
bring_what_changed() {
  for folder in lost+found tmp; do
    [ ! -d "$work/root/$folder" ] || find "$work/root/$folder" -xdev -mindepth 1 -delete
  done
  rm -f "$work/root/swapfile" "$work/root/var/swap"
  for image in "$work/root$images"/*/state.img; do
    here=$work/source${image#"$work/root"}
    ! was_set_back && [ -z "$(find "$here" -newercm "$work/began" 2>/dev/null)" ] || rm -f "$image"
  done
  if was_set_back; then
    # Somebody set it back: no ctime tells what changed, and the next copy looks into every file.
    : >"$work/root/.feeder-copying"
    sync -f "$work/root"
  else
    (cd "$work/source" && find . -xdev ! -type d -newercm "$work/began" -print0) >"$work/changed"
    sync_tree --ignore-times --ignore-missing-args --from0 --files-from="$work/changed"
    rm "$work/changed"
    sync -f "$work/root"
  fi
}
