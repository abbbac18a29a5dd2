//! From a log and a point in it to the disk as it was.

use std::io::{Read, Seek, SeekFrom, Write};

use camino::Utf8Path;
use fs_err as fs;
use rustix::fs::{FallocateFlags, fallocate};

use super::{Entry, Kind, WriteLog, WriteLogError};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// What of a log has reached the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// So many requests had completed; all of the log when it has fewer.
    pub after: usize,
    /// Of the last of them, if it was a write, only so many sectors were written: at most all but one. A single
    /// sector is never torn.
    pub torn: Option<u64>,
    /// Of the writes and discards since the last flush, each was lost or not, by this seed. What was written with FUA is not
    /// lost. `None` loses none.
    pub lost: Option<u64>,
}

impl Cut {
    /// All of the first `after` requests.
    #[must_use]
    pub fn after(after: usize) -> Self {
        Self { after, ..Self::default() }
    }
}

/// What to do to an image, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Index of the request.
    pub entry: usize,
    /// Bytes of it from its first one on.
    pub bytes: u64,
}

impl WriteLog {
    /// What reached the disk of a log that was cut. The same cut gives the same steps.
    #[must_use]
    pub fn steps(&self, cut: &Cut) -> Vec<Step> {
        let done = &self.entries[..cut.after.min(self.entries.len())];
        let flushed = done.iter().rposition(|entry| entry.flush).unwrap_or(0);
        let last = done.len().saturating_sub(1);
        let whole = done.iter().enumerate().filter(|(_, entry)| entry.length > 0);
        whole
            .filter(|(_, entry)| !matches!(entry.kind, Kind::Mark(_)))
            .filter(|(index, entry)| {
                let safe = *index < flushed || entry.fua;
                safe || cut.lost.is_none_or(|seed| kept(seed, *index as u64))
            })
            .map(|(index, entry)| {
                let torn = cut.torn.filter(|_| index == last && entry.kind == Kind::Write);
                let bytes = torn.map_or(entry.length, |sectors| {
                    sectors.saturating_mul(self.sector).min(entry.length - self.sector)
                });
                Step { entry: index, bytes }
            })
            .filter(|step| step.bytes > 0)
            .collect()
    }

    /// Does steps of [`Self::steps`], or a part of them, to a raw image, which is as large as the disk and holds what it held
    /// before. An image of nothing but zeros may be sparse and stays so where nothing is written.
    ///
    /// # Errors
    /// Log or image cannot be read or written, or the image is smaller than the disk was.
    ///
    /// # Panics
    /// A step is none of this log.
    pub fn apply(&self, image: &Utf8Path, steps: &[Step]) -> Result<(), WriteLogError> {
        let read = |source| WriteLogError::Io { what: format!("read {}", self.path), source };
        let write = |source| WriteLogError::Io { what: format!("write {image}"), source };
        let mut log = fs::File::open(&self.path).map_err(read)?;
        let mut disk = fs::OpenOptions::new().write(true).open(image).map_err(write)?;
        let size = disk.metadata().map_err(write)?.len();
        let mut chunk = vec![0; CHUNK];
        for step in steps {
            let entry = &self.entries[step.entry];
            if entry.offset + step.bytes > size {
                return Err(too_small(image, size, step.entry, entry));
            }
            if entry.kind == Kind::Discard {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&disk, flags, entry.offset, step.bytes)
                    .map_err(|errno| write(errno.into()))?;
                continue;
            }
            log.seek(SeekFrom::Start(entry.data)).map_err(read)?;
            disk.seek(SeekFrom::Start(entry.offset)).map_err(write)?;
            let mut left = step.bytes;
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
                log.read_exact(&mut chunk[..part]).map_err(read)?;
                disk.write_all(&chunk[..part]).map_err(write)?;
                left -= part as u64;
            }
        }
        Ok(())
    }
}

fn too_small(image: &Utf8Path, size: u64, index: usize, entry: &Entry) -> WriteLogError {
    WriteLogError::TooSmall {
        image: image.to_owned(),
        size,
        entry: index,
        end: entry.offset + entry.length,
    }
}

/// Whether a request is among those that reached the disk: a coin for each, from SplitMix64.
fn kept(seed: u64, index: u64) -> bool {
    let mut x = seed ^ index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ x >> 31) & 1 == 0
}
