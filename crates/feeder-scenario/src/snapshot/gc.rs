//! Making space on the shelf.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
};

use camino::Utf8Path;
use fs_err as fs;
use serde::Serialize;

use super::{Entry, Shelf, ShelfError, error::io, live, verdict};

/// What states may take on disk unless told otherwise: 20 GiB.
pub const DEFAULT_LIMIT: u64 = 20 << 30;
/// States whose files are gone and whose inputs are still known, so that one can say why they are not reused.
const KEEP_EVICTED: usize = 200;

/// What [`Shelf::gc`] removed, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ShelfFreed {
    /// States that can no longer be gone on from.
    pub states: usize,
    /// Files.
    pub files: usize,
    /// What they took on disk, in bytes.
    pub bytes: u64,
    /// What all others take.
    pub left: u64,
}

impl Shelf {
    /// Removes what dead runs left and what no state needs; then states, the longest unused first, until all files take at
    /// most `limit` bytes on disk. What a living run needs stays, whatever it takes.
    ///
    /// # Errors
    /// The first thing that cannot be read or removed.
    pub fn gc(&self, limit: u64) -> Result<ShelfFreed, ShelfError> {
        let _alone = self.exclusive()?;
        let mut freed = ShelfFreed::default();
        self.remove_dead_runs()?;
        let claimed = self.claims()?;
        let mut whole = Vec::new();
        let mut evicted = Vec::new();
        for (path, entry) in self.entries()? {
            let used =
                path.metadata().and_then(|meta| meta.modified()).map_err(io("look at", &path))?;
            if self.missing(&entry).is_empty() {
                whole.push((used, entry));
            } else {
                evicted.push((used, path));
            }
        }
        whole.sort_by_key(|(used, _)| *used);
        self.remove_unneeded(&claimed, whole.iter().map(|(_, entry)| entry), &mut freed)?;

        let mut sizes = self.sizes()?;
        let mut needed = BTreeMap::<&str, usize>::new();
        for file in whole.iter().flat_map(|(_, entry)| &entry.files) {
            *needed.entry(&file.name).or_default() += 1;
        }
        let mut left = sizes.values().sum::<u64>();
        for (_, entry) in &whole {
            if left <= limit {
                break;
            }
            if entry.files.iter().any(|file| claimed.contains(&file.name)) {
                continue;
            }
            let mut hit = false;
            for file in &entry.files {
                let count = needed.entry(&file.name).or_default();
                *count = count.saturating_sub(1);
                if *count == 0
                    && let Some(bytes) = sizes.remove(&file.name)
                {
                    self.remove_file(&file.name)?;
                    left -= bytes;
                    hit = true;
                    freed.files += 1;
                    freed.bytes += bytes;
                }
            }
            freed.states += usize::from(hit);
        }
        freed.left = left;
        // Names begin with hashes; which of the evicted were used last is in their times.
        evicted.sort();
        let old = evicted.len().saturating_sub(KEEP_EVICTED);
        for (_, path) in &evicted[..old] {
            fs::remove_file(path).map_err(io("remove", path))?;
        }
        verdict::remove_unproven(self)?;
        Ok(freed)
    }

    /// Removes what dead runs left, and files that nobody needs.
    pub(super) fn sweep(&self) -> Result<(), ShelfError> {
        let _alone = self.exclusive()?;
        self.remove_dead_runs()?;
        for part in ["entries", "verdicts"] {
            for path in self.names(part)? {
                // Half-written by a run that was killed meanwhile.
                if path.file_name().is_some_and(|name| name.starts_with('.')) {
                    fs::remove_file(&path).map_err(io("remove", &path))?;
                }
            }
        }
        let entries = self.entries()?;
        let claimed = self.claims()?;
        let entries = entries.iter().map(|(_, entry)| entry);
        self.remove_unneeded(&claimed, entries, &mut ShelfFreed::default())
    }

    fn remove_dead_runs(&self) -> Result<(), ShelfError> {
        for dir in self.names("live")? {
            if live::is_over(&dir) && dir.exists() {
                fs::remove_dir_all(&dir).map_err(io("remove", &dir))?;
            }
        }
        Ok(())
    }

    /// The names of all files that living runs need.
    fn claims(&self) -> Result<BTreeSet<String>, ShelfError> {
        let mut claims = BTreeSet::new();
        for dir in self.names("live")? {
            let Ok(names) = dir.join("claims").read_dir_utf8() else {
                // The run ended just now.
                continue;
            };
            claims.extend(names.filter_map(Result::ok).map(|claim| claim.file_name().to_owned()));
        }
        Ok(claims)
    }

    /// Removes the files that neither a whole state nor a living run needs. A file is claimed before it is made, so claims
    /// are read after the files were listed.
    fn remove_unneeded<'a>(
        &self,
        claimed: &BTreeSet<String>,
        entries: impl Iterator<Item = &'a Entry>,
        freed: &mut ShelfFreed,
    ) -> Result<(), ShelfError> {
        let mut needed = claimed.clone();
        needed.extend(entries.flat_map(|entry| &entry.files).map(|file| file.name.clone()));
        for (name, bytes) in self.sizes()? {
            if !needed.contains(&name) {
                self.remove_file(&name)?;
                freed.files += 1;
                freed.bytes += bytes;
            }
        }
        Ok(())
    }

    /// What each file takes on disk, which for most is far less than their length.
    fn sizes(&self) -> Result<BTreeMap<String, u64>, ShelfError> {
        let paths = self.names("files")?;
        let size = |path: &Utf8Path| path.symlink_metadata().map(|meta| meta.blocks() * 512);
        Ok(paths
            .iter()
            .filter_map(|path| Some((path.file_name()?.to_owned(), size(path).ok()?)))
            .collect())
    }

    fn remove_file(&self, name: &str) -> Result<(), ShelfError> {
        let path = self.part("files").join(name);
        fs::remove_file(&path).map_err(io("remove", &path))
    }
}
