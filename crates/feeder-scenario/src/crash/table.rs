//! A PC's partition table, as far as a kernel finds its root by it.

use std::os::unix::fs::FileExt;

use camino::Utf8Path;
use fs_err as fs;

use crate::{Class, OrFail, Verdict};

pub(super) const SECTOR: u64 = 512;

/// A partition of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    /// From 1.
    pub(super) number: u8,
    /// The type byte.
    pub(super) kind: u8,
    /// First byte on the disk.
    pub(super) start: u64,
    /// In bytes.
    pub(super) length: u64,
}

impl Partition {
    pub(super) fn holds(&self, offset: u64) -> bool {
        (self.start..self.start + self.length).contains(&offset)
    }

    /// FAT with logical addresses, as images and the move have it.
    pub(super) fn is_fat(&self) -> bool {
        matches!(self.kind, 0x0b | 0x0c)
    }
}

/// What a first sector says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    id: u32,
    pub(super) partitions: Vec<Partition>,
}

impl Table {
    pub(super) fn of(sector: &[u8; SECTOR as usize]) -> Self {
        if sector[510..] != [0x55, 0xaa] {
            return Self::default();
        }
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| sector[at + i]));
        let partitions = (1..=4_u8).map(|number| {
            let at = 446 + 16 * (usize::from(number) - 1);
            let (start, length) = (u64::from(word(at + 8)), u64::from(word(at + 12)));
            let (start, length) = (start * SECTOR, length * SECTOR);
            Partition { number, kind: sector[at + 4], start, length }
        });
        let partitions = partitions.filter(|p| p.kind != 0 && p.length > 0).collect();
        Self { id: word(440), partitions }
    }

    pub(super) fn read(image: &Utf8Path) -> Verdict<Self> {
        let mut sector = [0; SECTOR as usize];
        let file = fs::File::open(image).or_fail(Class::Host, "cannot read a disk's image")?;
        file.file()
            .read_exact_at(&mut sector, 0)
            .or_fail(Class::Host, "cannot read a disk's image")?;
        Ok(Self::of(&sector))
    }

    /// The partition that Linux calls so (`init/do_mounts.c`): disk id and number, both hexadecimal.
    pub(super) fn by_partuuid(&self, partuuid: &str) -> Option<Partition> {
        let (id, number) = partuuid.split_once('-')?;
        if u32::from_str_radix(id, 16) != Ok(self.id) || self.id == 0 {
            return None;
        }
        let number = u8::from_str_radix(number, 16).ok()?;
        self.partitions.iter().find(|partition| partition.number == number).copied()
    }
}
