//! The machines as a person at the prompt handles them.

use camino::Utf8PathBuf;

use crate::{Failure, Verdict};

/// What a person can do with the machines of a stage.
pub trait Desk: Send + Sync {
    /// Every machine, the master first.
    fn nodes(&self) -> Vec<NodeState>;

    /// The command, program first, that logs in to a machine or runs something there. Without a `keyboard` it must leave
    /// standard input alone.
    ///
    /// # Errors
    /// It cannot be reached: it has no power.
    fn ssh(&self, node: &str, command: Option<&str>, keyboard: bool) -> Verdict<Vec<String>>;

    /// A machine's serial console.
    ///
    /// # Errors
    /// It has no power.
    fn console(&self, node: &str) -> Verdict<ConsoleEnd>;

    /// Does something about a machine's power, and waits until that is done.
    ///
    /// # Errors
    /// It cannot be done: no power to cut, nothing to boot from.
    fn power(&self, node: &str, what: Power) -> Verdict;
}

/// A machine as `nodes` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Whether it has power, and whether something is wrong with it: "on", "off", "on, panicked: …".
    pub state: String,
    /// Its address in the LAN.
    pub address: String,
    /// Where its sshd answers on this machine: `127.0.0.1:40001`.
    pub at: String,
}

/// What can be done about a machine's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Give it power.
    On,
    /// Press the button, and wait until it has shut down.
    Off,
    /// Pull the plug.
    Cut,
    /// Pull the plug, and give it power again.
    Cycle,
}

impl Power {
    /// What a word at the prompt stands for.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "on" => Self::On,
            "off" => Self::Off,
            "cut" => Self::Cut,
            "cycle" => Self::Cycle,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Cut => "cut",
            Self::Cycle => "cycle",
        }
    }
}

/// The two directions of a serial console.
pub struct ConsoleEnd {
    /// The file to which the console's bytes are appended as they come.
    pub log: Utf8PathBuf,
    /// Types; false when nobody is there any more.
    pub type_in: Box<dyn FnMut(&str) -> bool + Send>,
}

impl std::fmt::Debug for ConsoleEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsoleEnd").field("log", &self.log).finish_non_exhaustive()
    }
}

/// A desk without machines.
pub(crate) struct NoMachines;

impl Desk for NoMachines {
    fn nodes(&self) -> Vec<NodeState> {
        Vec::new()
    }

    fn ssh(&self, node: &str, _: Option<&str>, _: bool) -> Verdict<Vec<String>> {
        Err(nobody(node))
    }

    fn console(&self, node: &str) -> Verdict<ConsoleEnd> {
        Err(nobody(node))
    }

    fn power(&self, node: &str, _: Power) -> Verdict {
        Err(nobody(node))
    }
}

fn nobody(node: &str) -> Failure {
    Failure::scenario(format!("there is no node {node}"))
}
