//! What a run that is going on holds on the shelf.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicU64, Ordering},
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::lease;
use fs_err::{self as fs, File};

use super::{Chain, Entry, Next, Shelf, ShelfError, Stored, error::io, key, shelf};

/// A run's hold on the shelf: its own new files, and those that it goes on from. As long as it lives, nobody removes them.
/// Dropping it removes those of its files that no state needs.
#[derive(Debug)]
pub struct Live {
    shelf: Shelf,
    dir: Utf8PathBuf,
    name: String,
    files: AtomicU64,
    // Released last: until then nobody else cleans here.
    _lock: std::fs::File,
}

impl Live {
    pub(super) fn new(shelf: &Shelf) -> Result<Self, ShelfError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // A directory without a lock is taken for a dead run's by whoever has the shelf for himself.
        let _no_sweep = shelf.shared()?;
        let time = jiff::Timestamp::now().as_microsecond();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{time}-{}-{count}", std::process::id());
        let dir = shelf.part("live").join(&name);
        for part in ["claims", "tmp"] {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(io("make", &path))?;
        }
        let lock = lease::take(dir.as_std_path()).map_err(io("lock", &dir))?;
        Ok(Self { shelf: shelf.clone(), dir, name, files: AtomicU64::new(0), _lock: lock })
    }

    /// The shelf.
    #[must_use]
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// A directory for files that are not kept. Gone when the run ends.
    #[must_use]
    pub fn dir(&self) -> Utf8PathBuf {
        self.dir.join("tmp")
    }

    /// The path of a new file which states may need later. It is there from the start, because disks name what they lie on
    /// by path; it is kept only if a state is published that needs it. `label` is how it is called: `cluster00.qcow2`.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn new_file(&self, label: &str) -> Result<Utf8PathBuf, ShelfError> {
        let count = self.files.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{count}-{label}", self.name);
        // Before the file is there, so that nobody ever finds it unclaimed.
        self.claim(&name)?;
        Ok(self.shelf.part("files").join(name))
    }

    /// The stored state that this step would lead to. Its files stay as long as this run lives.
    ///
    /// # Errors
    /// The shelf cannot be read.
    pub fn find(&self, chain: &Chain, next: &Next) -> Result<Option<Entry>, ShelfError> {
        let _nothing_goes = self.shelf.shared()?;
        let Some(entry) = self.shelf.find(next, chain.ingredients())? else { return Ok(None) };
        for file in &entry.files {
            self.claim(&file.name)?;
        }
        if let Some(path) = self.shelf.entry_path(&entry) {
            shelf::touch(&path);
        }
        Ok(Some(entry))
    }

    /// Whether the state that the chain has come to is kept already.
    ///
    /// # Errors
    /// The shelf cannot be read.
    pub fn has(&self, chain: &Chain) -> Result<bool, ShelfError> {
        let Some(_known) = chain.key() else { return Ok(false) };
        let _nothing_goes = self.shelf.shared()?;
        let path = self.shelf.place(&chain.scenario, &chain.base, &chain.trail);
        Ok(path.is_some_and(|path| self.shelf.whole(&path).is_some()))
    }

    /// Keeps the state that the chain has come to, with all `files` on the shelf that it needs, those of the states before it
    /// included: nobody may write to them any more. None when the chain has no key. When another run was faster, its state
    /// stays, and is given.
    ///
    /// # Errors
    /// The file system refuses, or a file is not on the shelf.
    pub fn publish(
        &self,
        chain: &Chain,
        run: &Utf8Path,
        files: &[Utf8PathBuf],
        state: serde_json::Value,
    ) -> Result<Option<Entry>, ShelfError> {
        let Some(key) = chain.key().filter(|_| !chain.trail.is_empty()) else { return Ok(None) };
        let files = files.iter().map(|path| self.stored(path)).collect::<Result<Vec<_>, _>>()?;
        let entry = Entry {
            key,
            scenario: chain.scenario.clone(),
            base: chain.base.clone(),
            trail: chain.trail.clone(),
            run: run.to_owned(),
            made: jiff::Timestamp::now().to_string(),
            files,
            state,
        };
        debug_assert_eq!(key, key::key_of(&entry.scenario, &entry.base, &entry.trail));
        let Some(path) = self.shelf.entry_path(&entry) else { return Ok(None) };
        let _alone = self.shelf.exclusive()?;
        if let Some(before) = self.shelf.whole(&path) {
            return Ok(Some(before));
        }
        shelf::publish(&path, &entry)?;
        Ok(Some(entry))
    }

    /// Makes a file safe from a power cut and from being written to.
    fn stored(&self, path: &Utf8Path) -> Result<Stored, ShelfError> {
        let files = self.shelf.part("files");
        let Some(name) = path.file_name().filter(|_| path.parent() == Some(&files)) else {
            return Err(ShelfError::Elsewhere { path: path.to_owned() });
        };
        let file = File::open(path).map_err(io("open", path))?;
        let meta = file.metadata().map_err(io("look at", path))?;
        if meta.permissions().mode() & 0o222 != 0 {
            file.sync_data().map_err(io("flush", path))?;
            fs::set_permissions(path, Permissions::from_mode(0o444))
                .map_err(io("protect", path))?;
        }
        Ok(Stored { name: name.to_owned(), length: meta.len() })
    }

    fn claim(&self, name: &str) -> Result<(), ShelfError> {
        let path = self.dir.join("claims").join(name);
        File::create(&path).map(drop).map_err(io("make", &path))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        let _left = fs::remove_dir_all(&self.dir);
        let _left = self.shelf.sweep();
    }
}

/// Whether nobody holds this directory of a run any more. The caller has the shelf for himself.
pub(super) fn is_over(dir: &Utf8Path) -> bool {
    !dir.join(lease::LOCK).exists() || lease::is_over(dir.as_std_path())
}
