#!/bin/sh
# The first process of a diskless worker.
#
# The kernel (or its initramfs) has mounted this generation's root read-only
# over NFS and started us from it. We put the worker's own state over it and
# hand over to systemd:
#
#   lower   this root, shared by all workers, read-only
#   upper   an ext4 image of this worker alone: a file on the master's NFS,
#           loop-mounted, because overlayfs refuses NFS as its upper layer
#
# With feeder.root=copy that root is a copy that this worker alone has, and
# which it may write to. Nothing is put over it; the image then only holds
# what cannot lie on NFS.
#
# On the kernel command line:
#   feeder.root=copy              as above; anything else is as without it
#   feeder.state=SERVER:/EXPORT   the folder of this worker's state
#   feeder.node=NAME              for messages
#
# What fails is said in one line on the console and tried again: the master
# may be rebooting. Nothing here ends in a silent hang.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

# Into the kernel's log, which is shown on every console and still there after the boot.
say() { echo "<4>feeder: $*" >/dev/kmsg; }

# attempt WHAT COMMAND...: until it works, with its own words on the console.
attempt() {
  what=$1
  shift
  while ! words=$("$@" 2>&1); do
    say "$node: cannot $what: $(echo "$words" | tr '\n' ' '); trying again in 5 s"
    sleep 5
  done
}

mounted() { grep -q " $1 " /proc/mounts; }

mounted /proc || mount -t proc proc /proc
mounted /sys || mount -t sysfs sysfs /sys
mounted /dev || mount -t devtmpfs devtmpfs /dev
mounted /run || mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run

node=worker
state=
kind=shared
for word in $(cat /proc/cmdline); do
  case $word in
    feeder.node=*) node=${word#*=} ;;
    feeder.root=*) kind=${word#*=} ;;
    feeder.state=*) state=${word#*=} ;;
  esac
done
while [ -z "$state" ]; do
  say "$node: the kernel command line names no feeder.state=SERVER:/EXPORT; provision this worker again, then cut its power"
  sleep 60
done

# The kernel came by TFTP and this root by NFS: when workers were moved to another generation in between, they do not fit, and
# no driver would load. The next try gets both from the new one.
while [ ! -d "/usr/lib/modules/$(uname -r)" ]; do
  say "$node: its kernel is $(uname -r), for which this root has no modules; starting anew"
  sleep 5
  echo b >/proc/sysrq-trigger
done

if [ "$kind" = copy ]; then
  at=/run/feeder
  root=
  # Whoever may log in may ask how much room is left in the image.
  mkdir -m 0711 "$at"
  case ,$(awk '$2 == "/" { options = $4 } END { print options }' /proc/mounts), in
    *,ro,*) attempt "write to its root" mount -o remount,rw / ;;
  esac
else
  # Everything of ours hangs below one tmpfs, which stays behind under the new root.
  at=/mnt
  root=/mnt/root
  attempt "make room for mounts" mount -t tmpfs -o mode=0700 tmpfs /mnt
  mkdir "$root"
fi
mkdir "$at/state" "$at/disk"

modprobe -q overlay
modprobe -q loop
modprobe -q ext4

# nolock: the image has one user, this worker, and no lock daemon runs yet.
attempt "mount its state $state" mount -t nfs -o vers=3,proto=tcp,nolock,hard,noatime "$state" $at/state

# A Pi's clock stands still without power, and certificates are not valid in the past. A file that is touched over NFS
# gets the time of the server: the master's, which is right enough until a time server has been asked.
if touch $at/state/.clock && now=$(stat -c %Y $at/state/.clock) && [ "$now" -gt "$(date +%s)" ]; then
  date -s "@$now" >/dev/null
fi

# Power is cut, not shut down, more often than not: the journal is replayed and
# small damage repaired before anything is mounted. 0 clean, 1 and 2 repaired.
fsck() {
  e2fsck -p $at/state/state.img
  [ $? -le 2 ]
}
attempt "repair its state image" fsck
attempt "mount its state image" mount -t ext4 -o loop,noatime $at/state/state.img $at/disk

# An image that `state` in cluster.toml has made larger holds a file system of the old size. That grows while it is mounted: a power
# cut on the way leaves one size or the other. One that does not grow is no reason not to start.
grow() { resize2fs "$(awk -v at="$at/disk" '$2 == at { print $1 }' /proc/mounts)"; }
words=$(grow 2>&1) || say "$node: its state image does not grow: $(echo "$words" | tr '\n' ' ')"

if [ "$kind" = copy ]; then
  # The server lets nobody but root through a folder that is root's alone, as those of services are that have a folder of
  # their own below these.
  for folder in tmp var/tmp var/lib/private var/cache/private var/log/private; do
    case $folder in *private) mode=0700 ;; *) mode=1777 ;; esac
    mkdir -p "$at/disk/own/$folder" "/$folder"
    chmod "$mode" "$at/disk/own/$folder"
    attempt "give services their folders" mount --bind "$at/disk/own/$folder" "/$folder"
  done
else
  mkdir -p $at/disk/upper $at/disk/work
  attempt "stack its root" mount -t overlay -o "lowerdir=/,upperdir=$at/disk/upper,workdir=$at/disk/work" overlay $root
fi

# Who this worker is (host keys, machine-id, names) is decided by the master,
# at every boot, so that a lost state image does not change it.
attempt "take its identity" cp -a $at/state/identity/. $root/

# Overlays cannot be stacked on an overlay as Docker stacks them: what it keeps lies on the image itself, beside the root's.
# Debian's packages and Docker's own put the engine into different folders.
if [ -x $root/usr/sbin/dockerd ] || [ -x $root/usr/bin/dockerd ]; then
  for store in docker containerd; do
    mkdir -p "$at/disk/$store" "$root/var/lib/$store"
    attempt "give $store its store" mount --bind "$at/disk/$store" "$root/var/lib/$store"
  done
fi

source=$(awk '$2 == "/" { source = $1 } END { print source }' /proc/mounts)
if [ "$kind" = copy ]; then
  say "$node: root is its own copy at $source; starting the system"
  exec /sbin/init
fi
say "$node: root is an overlay over $source; starting the system"
exec switch_root $root /sbin/init
