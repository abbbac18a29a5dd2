//! The master boot record: four primary partitions.

use std::io::{Read, Seek, SeekFrom};

use super::DiskBootError;

/// Bytes per logical block of an SD card, and of every address in an MBR.
const SECTOR: u64 = 512;

/// A primary partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its place in the table, from 1.
    pub number: u8,
    /// The type byte.
    pub kind: u8,
    /// First byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
}

impl Partition {
    /// Whether the type is one of FAT12, FAT16 or FAT32, by CHS or LBA.
    #[must_use]
    pub fn is_fat(&self) -> bool {
        matches!(self.kind, 0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e)
    }
}

/// The primary partitions that are not empty, in the order of the table.
pub(super) fn partitions<D: Read + Seek>(disk: &mut D) -> Result<Vec<Partition>, DiskBootError> {
    let mut sector = [0_u8; SECTOR as usize];
    disk.seek(SeekFrom::Start(0)).and_then(|_| disk.read_exact(&mut sector)).map_err(|source| {
        DiskBootError::Io { what: "the partition table (first 512 bytes)".into(), source }
    })?;
    parse(&sector)
}

fn parse(sector: &[u8; SECTOR as usize]) -> Result<Vec<Partition>, DiskBootError> {
    let found = [sector[510], sector[511]];
    if found != [0x55, 0xaa] {
        return Err(DiskBootError::NoMbr { found });
    }
    let word = |at: usize| {
        u64::from(u32::from_le_bytes([sector[at], sector[at + 1], sector[at + 2], sector[at + 3]]))
    };
    Ok((1..=4_u8)
        .map(|number| {
            let at = 446 + 16 * (usize::from(number) - 1);
            Partition {
                number,
                kind: sector[at + 4],
                start: word(at + 8) * SECTOR,
                length: word(at + 12) * SECTOR,
            }
        })
        .filter(|partition| partition.kind != 0 && partition.length != 0)
        .collect())
}
