//! What can keep one from watching.

use feeder_modules::ProvisionError;
use feeder_remote::RemoteError;
use feeder_ui::{Exit, Expected};

/// Why the nodes cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The master cannot be reached.
    #[error(transparent)]
    Master(#[from] Box<ProvisionError>),
    /// The master cannot be asked any more.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The master answered something else.
    #[error("cannot understand what {host} sees: it said \"{said}\"")]
    NotUnderstood {
        /// The master.
        host: String,
        /// The first line that it said.
        said: String,
    },
    /// What was seen could not be shown.
    #[error("cannot write the result to stdout")]
    NotShown(#[source] std::io::Error),
}

impl From<ProvisionError> for WatchError {
    fn from(error: ProvisionError) -> Self {
        Self::Master(Box::new(error))
    }
}

impl Expected for WatchError {
    fn exit(&self) -> Exit {
        match self {
            Self::Master(error) => error.exit(),
            Self::Remote(error) => error.exit(),
            Self::NotUnderstood { .. } | Self::NotShown(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Master(error) => error.hint(),
            Self::Remote(error) => error.hint(),
            Self::NotUnderstood { host, .. } => {
                Some(format!("log in and look: `cargo xtask node ssh {host}`"))
            }
            Self::NotShown(_) => None,
        }
    }
}
