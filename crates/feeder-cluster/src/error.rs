//! What can go wrong before and while a file is understood.

use std::io::ErrorKind;

use camino::Utf8PathBuf;
use feeder_ui::{Exit, Expected};

use crate::Diagnostics;

/// Why [`crate::load`] gave no cluster.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read at all.
    #[error("the cluster's description `{path}` cannot be read")]
    Read {
        /// The file that was asked for.
        path: Utf8PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was read and has mistakes.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
}

impl Expected for LoadError {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        let Self::Read { source, .. } = self else { return None };
        Some(match source.kind() {
            ErrorKind::NotFound => {
                "`cargo xtask init` writes one to start from; docs/cluster.toml.md describes it"
                    .to_owned()
            }
            ErrorKind::InvalidData => "save it as UTF-8, which TOML requires".to_owned(),
            _ => "check the permissions of the file and of the folders above it".to_owned(),
        })
    }

    fn rendered(&self) -> Option<String> {
        match self {
            Self::Read { .. } => None,
            Self::Invalid(diagnostics) => Expected::rendered(diagnostics),
        }
    }
}

impl Expected for Diagnostics {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    /// With colours: whoever prints it drops them where they are not wanted.
    fn rendered(&self) -> Option<String> {
        Some(self.rendered(true))
    }
}
