//! Why a log cannot be read or replayed.

use std::io;

use camino::Utf8PathBuf;
use feeder_ui::{Exit, Expected};

/// Why a log cannot be read or replayed.
#[derive(Debug, thiserror::Error)]
pub enum WriteLogError {
    /// The log or the image.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{path} is no log of writes: {why}")]
    NoLog {
        /// The file.
        path: Utf8PathBuf,
        /// What shows that.
        why: String,
    },
    /// The file is shorter than it says.
    #[error("{path} ends in entry {entry} of {entries}")]
    Truncated {
        /// The file.
        path: Utf8PathBuf,
        /// The entry, from 1.
        entry: u64,
        /// How many there should be.
        entries: u64,
    },
    /// The image is not that disk's.
    #[error("{image} has {size} bytes, but entry {entry} of the log ends at byte {end}")]
    TooSmall {
        /// The image.
        image: Utf8PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Index of the request.
        entry: usize,
        /// Where the request ends on the disk, in bytes.
        end: u64,
    },
}

impl Expected for WriteLogError {
    fn exit(&self) -> Exit {
        Exit::Harness
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::NoLog { .. } | Self::Truncated { .. } => Some(
                "QEMU writes it as long as the machine runs; was the disk's write_log set?".into(),
            ),
            Self::TooSmall { .. } => {
                Some("replay onto a raw image of the whole disk: qemu-img convert -O raw".into())
            }
        }
    }
}
