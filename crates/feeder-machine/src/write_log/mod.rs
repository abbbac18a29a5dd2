//! The writes of a disk, one after the other, and the disk as it was after any of them.
//!
//! QEMU's block filter `blklogwrites` (see [`Disk::write_log`](crate::Disk::write_log)) writes what Linux's
//! dm-log-writes writes (Documentation/admin-guide/device-mapper/log-writes.rst): a super block, then each request
//! with its data, in the order in which they completed, all numbers little endian.
//!
//! A disk may lose in a power cut what it was not told to flush: [`Cut`] says what of a log has reached it, and
//! [`WriteLog::apply`] makes an image so; for many cuts, [`Rewind`] does. Of several disks, [`Follow`] knows how far each was
//! when the others were where they were.

mod error;
mod follow;
mod format;
mod replay;
mod rewind;

use std::io::{Read, Seek, SeekFrom};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

pub use error::WriteLogError;
pub use follow::{Follow, Moment};
pub use replay::{Cut, Step};
pub use rewind::Rewind;

/// A log, with the data left in its file.
#[derive(Debug)]
pub struct WriteLog {
    path: Utf8PathBuf,
    /// Bytes of a sector, in which the log counts.
    sector: u64,
    entries: Vec<Entry>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// First byte on the disk.
    pub offset: u64,
    /// Bytes on the disk; 0 for a flush alone.
    pub length: u64,
    /// What was asked for.
    pub kind: Kind,
    /// Whether all that had completed before reached the disk with it.
    pub flush: bool,
    /// Whether it had reached the disk itself when it completed.
    pub fua: bool,
    /// Where the data is in the log's file.
    data: u64,
}

/// What a request asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// To write bytes.
    Write,
    /// To forget bytes: they read as zeros from then on.
    Discard,
    /// Nothing: somebody marked a point in the log with this text.
    Mark(String),
}

impl WriteLog {
    /// Reads the list of requests. The log of a machine that still runs is read as far as it goes.
    ///
    /// # Errors
    /// The file cannot be read, is no such log, or ends in the middle of a request that its super block counts.
    pub fn open(path: &Utf8Path) -> Result<Self, WriteLogError> {
        let io = |source| WriteLogError::Io { what: format!("read {path}"), source };
        let mut file = std::io::BufReader::new(fs::File::open(path).map_err(io)?);
        let size = file.get_ref().metadata().map_err(io)?.len();
        let wrong = |why: String| WriteLogError::NoLog { path: path.to_owned(), why };
        let mut bytes = [0; format::SUPER];
        file.read_exact(&mut bytes).map_err(|_| wrong(format!("it has only {size} bytes")))?;
        let head = format::super_block(&bytes).map_err(wrong)?;

        let mut entries = Vec::new();
        let mut at = head.sector;
        for number in 1..=head.entries {
            let cut = || WriteLogError::Truncated {
                path: path.to_owned(),
                entry: number,
                entries: head.entries,
            };
            if at + head.sector > size {
                return Err(cut());
            }
            file.seek(SeekFrom::Start(at)).map_err(io)?;
            let mut bytes = [0; format::ENTRY];
            file.read_exact(&mut bytes).map_err(io)?;
            let raw = format::entry(&bytes, head.sector)
                .map_err(|why| wrong(format!("entry {number} {why}")))?;
            let data = at + head.sector;
            let end = data.checked_add(raw.stored.next_multiple_of(head.sector));
            // Data of the last entry is not padded in the file.
            if data.checked_add(raw.stored).is_none_or(|end| end > size) {
                return Err(cut());
            }
            let kind = match raw.what {
                format::What::Write => Kind::Write,
                format::What::Discard => Kind::Discard,
                format::What::Mark => {
                    let mut text = Vec::new();
                    file.seek(SeekFrom::Start(data)).map_err(io)?;
                    file.by_ref().take(raw.stored).read_to_end(&mut text).map_err(io)?;
                    let text = String::from_utf8_lossy(&text);
                    Kind::Mark(text.trim_end_matches('\0').to_owned())
                }
            };
            entries.push(Entry {
                offset: raw.offset,
                length: raw.length,
                kind,
                flush: raw.flush,
                fua: raw.fua,
                data,
            });
            at = end.ok_or_else(cut)?;
        }
        Ok(Self { path: path.to_owned(), sector: head.sector, entries })
    }

    /// The requests in the order in which they completed.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of a sector, of which each is written whole or not at all.
    #[must_use]
    pub fn sector(&self) -> u64 {
        self.sector
    }
}

#[cfg(test)]
mod tests;
