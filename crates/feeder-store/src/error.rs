//! What can go wrong in a store.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::Digest;

/// Nothing half-made stays under a final name when one of these is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system refused.
    #[error("cannot {what} {path}")]
    Io {
        /// What was tried: "make the directory".
        what: &'static str,
        /// On what.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The source of a blob broke off.
    #[error("reading stopped after {bytes} bytes")]
    Read {
        /// Bytes that had arrived.
        bytes: u64,
        /// What the source said.
        source: io::Error,
    },
    /// The bytes are not the promised ones; they were thrown away.
    #[error(
        "expected {expected_size} bytes with SHA-256 {expected}, got {size} bytes with SHA-256 {got}"
    )]
    Mismatch {
        /// The promised digest.
        expected: Digest,
        /// The promised size.
        expected_size: u64,
        /// The digest of what came. Of a longer file only the first `expected_size` + 1 bytes were read.
        got: Digest,
        /// Bytes read.
        size: u64,
    },
}

impl StoreError {
    /// For `map_err`: an I/O error that says what was tried on which path.
    pub(crate) fn io(what: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
