//! What can keep a master from listening.

use feeder_modules::ProvisionError;
use feeder_remote::RemoteError;
use feeder_ui::{Exit, Expected};

/// Why nobody listened.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The master cannot be reached.
    #[error(transparent)]
    Master(#[from] Box<ProvisionError>),
    /// The master lacks what listens.
    #[error("cannot listen on {host}: tcpdump is not installed there")]
    NoTcpdump {
        /// The master.
        host: String,
    },
    /// The master is not on the segment.
    #[error("cannot listen on {host}: it has no address in {subnet}, and no route elsewhere")]
    NoInterface {
        /// The master.
        host: String,
        /// The segment.
        subnet: String,
    },
    /// Listening ended before it began, without a word.
    #[error("cannot listen on {host}: it did not say on which interface")]
    Silent {
        /// The master.
        host: String,
    },
    /// Listening ended early.
    #[error("cannot listen: {0}")]
    Listening(RemoteError),
}

impl From<ProvisionError> for DiscoverError {
    fn from(error: ProvisionError) -> Self {
        Self::Master(Box::new(error))
    }
}

impl Expected for DiscoverError {
    fn exit(&self) -> Exit {
        match self {
            Self::Master(error) => error.exit(),
            Self::NoTcpdump { .. } | Self::NoInterface { .. } | Self::Silent { .. } => Exit::Failed,
            Self::Listening(error) => error.exit(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Master(error) => error.hint(),
            Self::NoTcpdump { host } => Some(format!(
                "install it: cargo xtask node exec {host} --root -- 'apt-get update && apt-get install -y tcpdump'"
            )),
            Self::NoInterface { .. } => {
                Some("is its cable in? `ip address` on it shows its interfaces".into())
            }
            Self::Silent { .. } => Some("run it again".into()),
            Self::Listening(error) => error.hint(),
        }
    }
}
