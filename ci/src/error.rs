//! Why the gate could not give a verdict.

use feeder_host::HostError;
use feeder_process::ProcessError;
use feeder_ui::{Exit, Expected};

/// The gate was not run to its end. A step that fails is no error: it is in the report.
#[derive(Debug, thiserror::Error)]
pub enum CiError {
    /// Tools are missing.
    #[error(transparent)]
    Host(#[from] HostError),
    /// cargo does not know this workspace.
    #[error("cannot ask cargo about this workspace: {0}")]
    Cargo(String),
    /// A file of the gate's own.
    #[error("cannot keep the gate's logs: {0}")]
    Log(#[from] std::io::Error),
    /// The repository cannot be read.
    #[error("cannot list the repository's files: {0}")]
    Git(#[source] ProcessError),
    /// The user stopped it.
    #[error("the gate was interrupted in step {step}; its log is {log}")]
    Interrupted {
        /// The step that was under way.
        step: &'static str,
        /// Where its output is.
        log: camino::Utf8PathBuf,
    },
}

impl Expected for CiError {
    fn exit(&self) -> Exit {
        match self {
            Self::Host(error) => error.exit(),
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Cargo(_) | Self::Log(_) | Self::Git(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Host(error) => error.hint(),
            Self::Git(_) => Some("the checks read what git knows: run them in a clone".into()),
            _ => None,
        }
    }
}
