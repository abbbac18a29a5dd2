//! States on disk.

use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::{self as fs, File};
use serde::{Deserialize, Serialize};

use super::{Inputs, Key, Live, Next, ShelfError, Taken, error::io, key};

/// Where states are kept, for all runs of this user. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shelf {
    root: Utf8PathBuf,
}

/// The state at the end of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The hash of the scenario's name, the base and the trail.
    pub key: Key,
    /// Whose state.
    pub scenario: String,
    /// The inputs that counted from the start.
    pub base: Inputs,
    /// Every step up to this state.
    pub trail: Vec<Taken>,
    /// The directory of evidence of the run that made it.
    pub run: Utf8PathBuf,
    /// When, as RFC 3339 in UTC.
    pub made: String,
    /// All files that it needs, also those that other states need, too.
    pub files: Vec<Stored>,
    /// All else that it takes to go on from here.
    pub state: serde_json::Value,
}

/// A file on the shelf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its name in `files/`.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
}

impl Shelf {
    /// Opens the shelf in this directory, making it when there is none, and removes what dead runs left.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn open(root: &Utf8Path) -> Result<Self, ShelfError> {
        for part in ["entries", "files", "live", "verdicts"] {
            let dir = root.join(part);
            fs::create_dir_all(&dir).map_err(io("make", &dir))?;
        }
        let root = root.canonicalize_utf8().map_err(io("resolve", root))?;
        let shelf = Self { root };
        shelf.sweep()?;
        Ok(shelf)
    }

    /// Where the shelf lies unless told otherwise: `snapshots` in the store's directory.
    #[must_use]
    pub fn default_root() -> Utf8PathBuf {
        feeder_store::Store::default_root().join("snapshots")
    }

    /// The directory of a run that begins now.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn live(&self) -> Result<Live, ShelfError> {
        Live::new(self)
    }

    /// Where a file of a state lies. Not to be written to.
    #[must_use]
    pub fn path(&self, file: &Stored) -> Utf8PathBuf {
        self.part("files").join(&file.name)
    }

    pub(super) fn part(&self, name: &str) -> Utf8PathBuf {
        self.root.join(name)
    }

    /// Held while somebody looks; nothing is removed meanwhile.
    pub(super) fn shared(&self) -> Result<File, ShelfError> {
        let path = self.part("lock");
        let file = lock_file(&path)?;
        file.file().lock_shared().map_err(io("lock", &path))?;
        Ok(file)
    }

    /// Held while something changes.
    pub(super) fn exclusive(&self) -> Result<File, ShelfError> {
        let path = self.part("lock");
        let file = lock_file(&path)?;
        file.file().lock().map_err(io("lock", &path))?;
        Ok(file)
    }

    /// The state that this step would lead to, whole and with the ingredients of today. The caller holds a lock.
    pub(super) fn find(&self, next: &Next, today: &Inputs) -> Result<Option<Entry>, ShelfError> {
        let Some(slot) = next.slot else { return Ok(None) };
        let prefix = format!("{slot}-");
        for path in self.names("entries")? {
            if !path.file_name().is_some_and(|name| name.starts_with(&prefix)) {
                continue;
            }
            let Some(entry) = self.whole(&path) else { continue };
            let as_used = entry.trail.last().is_some_and(|last| {
                last.used.iter().all(|(name, input)| today.get(name) == Some(input))
            });
            if as_used {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// All entries, with their paths, whether their files are there or not.
    pub(super) fn entries(&self) -> Result<Vec<(Utf8PathBuf, Entry)>, ShelfError> {
        let paths = self.names("entries")?;
        Ok(paths
            .into_iter()
            .filter_map(|path| self.read(&path).map(|entry| (path, entry)))
            .collect())
    }

    /// An entry, when it is what its name says.
    fn read(&self, path: &Utf8Path) -> Option<Entry> {
        let entry: Entry = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let key = key::key_of(&entry.scenario, &entry.base, &entry.trail);
        (entry.key == key && self.entry_path(&entry)? == path).then_some(entry)
    }

    /// An entry, when all its files are there. The caller holds a lock.
    pub(super) fn whole(&self, path: &Utf8Path) -> Option<Entry> {
        self.read(path).filter(|entry| self.missing(entry).is_empty())
    }

    /// The files of an entry that are gone or are not what they were.
    pub(super) fn missing(&self, entry: &Entry) -> Vec<String> {
        let whole =
            |file: &Stored| self.path(file).metadata().is_ok_and(|meta| meta.len() == file.length);
        entry.files.iter().filter(|file| !whole(file)).map(|file| file.name.clone()).collect()
    }

    /// Where an entry lies.
    pub(super) fn entry_path(&self, entry: &Entry) -> Option<Utf8PathBuf> {
        self.place(&entry.scenario, &entry.base, &entry.trail)
    }

    /// Where the entry of the state at the end of a trail lies, when there is one.
    pub(super) fn place(
        &self,
        scenario: &str,
        base: &Inputs,
        trail: &[Taken],
    ) -> Option<Utf8PathBuf> {
        let slot = key::slot_of(scenario, base, trail)?;
        let key = key::key_of(scenario, base, trail);
        Some(self.part("entries").join(format!("{slot}-{key}.json")))
    }

    /// The paths in one of the shelf's directories, in order.
    pub(super) fn names(&self, part: &str) -> Result<Vec<Utf8PathBuf>, ShelfError> {
        let dir = self.part(part);
        let entries = dir.read_dir_utf8().map_err(io("list", &dir))?;
        let mut paths: Vec<_> =
            entries.filter_map(Result::ok).map(|entry| entry.path().to_owned()).collect();
        paths.sort();
        Ok(paths)
    }
}

/// Writes a document under its final name at once, and safe from a power cut.
pub(super) fn publish(path: &Utf8Path, value: &impl Serialize) -> Result<(), ShelfError> {
    let new = path.with_file_name(format!(
        ".{}-{}",
        path.file_name().unwrap_or_default(),
        std::process::id()
    ));
    let text = serde_json::to_vec_pretty(value).map_err(|error| io("write", path)(error.into()))?;
    let written = fs::write(&new, text)
        .and_then(|()| File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, path));
    written.map_err(io("write", path))
}

/// Notes that a document was of use now.
pub(super) fn touch(path: &Utf8Path) {
    // Only the order in which space is made depends on it.
    if let Ok(file) = File::open(path) {
        let _old = file.file().set_modified(SystemTime::now());
    }
}

/// Lock files are never removed: a removed one could be held by one process while another makes it anew.
fn lock_file(path: &Utf8Path) -> Result<File, ShelfError> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    options.open(path).map_err(io("open", path))
}
