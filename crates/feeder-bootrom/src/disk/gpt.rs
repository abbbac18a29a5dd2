//! The GUID partition table (UEFI specification, chapter 5.3), as strictly as it can be read.
//!
//! What the boards do with a damaged table is not known. This one refuses it, and does not look at the copy
//! at the end of the disk: a disk that it takes is one that every reading of the specification takes.

use std::io::{Read, Seek};

use super::DiskBootError;
use super::table::{Partition, PartitionType, SECTOR, read_at};

/// Bytes of the header that are defined.
const HEADER: usize = 92;
/// Bytes of entries that are read at most; the specification's minimum, which everybody writes, is 16 KiB.
const ENTRIES: usize = 128 * 1024;
/// Bytes of an entry that are looked at.
const ENTRY: usize = 128;

/// The partitions that are not empty, in the order of the table.
pub(super) fn partitions<D: Read + Seek>(disk: &mut D) -> Result<Vec<Partition>, DiskBootError> {
    let mut sector = [0_u8; SECTOR as usize];
    read_at(disk, SECTOR, &mut sector, "the GPT's header (second 512 bytes)")?;
    let header = Header::parse(&sector).map_err(|why| DiskBootError::Gpt { why })?;
    let mut entries = vec![0; header.entry * header.count];
    read_at(disk, header.entries_at, &mut entries, "the GPT's entries")?;
    if crc32fast::hash(&entries) != header.entries_crc {
        return Err(DiskBootError::Gpt { why: "its entries do not have the checksum".into() });
    }
    Ok(header.partitions(&entries))
}

struct Header {
    /// In bytes, as the other two.
    entries_at: u64,
    entry: usize,
    /// Of entries.
    count: usize,
    entries_crc: u32,
    /// Blocks in which partitions may lie: the first, the last.
    usable: (u64, u64),
}

impl Header {
    fn parse(sector: &[u8; SECTOR as usize]) -> Result<Self, String> {
        if sector[..8] != *b"EFI PART" {
            return Err("it does not begin with `EFI PART`".into());
        }
        let size = size(word(sector, 12));
        if !(HEADER..=sector.len()).contains(&size) {
            return Err(format!("its header has {size} bytes"));
        }
        let mut plain = *sector;
        plain[16..20].fill(0);
        if crc32fast::hash(&plain[..size]) != word(sector, 16) {
            return Err("its header does not have the checksum".into());
        }
        if long(sector, 24) != 1 {
            return Err("its header is that of another place".into());
        }
        let (count, entry) = (self::size(word(sector, 80)), self::size(word(sector, 84)));
        if entry < ENTRY || count.checked_mul(entry).is_none_or(|bytes| bytes > ENTRIES) {
            return Err(format!("it has {count} entries of {entry} bytes"));
        }
        let entries_at = long(sector, 72).checked_mul(SECTOR).filter(|at| *at < 1 << 62);
        Ok(Self {
            entries_at: entries_at.ok_or("its entries lie beyond every disk")?,
            entry,
            count,
            entries_crc: word(sector, 88),
            usable: (long(sector, 40), long(sector, 48)),
        })
    }

    fn partitions(&self, entries: &[u8]) -> Vec<Partition> {
        let numbered = (1..=u8::MAX).zip(entries.chunks_exact(self.entry));
        numbered
            .filter_map(|(number, entry)| {
                let kind: [u8; 16] = std::array::from_fn(|i| entry[i]);
                let (first, last) = (long(entry, 32), long(entry, 40));
                let fits = self.usable.0 <= first && first <= last && last <= self.usable.1;
                // A bound that no disk reaches, and no sum passes.
                (kind != [0; 16] && fits && last < 1 << 52).then(|| Partition {
                    number,
                    kind: PartitionType::Gpt(kind),
                    start: first * SECTOR,
                    length: (last - first + 1) * SECTOR,
                })
            })
            .collect()
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn size(word: u32) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}
