//! A disk that goes from cut to cut.

use std::{
    io::{Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use rustix::fs::{FallocateFlags, fallocate};

use super::{Cut, Step, WriteLog, WriteLogError};

/// A raw image that becomes the disk after one cut of a log after the other. What may be lost in a cut is undone before the
/// next one, so that many cuts cost little more than the log once.
#[derive(Debug)]
pub struct Rewind<'log> {
    log: &'log WriteLog,
    image: Utf8PathBuf,
    /// Requests that no later cut can lose, and which are done.
    settled: usize,
    /// What was there before the others, in the order in which they were done.
    before: Vec<(u64, Vec<u8>)>,
}

impl<'log> Rewind<'log> {
    /// `image` holds what the disk held before the log.
    #[must_use]
    pub fn new(log: &'log WriteLog, image: &Utf8Path) -> Self {
        Self { log, image: image.to_owned(), settled: 0, before: Vec::new() }
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &Utf8Path {
        &self.image
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &'log WriteLog {
        self.log
    }

    /// Makes the image the disk after this cut. Whoever has written into the image meanwhile has put everything back.
    ///
    /// # Errors
    /// As [`WriteLog::apply`].
    ///
    /// # Panics
    /// An earlier cut came after a flush that comes after this one: time goes forwards only.
    pub fn go_to(&mut self, cut: &Cut) -> Result<(), WriteLogError> {
        self.back()?;
        let done = &self.log.entries[..cut.after.min(self.log.entries.len())];
        let flushed = done.iter().rposition(|entry| entry.flush).unwrap_or(0);
        assert!(flushed >= self.settled, "cuts of a log come in their order");
        let all = self.log.steps(&Cut::after(flushed));
        let first = all.partition_point(|step| step.entry < self.settled);
        self.log.apply(&self.image, &all[first..])?;
        self.settled = flushed;

        let steps = self.log.steps(cut);
        let steps = &steps[steps.partition_point(|step| step.entry < flushed)..];
        self.remember(steps)?;
        self.log.apply(&self.image, steps)
    }

    fn remember(&mut self, steps: &[Step]) -> Result<(), WriteLogError> {
        let read = |source| WriteLogError::Io { what: format!("read {}", self.image), source };
        let mut image = fs::File::open(&self.image).map_err(read)?;
        for step in steps {
            let offset = self.log.entries[step.entry].offset;
            let mut bytes = Vec::new();
            image.seek(SeekFrom::Start(offset)).map_err(read)?;
            image.by_ref().take(step.bytes).read_to_end(&mut bytes).map_err(read)?;
            self.before.push((offset, bytes));
        }
        Ok(())
    }

    /// Undoes what a later cut may lose.
    fn back(&mut self) -> Result<(), WriteLogError> {
        let write = |source| WriteLogError::Io { what: format!("write {}", self.image), source };
        if self.before.is_empty() {
            return Ok(());
        }
        let image = fs::OpenOptions::new().write(true).open(&self.image).map_err(write)?;
        while let Some((offset, bytes)) = self.before.pop() {
            if bytes.iter().all(|&byte| byte == 0) {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&image, flags, offset, bytes.len() as u64)
                    .map_err(|errno| write(errno.into()))?;
            } else {
                image.file().write_all_at(&bytes, offset).map_err(write)?;
            }
        }
        Ok(())
    }
}
