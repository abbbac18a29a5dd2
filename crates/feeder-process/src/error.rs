//! How a program ended, and what to say when that was not well.

use std::{fmt, io, os::unix::process::ExitStatusExt, process::ExitStatus};

/// How a program ended: by itself with a code, or by a signal. Exactly one of the two is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Exit code, 0 to 255, when it ended by itself.
    pub code: Option<i32>,
    /// Number of the signal that ended it.
    pub signal: Option<i32>,
}

impl Status {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self.code == Some(0)
    }
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: status.signal() }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(0), _) => f.write_str("success"),
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(signal)) => match signal_hook::low_level::signal_name(signal) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {signal}"),
            },
            (None, None) => f.write_str("an unknown end"),
        }
    }
}

/// Why a program did not do what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such program on this machine.
    #[error("program `{program}` was not found (not in PATH, or not executable)")]
    NotFound {
        /// As it was asked for: a name looked up in PATH, or a path.
        program: String,
    },
    /// It ran and said no.
    #[error("`{command}` failed: {status}{}", indented(stderr_tail))]
    Failed {
        /// Shell-quoted, for display.
        command: String,
        /// How it ended.
        status: Status,
        /// The last lines, at most 1 KiB, of its standard error, or of its standard output when the former is empty.
        stderr_tail: String,
    },
    /// [`crate::interrupt`] came before or while it ran. Its process group is gone.
    #[error("interrupted: `{command}`")]
    Interrupted {
        /// Shell-quoted, for display.
        command: String,
    },
    /// The operating system did not let us start or watch it.
    #[error("cannot {what} `{command}`: {source}")]
    Io {
        /// What was tried: "start", "wait for".
        what: &'static str,
        /// Shell-quoted, for display.
        command: String,
        /// What the operating system said.
        source: io::Error,
    },
}

fn indented(tail: &str) -> String {
    tail.lines().map(|line| format!("\n  | {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_well() {
        let err = ProcessError::Failed {
            command: "mke2fs -d root 'my image'".into(),
            status: Status { code: Some(1), signal: None },
            stderr_tail: "mke2fs 1.47\nno space left\n".into(),
        };
        assert_eq!(
            err.to_string(),
            "`mke2fs -d root 'my image'` failed: exit status 1\n  | mke2fs 1.47\n  | no space left"
        );
        assert_eq!(Status { code: None, signal: Some(9) }.to_string(), "killed by SIGKILL");
    }
}
