//! Why a master is not as wanted.

use camino::Utf8PathBuf;
use feeder_plan::RunError;
use feeder_remote::RemoteError;
use feeder_ui::{Exit, Expected};

/// Why provisioning did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The master answers neither where it belongs nor where it might be.
    #[error("cannot reach the master: {}{source}", elsewhere.as_ref().map_or_else(String::new, |first| format!("{first}; then, at its own address, ")))]
    Unreachable {
        /// What the attempt at its own address met.
        source: Box<RemoteError>,
        /// What the attempt at the address of first contact met, if there was one.
        elsewhere: Option<String>,
    },
    /// The connection failed later.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The master got its address and was not reached there.
    #[error("{host} did not answer at its new address: {source}")]
    NewAddress {
        /// Its name.
        host: String,
        /// What the last attempt met.
        source: RemoteError,
    },
    /// The master cannot serve workers as it is.
    #[error("{host} cannot be provisioned: {why}")]
    Unsuitable {
        /// Its name.
        host: String,
        /// What is in the way.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// Asking, changing or verifying failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Keys could not be recorded on this machine.
    #[error("cannot record host keys in {path}: {source}")]
    KnownHosts {
        /// The file.
        path: Utf8PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Expected for ProvisionError {
    fn exit(&self) -> Exit {
        match self {
            Self::Remote(error) => error.exit(),
            Self::Unreachable { source, .. } => source.exit(),
            Self::Run(error) => error.exit(),
            Self::Unsuitable { .. } => Exit::Input,
            Self::NewAddress { .. } | Self::KnownHosts { .. } => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { elsewhere: None, source } if source.is_transient() => Some(
                "on first contact the master has another address: look it up in your router and say `--at NAME=ADDRESS`".into(),
            ),
            Self::Remote(error) => error.hint(),
            Self::Unreachable { source, .. } => source.hint(),
            Self::Run(error) => error.hint(),
            Self::NewAddress { .. } => Some(
                "it takes its old address back by itself within five minutes; check `address`, `subnet` and `gateway` in cluster.toml".into(),
            ),
            Self::Unsuitable { remedy, .. } => Some(remedy.clone()),
            Self::KnownHosts { .. } => None,
        }
    }
}
