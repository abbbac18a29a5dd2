//! Partition tables: a PC's with four entries, and behind a protective one the GPT.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use super::{DiskBootError, gpt};

/// Bytes per logical block of an SD card, and of every address in a partition table. Whether the boards
/// read disks with blocks of another size is not known; this twin does not.
pub(super) const SECTOR: u64 = 512;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its place in the table, from 1.
    pub number: u8,
    /// What the table says it is for.
    pub kind: PartitionType,
    /// First byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
}

/// What a partition table says that a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionType {
    /// The type byte of an MBR.
    Mbr(u8),
    /// The type GUID of a GPT, as stored: its first three fields are little endian.
    Gpt([u8; 16]),
}

/// Microsoft basic data and EFI system, as stored. A 3B's ROM loaded `bootcode.bin` from the latter
/// (raspberrypi/firmware#749); the Pi 4 takes both (raspberrypi/rpi-eeprom#130).
const FAT_GUIDS: [[u8; 16]; 2] = [
    [
        0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99,
        0xc7,
    ],
    [
        0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9,
        0x3b,
    ],
];

/// The type byte of an entry that only says that there is a GPT.
const PROTECTIVE: u8 = 0xee;

impl PartitionType {
    /// Whether the firmware looks for a FAT file system there: FAT12, FAT16 or FAT32 by CHS or LBA, or the
    /// two kinds of a GPT that hold FAT. `ef` is not among them: the ROM does not know it
    /// (raspberrypi/firmware#1711).
    #[must_use]
    pub fn is_fat(&self) -> bool {
        match self {
            Self::Mbr(kind) => matches!(kind, 0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e),
            Self::Gpt(guid) => FAT_GUIDS.contains(guid),
        }
    }
}

impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mbr(PROTECTIVE) => f.write_str("type ee (GPT)"),
            Self::Mbr(kind) => write!(f, "type {kind:02x}"),
            Self::Gpt(guid) => {
                let [a, b, c, d, e, g, h, i, rest @ ..] = guid;
                write!(f, "type {d:02x}{c:02x}{b:02x}{a:02x}-{g:02x}{e:02x}-{i:02x}{h:02x}")?;
                for (index, byte) in rest.iter().enumerate() {
                    write!(f, "{}{byte:02x}", if matches!(index, 0 | 2) { "-" } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.number, self.kind)
    }
}

/// Which tables are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tables {
    /// As the ROM reads an SD card: raspberrypi/documentation#1291 saw a 3B refuse a GPT there.
    Mbr,
    /// As the ROM reads a USB disk: "also now supports GUID partitioning" (bootflow-legacy.adoc).
    MbrAndGpt,
}

/// What a disk's table holds.
#[derive(Debug)]
pub(super) struct Table {
    /// In the order of the table; empty entries are left out.
    pub(super) partitions: Vec<Partition>,
    /// What a user should know although the table was read.
    pub(super) notes: Vec<String>,
}

impl Table {
    pub(super) fn fat(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(|partition| partition.kind.is_fat())
    }
}

/// Reads the table. FAT partitions of an MBR are taken before those of a GPT beside it.
pub(super) fn read<D: Read + Seek>(disk: &mut D, tables: Tables) -> Result<Table, DiskBootError> {
    let mut sector = [0_u8; SECTOR as usize];
    read_at(disk, 0, &mut sector, "the partition table (first 512 bytes)")?;
    let partitions = mbr(&sector)?;
    let protective = partitions.iter().any(|p| p.kind == PartitionType::Mbr(PROTECTIVE));
    let has_fat = partitions.iter().any(|p| p.kind.is_fat());
    let mut notes = Vec::new();
    if protective && has_fat {
        notes.push(
            "the disk has a GPT and FAT partitions in its MBR: that boards boot from such a hybrid has worked by luck (raspberrypi/firmware#1465)"
                .into(),
        );
    }
    if !protective || has_fat || tables == Tables::Mbr {
        return Ok(Table { partitions, notes });
    }
    notes.push(
        "the disk has a GPT: the boot ROM is said to read it, but bootcode.bin has been seen failing on one (raspberrypi/firmware#749); an MBR is the safe choice"
            .into(),
    );
    Ok(Table { partitions: gpt::partitions(disk)?, notes })
}

/// Bytes of a disk from its first one on that hold all that the firmware reads of it, as its first sector says: to the end of
/// the last FAT partition. `None` for all of them, where the table is another.
#[must_use]
pub fn read_extent(sector: &[u8; SECTOR as usize]) -> Option<u64> {
    let partitions = mbr(sector).unwrap_or_default();
    let fat = partitions.iter().filter(|p| p.kind.is_fat());
    let end = fat.map(|p| p.start + p.length).max();
    match end {
        None if partitions.iter().any(|p| p.kind == PartitionType::Mbr(PROTECTIVE)) => None,
        end => Some(end.unwrap_or(SECTOR)),
    }
}

pub(super) fn read_at<D: Read + Seek>(
    disk: &mut D,
    at: u64,
    bytes: &mut [u8],
    what: &str,
) -> Result<(), DiskBootError> {
    let read = disk.seek(SeekFrom::Start(at)).and_then(|_| disk.read_exact(bytes));
    read.map_err(|source| DiskBootError::Io { what: what.into(), source })
}

/// The primary partitions that are not empty, in the order of the table.
fn mbr(sector: &[u8; SECTOR as usize]) -> Result<Vec<Partition>, DiskBootError> {
    let found = [sector[510], sector[511]];
    if found != [0x55, 0xaa] {
        return Err(DiskBootError::NoMbr { found });
    }
    let word = |at: usize| u64::from(u32::from_le_bytes(std::array::from_fn(|i| sector[at + i])));
    Ok((1..=4_u8)
        .map(|number| {
            let at = 446 + 16 * (usize::from(number) - 1);
            Partition {
                number,
                kind: PartitionType::Mbr(sector[at + 4]),
                start: word(at + 8) * SECTOR,
                length: word(at + 12) * SECTOR,
            }
        })
        .filter(|p| p.kind != PartitionType::Mbr(0) && p.length != 0)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_written_as_people_write_it() {
        let text = FAT_GUIDS.map(|guid| PartitionType::Gpt(guid).to_string());
        assert_eq!(
            text,
            [
                "type ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
                "type c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
            ]
        );
    }

    fn mbr(entries: &[(u8, u32, u32)]) -> [u8; 512] {
        let mut mbr = [0; 512];
        mbr[510..].copy_from_slice(&[0x55, 0xaa]);
        for (index, (kind, start, length)) in entries.iter().enumerate() {
            let at = 446 + 16 * index;
            mbr[at + 4] = *kind;
            mbr[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            mbr[at + 12..at + 16].copy_from_slice(&length.to_le_bytes());
        }
        mbr
    }

    #[test]
    fn no_more_of_a_disk_is_read_than_the_firmware_reads() {
        assert_eq!(read_extent(&[0; 512]), Some(512));
        assert_eq!(read_extent(&mbr(&[(0x83, 2048, 4096)])), Some(512));
        let two = [(0x0c, 2048, 100), (0x83, 4096, 9999), (0x0e, 20_000, 50)];
        assert_eq!(read_extent(&mbr(&two)), Some(20_050 * 512));
        assert_eq!(read_extent(&mbr(&[(0xee, 1, u32::MAX)])), None);
    }

    #[test]
    fn fat_is_told_by_type() {
        let fat: Vec<u8> = (0..=255).filter(|&kind| PartitionType::Mbr(kind).is_fat()).collect();
        assert_eq!(fat, [0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e]);
    }
}
