//! One partition of a disk, as a file of its own that cannot be written.

use std::io::{self, Read, Seek, SeekFrom, Write};

/// Reads allowed before a file system is taken for one whose chains run in circles, in multiples of
/// the partition. A whole boot reads each file a handful of times.
const READS: u64 = 64;

pub(super) struct Window<'d, D> {
    disk: &'d mut D,
    start: u64,
    length: u64,
    at: u64,
    budget: u64,
}

impl<'d, D> Window<'d, D> {
    pub(super) fn new(disk: &'d mut D, start: u64, length: u64) -> Self {
        Self { disk, start, length, at: 0, budget: length.saturating_mul(READS) }
    }
}

impl<D: Read + Seek> Read for Window<'_, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        self.budget = self.budget.checked_sub(want as u64).ok_or_else(|| {
            io::Error::other("the file system was read many times over: its chains run in circles")
        })?;
        self.disk.seek(SeekFrom::Start(self.start + self.at))?;
        let got = self.disk.read(&mut buffer[..want])?;
        self.at += got as u64;
        Ok(got)
    }
}

impl<D> Seek for Window<'_, D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = to.ok_or_else(|| io::Error::other("seek before the partition's first byte"))?;
        Ok(self.at)
    }
}

/// `fatfs` asks for a medium it could write; this one refuses.
impl<D> Write for Window<'_, D> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
