//! A disk as a Pi boots from it: partition table, FAT32, ext4, as a sparse file.

pub mod ext4;
pub mod fat;
pub mod mbr;

use std::io::{Read, Seek, SeekFrom, Write};

use camino::Utf8Path;
use fs_err::File;
use rustix::io::Errno;

use crate::ImageError;
use mbr::{Kind, Partition, Signature};

/// Where the first partition begins: what flash cards are aligned to.
pub const ALIGNMENT: u64 = 4 << 20;

/// Where things lie on a disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskParts {
    /// Of the whole disk.
    pub size: u64,
    /// The FAT32 partition.
    pub boot: Partition,
    /// The ext4 partition, to the disk's end.
    pub root: Partition,
}

impl DiskParts {
    /// A disk of `size` bytes with a boot partition of `boot` bytes.
    ///
    /// # Errors
    ///
    /// When there is no room, or a size is not a multiple of 4 MiB.
    pub fn new(size: u64, boot: u64) -> Result<Self, String> {
        let root = ALIGNMENT + boot;
        if !size.is_multiple_of(ALIGNMENT)
            || !boot.is_multiple_of(ALIGNMENT)
            || boot == 0
            || size <= root
        {
            return Err(format!(
                "a boot partition of {boot} bytes does not fit on a disk of {size} bytes"
            ));
        }
        Ok(Self {
            size,
            boot: Partition { kind: Kind::Fat32, start: ALIGNMENT, size: boot },
            root: Partition { kind: Kind::Linux, start: root, size: size - root },
        })
    }
}

/// Puts a disk together from the images of its two partitions. Holes stay holes.
///
/// # Errors
///
/// [`ImageError::Io`].
pub fn assemble(
    parts: &DiskParts,
    signature: Signature,
    boot: &Utf8Path,
    root: &Utf8Path,
    disk: &Utf8Path,
) -> Result<(), ImageError> {
    let table =
        mbr::sector(signature, &[parts.boot, parts.root]).map_err(ImageError::input(disk))?;
    let write = || -> std::io::Result<()> {
        let mut out = File::create(disk)?;
        out.set_len(parts.size)?;
        out.write_all(&table)?;
        for (image, partition) in [(boot, parts.boot), (root, parts.root)] {
            copy_sparse(&mut File::open(image)?, &mut out, partition)?;
        }
        Ok(())
    };
    write().map_err(ImageError::io("put the disk together"))
}

/// Copies what is not a hole.
fn copy_sparse(from: &mut File, to: &mut File, partition: Partition) -> std::io::Result<()> {
    let size = from.metadata()?.len();
    if size > partition.size {
        return Err(std::io::Error::other(format!(
            "{size} bytes do not fit in {}",
            partition.size
        )));
    }
    let mut end = 0;
    loop {
        let start = match rustix::fs::seek(from.file(), rustix::fs::SeekFrom::Data(end)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        end = rustix::fs::seek(from.file(), rustix::fs::SeekFrom::Hole(start))?;
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(partition.start + start))?;
        std::io::copy(&mut from.take(end - start), to)?;
    }
}
