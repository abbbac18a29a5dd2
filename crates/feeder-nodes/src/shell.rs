//! Running something on a node.

use feeder_process::quote;
use feeder_remote::{Host, Privilege, RemoteError, Ssh};

use crate::Target;

/// Runs a script on a node, and hands out the lines that it writes, to standard output and standard error alike, as they
/// come.
///
/// # Errors
/// Every [`RemoteError`]; `Script` when its status is not 0.
pub fn stream(
    target: &Target,
    privilege: Privilege,
    script: &str,
    on_line: &mut dyn FnMut(&str),
) -> Result<(), RemoteError> {
    let host = Ssh::connect(target.with(privilege))?;
    host.stream(&format!("exec 2>&1\n{script}"), on_line).map(drop)
}

/// What was typed as a script: one word is a script itself, several are a program and its arguments.
#[must_use]
pub fn script_of(words: &[String]) -> String {
    match words {
        [script] => script.clone(),
        words => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    }
}

/// What of a node's journal is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logs {
    /// Of these units alone, if any are named.
    pub units: Vec<String>,
    /// From this time on, as journalctl reads it: `-1h`, `today`, `2026-01-31 12:00`.
    pub since: Option<String>,
    /// The newest lines only.
    pub lines: Option<u32>,
    /// Since the node's last start only.
    pub boot: bool,
    /// Go on with what is written from now on.
    pub follow: bool,
}

impl Logs {
    /// The script that shows it.
    #[must_use]
    pub fn script(&self) -> String {
        let mut words: Vec<String> =
            ["journalctl", "--no-pager", "--quiet", "--output=short-iso", "--no-hostname"]
                .map(str::to_owned)
                .into();
        words.extend(self.units.iter().map(|unit| format!("--unit={unit}")));
        words.extend(self.since.iter().map(|since| format!("--since={since}")));
        words.extend(self.lines.iter().map(|lines| format!("--lines={lines}")));
        words.extend(self.boot.then(|| "--boot".to_owned()));
        words.extend(self.follow.then(|| "--follow".to_owned()));
        script_of(&words)
    }
}
