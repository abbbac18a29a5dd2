//! A boot partition after a power cut: its repair, and the disk as the firmware sees it afterwards.

use std::{
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, Output};
use fs_err as fs;

use super::{copy, table::Partition};
use crate::{Class, OrFail, Verdict};

/// After so many starts nothing may be left to correct.
const STARTS: usize = 4;

/// A disk of which one partition is elsewhere.
pub(super) struct Patched {
    disk: fs::File,
    at: u64,
    patch: Option<(Partition, fs::File)>,
}

impl Patched {
    pub(super) fn new(disk: &Utf8Path, patch: Option<(Partition, &Utf8Path)>) -> Verdict<Self> {
        let open = |path: &Utf8Path| {
            fs::File::open(path).or_fail(Class::Host, "cannot read a disk's image")
        };
        let patch = patch.map(|(partition, path)| Ok((partition, open(path)?))).transpose()?;
        Ok(Self { disk: open(disk)?, at: 0, patch })
    }
}

impl Read for Patched {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let patch = self.patch.as_ref().filter(|(partition, _)| partition.holds(self.at));
        let read = match patch {
            Some((partition, file)) => {
                let left = partition.start + partition.length - self.at;
                let room = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                file.file().read_at(&mut bytes[..room], self.at - partition.start)?
            }
            None => {
                let starts = self.patch.as_ref().map(|(partition, _)| partition.start);
                let left = starts.filter(|start| *start > self.at).map(|start| start - self.at);
                let room = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
                let room = bytes.len().min(room);
                self.disk.file().read_at(&mut bytes[..room], self.at)?
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Patched {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => {
                self.at.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?
            }
            SeekFrom::End(by) => self
                .disk
                .metadata()?
                .len()
                .checked_add_signed(by)
                .ok_or(io::ErrorKind::InvalidInput)?,
        };
        Ok(self.at)
    }
}

/// Whether a partition begins as a FAT file system does; a partition that does not is nobody's yet.
pub(super) fn is_there(image: &Utf8Path, partition: &Partition) -> Verdict<bool> {
    let mut sector = [0; 512];
    let file = fs::File::open(image).or_fail(Class::Host, "cannot read a disk's image")?;
    file.file()
        .read_exact_at(&mut sector, partition.start)
        .or_fail(Class::Host, "cannot read a disk's image")?;
    Ok(sector[510..] == [0x55, 0xaa] && (sector[54..57] == *b"FAT" || sector[82..85] == *b"FAT"))
}

/// A copy of a partition, mended as the system does it at every start (`fsck.vfat -a`), and how many starts that takes; or what
/// speaks against that.
///
/// It may take three starts: of a folder whose entry was written and whose content was not, the first one leaves an empty
/// name, the second removes that, and the third what is left of a long name.
pub(super) fn mended(
    image: &Utf8Path,
    partition: &Partition,
    to: Utf8PathBuf,
) -> Verdict<Result<(Utf8PathBuf, usize), String>> {
    copy::partition(image, partition, &to)?;
    let fsck = |mode: &str| {
        let cmd = Cmd::new("fsck.vfat").args([mode, to.as_str()]);
        cmd.output().or_fail(Class::Host, "cannot run fsck.vfat")
    };
    for start in 1..=STARTS {
        let said = fsck("-a")?;
        // 1: mistakes were found, and all of them corrected.
        if !matches!(said.status.code, Some(0 | 1)) {
            return Ok(Err(format!("fsck.vfat cannot mend it: {}", words(&said))));
        }
        if fsck("-n")?.status.code == Some(0) {
            return Ok(Ok((to, start)));
        }
    }
    Ok(Err(format!("fsck.vfat leaves mistakes: {}", words(&fsck("-n")?))))
}

/// The last lines of what a tool said, in one.
pub(super) fn words(said: &Output) -> String {
    let text = said.stdout_text();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}
