//! Why generations could not be looked at or changed.

use feeder_modules::ProvisionError;
use feeder_remote::RemoteError;
use feeder_ui::{Exit, Expected};

use super::Keep;

/// Why generations could not be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The master.
    #[error(transparent)]
    Master(Box<ProvisionError>),
    /// The canary is no worker.
    #[error("the cluster has no worker `{name}`")]
    NoSuchWorker {
        /// What was given.
        name: String,
        /// Those that there are.
        workers: Vec<String>,
    },
    /// The canary must be running to be restarted.
    #[error("{name} does not answer, and cannot go first: {source}. Nothing has been changed")]
    SilentCanary {
        /// The worker.
        name: String,
        /// What asking it met.
        source: Box<RemoteError>,
    },
    /// There is no way back.
    #[error("no generation was active before the one that is")]
    NothingBefore,
    /// There is no active generation to upgrade.
    #[error("there is no generation yet")]
    None,
    /// A generation that is needed.
    #[error("generation {number} stays: {why}")]
    Kept {
        /// Its number.
        number: u32,
        /// Why it must.
        why: Keep,
    },
    /// No such generation.
    #[error("there is no generation {0}")]
    NoSuchGeneration(u32),
}

impl From<ProvisionError> for GenerationError {
    fn from(error: ProvisionError) -> Self {
        Self::Master(Box::new(error))
    }
}

impl Expected for GenerationError {
    fn exit(&self) -> Exit {
        match self {
            Self::Master(error) => error.exit(),
            Self::NoSuchWorker { .. } | Self::NoSuchGeneration(_) => Exit::Input,
            Self::SilentCanary { .. } | Self::Kept { .. } => Exit::Failed,
            Self::NothingBefore | Self::None => Exit::NotAsWanted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Master(error) => error.hint(),
            Self::NoSuchWorker { workers, .. } => {
                Some(format!("its workers are {}", workers.join(", ")))
            }
            Self::SilentCanary { .. } => Some("choose one that runs, or give it power".into()),
            Self::Kept { .. } | Self::NoSuchGeneration(_) | Self::NothingBefore => {
                Some("`cargo xtask generation list` shows those that there are".into())
            }
            Self::None => Some("`cargo xtask provision` makes the first one".into()),
        }
    }
}
