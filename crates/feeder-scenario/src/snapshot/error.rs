//! What can go wrong on the shelf.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_ui::{Exit, Expected};

use crate::RunDirError;

/// The shelf could not be read or changed. Nothing half-made is ever found on it.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The file system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A run's own directory could not be made.
    #[error(transparent)]
    Live(#[from] RunDirError),
    /// A state needs files that are not on the shelf.
    #[error("{path} is not on the shelf, so no state can need it")]
    Elsewhere {
        /// The file.
        path: Utf8PathBuf,
    },
}

impl Expected for ShelfError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. } | Self::Live(_) => Exit::Host,
            Self::Elsewhere { .. } => Exit::Harness,
        }
    }

    fn hint(&self) -> Option<String> {
        None
    }
}

/// For `map_err`: an I/O error that says what was tried on which path.
pub(super) fn io(
    doing: &'static str,
    path: &Utf8Path,
) -> impl FnOnce(std::io::Error) -> ShelfError {
    let path = path.to_owned();
    move |source| ShelfError::Io { doing, path, source }
}
