//! What can stand in the way.

use feeder_process::ProcessError;
use feeder_ui::{Exit, Expected, plural};

/// Why this machine is not ready.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Something is missing, and was not installed. Nothing has been changed.
    #[error("this machine lacks {}:{}\nnothing has been installed, because {why}", plural(tools.len(), "tool"), listed(tools))]
    Missing {
        /// Each with its state and purpose.
        tools: Vec<String>,
        /// What brings them, line by line.
        commands: Vec<String>,
        /// Why we did not do it.
        why: NotInstalled,
    },
    /// A change failed. Those before it stay; setting up again continues.
    #[error("setting up this machine stopped: could not {doing}")]
    Step {
        /// What was tried.
        doing: String,
        /// The commands that were run.
        command: String,
        /// How they ended.
        source: ProcessError,
    },
    /// Everything was installed, and still something is missing.
    #[error("everything was installed, and still this machine lacks {}:{}", plural(tools.len(), "tool"), listed(tools))]
    StillMissing {
        /// Each with its state and purpose.
        tools: Vec<String>,
    },
    /// The user stopped it.
    #[error(
        "setting up this machine was interrupted; what was installed stays, and setting up again continues"
    )]
    Interrupted,
}

/// Why nothing was installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInstalled {
    /// Only Debian is known well enough to be changed.
    #[error("this is {system}, and only Debian is set up without you")]
    NotDebian {
        /// What the machine calls itself.
        system: String,
    },
    /// No source to copy for backports.
    #[error(
        "apt has no source for {codename} main from which to copy the place of {codename}-backports"
    )]
    NoSource {
        /// The release.
        codename: String,
    },
    /// We are not root, and sudo is absent or wants a password.
    #[error("it needs root, and sudo is not there or asks for a password")]
    NoRoot,
    /// There is nobody to ask.
    #[error("there is no terminal to ask on, and neither --yes nor CI=true is given")]
    NoTerminal,
    /// The answer was no.
    #[error("you said no")]
    Declined,
}

impl HostError {
    pub(crate) fn missing(tools: Vec<String>, commands: Vec<String>, why: NotInstalled) -> Self {
        Self::Missing { tools, commands, why }
    }
}

fn listed(tools: &[String]) -> String {
    tools.iter().map(|tool| format!("\n  {tool}")).collect()
}

impl Expected for HostError {
    fn exit(&self) -> Exit {
        match self {
            Self::Interrupted | Self::Step { source: ProcessError::Interrupted { .. }, .. } => {
                Exit::Interrupted
            }
            _ => Exit::Host,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { commands, why, .. } => {
                let typed: String = commands.iter().map(|line| format!("\n{line}")).collect();
                let or = match why {
                    NotInstalled::NoTerminal | NotInstalled::Declined => ", or run `cargo xtask setup --yes`",
                    _ => "",
                };
                Some(format!("type these commands{or}:{typed}"))
            }
            Self::Step { command, .. } => Some(format!(
                "see what apt or the kernel says when you type it yourself; in a container, binfmt_misc needs a privileged one:\n{}",
                command.trim_end()
            )),
            Self::StillMissing { .. } => {
                Some("look at `cargo xtask setup`; a program of the same name earlier in PATH hides a newer one".into())
            }
            Self::Interrupted => None,
        }
    }
}
