//! Why a machine could not be powered on or asked.

use std::io;

use camino::Utf8PathBuf;
use feeder_process::{ProcessError, Status};
use feeder_ui::{Exit, Expected};

use crate::QmpError;

/// Why a machine could not be powered on or asked.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// What was asked for cannot work.
    #[error("cannot power on {machine}: {what}")]
    Spec {
        /// The machine.
        machine: String,
        /// What is wrong with it.
        what: String,
        /// What would be right.
        hint: String,
    },
    /// The emulator is not there, or cannot be started.
    #[error("cannot power on {machine}: {source}")]
    Start {
        /// The machine.
        machine: String,
        /// What the operating system said.
        source: ProcessError,
    },
    /// The emulator ended before the machine ran.
    #[error("cannot power on {machine}: QEMU ended at once ({status}): {stderr}")]
    Exited {
        /// The machine.
        machine: String,
        /// How it ended.
        status: Status,
        /// The end of what it said.
        stderr: String,
        /// The command, for a shell.
        command: String,
    },
    /// The emulator runs but did not connect.
    #[error("cannot power on {machine}: QEMU did not connect its {what} within {seconds} s")]
    NoConnection {
        /// The machine.
        machine: String,
        /// The socket that stayed alone.
        what: &'static str,
        /// How long we waited, wall clock.
        seconds: u64,
    },
    /// Somebody asked us to stop.
    #[error("interrupted while powering on {machine}")]
    Interrupted {
        /// The machine.
        machine: String,
    },
    /// Its state could not be written to a file.
    #[error("cannot save {machine}: {why}")]
    Save {
        /// The machine.
        machine: String,
        /// What stood in the way.
        why: String,
    },
    /// Its state could not be read from a file.
    #[error("cannot resume {machine} from {state}: {why}")]
    Resume {
        /// The machine.
        machine: String,
        /// The file.
        state: Utf8PathBuf,
        /// What stood in the way.
        why: String,
    },
    /// One of its disks does not allow that.
    #[error("cannot {what} disk {disk} of {machine}: {why}")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// The disk's id.
        disk: String,
        /// The machine.
        machine: String,
        /// What stands in the way.
        why: String,
    },
    /// An image could not be made or read.
    #[error("cannot {what}: {source}")]
    Image {
        /// What was tried, on what.
        what: String,
        /// What `qemu-img` said.
        source: ProcessError,
    },
    /// QMP.
    #[error("{machine}: {source}")]
    Qmp {
        /// The machine.
        machine: String,
        /// What went wrong.
        source: QmpError,
    },
    /// A file, directory or socket of ours.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, on what.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Expected for MachineError {
    fn exit(&self) -> Exit {
        match self {
            Self::Spec { .. } => Exit::Input,
            Self::Start { source: ProcessError::NotFound { .. }, .. }
            | Self::Image { source: ProcessError::NotFound { .. }, .. } => Exit::Host,
            Self::Interrupted { .. }
            | Self::Start { source: ProcessError::Interrupted { .. }, .. }
            | Self::Image { source: ProcessError::Interrupted { .. }, .. } => Exit::Interrupted,
            Self::Start { .. }
            | Self::Disk { .. }
            | Self::Save { .. }
            | Self::Resume { .. }
            | Self::Image { .. }
            | Self::Exited { .. }
            | Self::NoConnection { .. }
            | Self::Qmp { .. }
            | Self::Io { .. } => Exit::Harness,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Spec { hint, .. } => Some(hint.clone()),
            Self::Start { source: ProcessError::NotFound { .. }, .. }
            | Self::Image { source: ProcessError::NotFound { .. }, .. } => {
                Some("`cargo xtask setup` installs what is missing".into())
            }
            Self::Exited { command, .. } => Some(format!("try it by hand: {command}")),
            Self::NoConnection { .. } => {
                Some("the host may be out of memory or very busy; try again".into())
            }
            Self::Start { .. }
            | Self::Interrupted { .. }
            | Self::Disk { .. }
            | Self::Save { .. }
            | Self::Resume { .. }
            | Self::Image { .. }
            | Self::Qmp { .. }
            | Self::Io { .. } => None,
        }
    }
}
