//! A content-addressed store: what was fetched, under its SHA-256, and what was built, under the hash of
//! everything it was built from.
//!
//! ```text
//! blobs/3f/3f9c…            files, named by their own SHA-256
//! outputs/<hash>-<name>/    built directories, named by the hash of their derivation
//! secrets/<name>/           made once here and nowhere else: keys
//! staging/                  what is being made; never under a final name before it is complete and on disk
//! locks/                    one file per derivation or secret that was ever made
//! ```
//!
//! Everything under a final name is complete and read-only. Two processes that want the same output build it
//! once: the second waits for the lock, then finds the result. A process that dies leaves only a directory in
//! `staging/`, and the next [`Store::open`] removes it.

mod blob;
mod derivation;
mod digest;
mod error;
mod realise;
mod staging;
mod tree;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

pub use derivation::Derivation;
pub use digest::{Digest, Hasher, ParseDigestError};
pub use error::StoreError;
pub use staging::Scratch;

/// A store on disk. Cheap to clone in effect: it holds nothing but its path.
#[derive(Debug, Clone)]
pub struct Store {
    root: Utf8PathBuf,
}

impl Store {
    /// Opens the store at `root`, making it when there is none, and clears away what dead processes left
    /// half-made.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when the directories cannot be made or listed.
    pub fn open(root: &Utf8Path) -> Result<Self, StoreError> {
        for part in ["blobs", "outputs", "secrets", "staging", "locks"] {
            let dir = root.join(part);
            fs::create_dir_all(&dir).map_err(StoreError::io("make the directory", &dir))?;
        }
        let root = root.canonicalize_utf8().map_err(StoreError::io("resolve", root))?;
        let store = Self { root };
        store.sweep()?;
        Ok(store)
    }

    /// Where the store lies unless told otherwise: `$FEEDER_STORE`, else `$XDG_CACHE_HOME/feeder/store`, else
    /// `~/.cache/feeder/store`.
    #[must_use]
    pub fn default_root() -> Utf8PathBuf {
        let var = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        default_root_from(var("FEEDER_STORE"), var("XDG_CACHE_HOME"), var("HOME"))
    }

    /// The directory of this store, absolute.
    #[must_use]
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }
}

fn default_root_from(
    store: Option<String>,
    cache: Option<String>,
    home: Option<String>,
) -> Utf8PathBuf {
    match (store, cache, home) {
        (Some(store), _, _) => store.into(),
        (None, Some(cache), _) => Utf8PathBuf::from(cache).join("feeder/store"),
        (None, None, Some(home)) => Utf8PathBuf::from(home).join(".cache/feeder/store"),
        // No home: a service account or a bare container. The place must still outlive the process.
        (None, None, None) => "/var/tmp/feeder/store".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::default_root_from;

    #[test]
    fn the_default_place_follows_the_environment() {
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(default_root_from(text("/s"), text("/c"), text("/h")), "/s");
        assert_eq!(default_root_from(None, text("/c"), text("/h")), "/c/feeder/store");
        assert_eq!(default_root_from(None, None, text("/h")), "/h/.cache/feeder/store");
        assert_eq!(default_root_from(None, None, None), "/var/tmp/feeder/store");
    }
}
