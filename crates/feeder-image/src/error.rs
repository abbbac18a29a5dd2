//! What can go wrong between a package set and a disk image.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::ProcessError;
use feeder_store::{Digest, StoreError};
use feeder_ui::{Exit, Expected};

use crate::{LockError, MirrorError};

/// Nothing half-made is left when one of these is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The lock cannot be read or does not fit.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// No mirror is known.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of ours cannot be used.
    #[error("cannot use {file}: {why}")]
    Input {
        /// A recipe, a package set, or a file beside them.
        file: Utf8PathBuf,
        /// What is wrong, with line and column where there are some.
        why: String,
    },
    /// A program that was needed failed.
    #[error("cannot {what}")]
    Process {
        /// What it was run for.
        what: String,
        /// Which one, and what it said.
        source: ProcessError,
    },
    /// The file system refused.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said; names the file.
        source: io::Error,
    },
    /// The archive's index is not signed by a key that this machine knows.
    #[error("the index of suite {suite} at {mirror} is not signed by a key in {keyring}: {said}")]
    Signature {
        /// Codename of the suite.
        suite: String,
        /// Where it came from.
        mirror: Mirror,
        /// The keyring that was tried.
        keyring: Utf8PathBuf,
        /// apt's words.
        said: String,
    },
    /// The mirror does not have a locked package any more.
    #[error("{mirror} does not have {path} (any more): HTTP status {status}")]
    Gone {
        /// Where it was looked for.
        mirror: Mirror,
        /// Path of the package below the mirror.
        path: String,
        /// 404 or 410.
        status: u16,
    },
    /// A fetched file is not the locked one. It was thrown away.
    #[error(
        "{path} from {mirror} is not the file in the lock: expected {expected_size} bytes with SHA-256 {expected}, \
         got {got}; it was thrown away"
    )]
    Mismatch {
        /// Where it came from.
        mirror: Mirror,
        /// Path of the package below the mirror.
        path: String,
        /// SHA-256 in the lock.
        expected: Digest,
        /// Size in the lock, in bytes.
        expected_size: u64,
        /// What came: size and digest.
        got: String,
    },
    /// The mirror cannot be reached, or broke off.
    #[error("cannot fetch {path} from {mirror}")]
    Network {
        /// Where it was to come from.
        mirror: Mirror,
        /// Path of the package below the mirror.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A build needs a package that was not fetched.
    #[error("{package} is not in the store")]
    Missing {
        /// Name, version and architecture.
        package: String,
    },
    /// The user asked to stop.
    #[error("interrupted while {doing}; what was complete stays in the store")]
    Interrupted {
        /// What was going on.
        doing: String,
    },
}

use crate::Mirror;

impl ImageError {
    /// For `map_err` on a program's failure: what it was run for.
    pub(crate) fn process(what: impl Into<String>) -> impl FnOnce(ProcessError) -> Self {
        let what = what.into();
        move |source| match source {
            ProcessError::Interrupted { .. } => {
                Self::Interrupted { doing: format!("trying to {what}") }
            }
            source => Self::Process { what, source },
        }
    }

    /// For `map_err` on an error of the file system. The message of `fs_err` names the file.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For `map_err` on a file of ours that cannot be used.
    pub(crate) fn input<E: std::fmt::Display>(file: &Utf8Path) -> impl FnOnce(E) -> Self {
        let file = file.to_owned();
        move |why| Self::Input { file, why: why.to_string().trim_end().to_owned() }
    }
}

impl Expected for ImageError {
    fn exit(&self) -> Exit {
        match self {
            Self::Lock(error) => error.exit(),
            Self::Mirror(error) => error.exit(),
            Self::Input { .. } => Exit::Input,
            Self::Process { source: ProcessError::NotFound { .. }, .. } => Exit::Host,
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Store(StoreError::Io { .. })
            | Self::Io { .. }
            | Self::Signature { .. }
            | Self::Network { .. } => Exit::Host,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Lock(error) => return error.hint(),
            Self::Mirror(error) => return error.hint(),
            Self::Process { source: ProcessError::NotFound { .. }, .. } => {
                "`cargo xtask setup` installs every tool that is needed".into()
            }
            Self::Signature { suite, .. } => format!(
                "upgrade the package debian-archive-keyring: the keys of {suite} may be younger than this machine's keyring"
            ),
            Self::Gone { .. } => "run `cargo xtask image lock` to lock what the mirror has now, or give `--mirror` a \
                 mirror or snapshot that still has it"
                .into(),
            Self::Mismatch { .. } => "try again, or another `--mirror`; if it stays, the lock is of another archive: \
                 run `cargo xtask image lock`"
                .into(),
            Self::Network { .. } => {
                "what has arrived stays in the store: run it again, or give another `--mirror`".into()
            }
            Self::Missing { .. } => "run `cargo xtask image build`, which fetches what the lock names".into(),
            _ => return None,
        })
    }
}
