//! A partition by itself, for tools that write.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    os::fd::AsFd,
};

use camino::Utf8Path;
use fs_err as fs;
use rustix::{
    fs::{FallocateFlags, SeekFrom as Sparse, fallocate, seek},
    io::Errno,
};

use super::table::Partition;
use crate::{Class, OrFail, Verdict};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// Makes the file `to` what a partition of the disk in the raw file `image` holds. Whatever was in `to` goes, and its room on
/// this machine's disk is used again.
pub(super) fn partition(image: &Utf8Path, partition: &Partition, to: &Utf8Path) -> Verdict {
    copied(image, partition, to).or_fail(Class::Host, "cannot copy a partition")
}

fn copied(image: &Utf8Path, partition: &Partition, to: &Utf8Path) -> io::Result<()> {
    let mut disk = fs::File::open(image)?;
    let mut copy = fs::OpenOptions::new().create(true).truncate(false).write(true).open(to)?;
    copy.set_len(partition.length)?;
    let end = partition.start + partition.length;
    let (mut at, mut chunk) = (partition.start, vec![0; CHUNK]);
    while at < end {
        let data = next(&disk, Sparse::Data(at), end)?;
        if data > at {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&copy, flags, at - partition.start, data - at)?;
        }
        let hole = next(&disk, Sparse::Hole(data), end)?;
        disk.seek(SeekFrom::Start(data))?;
        copy.seek(SeekFrom::Start(data - partition.start))?;
        at = data;
        while at < hole {
            let part = usize::try_from(hole - at).unwrap_or(CHUNK).min(CHUNK);
            disk.read_exact(&mut chunk[..part])?;
            copy.write_all(&chunk[..part])?;
            at += part as u64;
        }
    }
    Ok(())
}

/// Where data or a hole begins, at most `end`.
fn next(disk: impl AsFd, from: Sparse, end: u64) -> io::Result<u64> {
    match seek(disk, from) {
        Ok(at) => Ok(at.min(end)),
        // No more data behind it.
        Err(Errno::NXIO) => Ok(end),
        Err(errno) => Err(errno.into()),
    }
}
