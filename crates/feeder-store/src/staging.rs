//! Where things are made before they get their final name.
//!
//! Every entry of `staging/` is locked by the process that makes it, through a descriptor of the entry itself.
//! The kernel drops the lock when the process dies, however it dies, so an entry that can be locked is garbage.

use std::fs::{self, File};
use std::sync::atomic::{AtomicU64, Ordering};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{Store, StoreError, tree};

/// A directory for files that nobody needs afterwards. Removed when dropped; when the process dies first, by the
/// next [`Store::open`].
#[derive(Debug)]
pub struct Scratch {
    entry: Entry,
}

impl Scratch {
    /// The directory, on the same file system as the outputs.
    #[must_use]
    pub fn path(&self) -> &Utf8Path {
        &self.entry.path
    }
}

/// A locked file or directory in `staging/`. Removed when dropped, unless it was renamed away.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: Utf8PathBuf,
    /// Holds the lock, and is the writing end when the entry is a file.
    pub(crate) file: File,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok() {
            // Nothing to tell anyone: what cannot be removed now is swept by the next process.
            let _ = tree::remove(&self.path);
        }
    }
}

impl Store {
    /// A directory for temporary files, named after its purpose.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when it cannot be made.
    pub fn scratch(&self, purpose: &str) -> Result<Scratch, StoreError> {
        Ok(Scratch { entry: self.stage_dir(purpose)? })
    }

    pub(crate) fn stage_dir(&self, label: &str) -> Result<Entry, StoreError> {
        self.stage(label, |path| {
            fs::create_dir(path)?;
            File::open(path)
        })
    }

    pub(crate) fn stage_file(&self) -> Result<Entry, StoreError> {
        self.stage("blob", |path| File::create_new(path))
    }

    fn stage(
        &self,
        label: &str,
        make: impl FnOnce(&Utf8Path) -> std::io::Result<File>,
    ) -> Result<Entry, StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            self.root.join("staging").join(format!("{label}-{}-{count}", std::process::id()));
        // Between making an entry and locking it, it would look like garbage to a sweep.
        let _no_sweep = self.staging_lock(File::lock_shared)?;
        if path.symlink_metadata().is_ok() {
            // Of a dead process that had our number.
            tree::remove(&path)?;
        }
        let file = make(&path).map_err(StoreError::io("make", &path))?;
        file.lock().map_err(StoreError::io("lock", &path))?;
        Ok(Entry { path, file })
    }

    /// Removes what dead processes left in `staging/`.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        let staging = self.root.join("staging");
        let _alone = self.staging_lock(File::lock)?;
        for entry in staging.read_dir_utf8().map_err(StoreError::io("list", &staging))? {
            let entry = entry.map_err(StoreError::io("list", &staging))?;
            // An entry that went away meanwhile was finished by its owner.
            let Ok(file) = File::open(entry.path()) else { continue };
            if file.try_lock().is_ok() && entry.path().symlink_metadata().is_ok() {
                tree::remove(entry.path())?;
            }
        }
        Ok(())
    }

    fn staging_lock(
        &self,
        lock: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<File, StoreError> {
        self.open_lock("staging", lock)
    }

    /// Opens the lock file of this name and locks it the given way. Lock files are never removed: a removed one
    /// could be locked by one process while another makes it anew.
    pub(crate) fn open_lock(
        &self,
        name: &str,
        lock: impl FnOnce(&File) -> std::io::Result<()>,
    ) -> Result<File, StoreError> {
        let path = self.root.join("locks").join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open the lock", &path))?;
        lock(&file).map_err(StoreError::io("lock", &path))?;
        Ok(file)
    }
}
