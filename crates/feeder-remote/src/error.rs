//! What can go wrong between us and a host, told apart by what to do about it.

use camino::Utf8PathBuf;
use feeder_process::{ProcessError, Status};
use feeder_ui::{Exit, Expected};

/// Why a script did not run, or not to a good end.
///
/// Never holds a script: those may carry secrets.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nobody answers, or hangs up before the login: off, booting, or not in the network.
    #[error("cannot reach {host} at {address}: {why}")]
    Unreachable {
        /// Its name.
        host: String,
        /// Where it was tried.
        address: String,
        /// In ssh's words.
        why: String,
    },
    /// The machine is there but nothing listens on the port.
    #[error("{host} refuses connections at {address}: no sshd listens there")]
    Refused {
        /// Its name.
        host: String,
        /// Where it was tried.
        address: String,
    },
    /// The host shows another key than the recorded one.
    #[error("the host key of {host} is not the recorded one: {address} shows {}", fingerprint.as_deref().unwrap_or("another key"))]
    HostKeyChanged {
        /// Its name, under which keys are recorded.
        host: String,
        /// Where it was tried.
        address: String,
        /// Of the key that it shows, as `SHA256:…`.
        fingerprint: Option<String>,
        /// Where the recorded key is.
        known_hosts: Utf8PathBuf,
    },
    /// The host shows a key and none is recorded.
    #[error(
        "the host key of {host} at {address} is not known: {known_hosts} has none under that name"
    )]
    HostKeyUnknown {
        /// Its name, under which keys are recorded.
        host: String,
        /// Where it was tried.
        address: String,
        /// Where keys are recorded.
        known_hosts: Utf8PathBuf,
    },
    /// The host is the right one but does not let us in.
    #[error("{host} does not let {user} in: {why}")]
    Authentication {
        /// Its name.
        host: String,
        /// The account.
        user: String,
        /// In ssh's words.
        why: String,
    },
    /// Logged in, but not as root: sudo asks for a password, forbids it or is not there.
    #[error("{user} cannot become root on {host}: {why}")]
    Sudo {
        /// Its name.
        host: String,
        /// The account.
        user: String,
        /// In sudo's words.
        why: String,
    },
    /// ssh itself did not start: a bad option in its configuration, for example.
    #[error("ssh cannot be used for {host}: {why}")]
    Ssh {
        /// Its name.
        host: String,
        /// In ssh's words.
        why: String,
    },
    /// The connection broke while the script ran. How far the script came is not known, and it may still run.
    #[error("the connection to {host} was lost while a script ran there: {why}")]
    ConnectionLost {
        /// Its name.
        host: String,
        /// In ssh's words.
        why: String,
    },
    /// The script ran and said no.
    #[error("a script failed on {host}: {status}{}", indented(stderr_tail))]
    Script {
        /// Its name.
        host: String,
        /// How it ended.
        status: Status,
        /// The last lines, at most 1 KiB, of its standard error.
        stderr_tail: String,
    },
    /// The script said more than is sensible; it was cut off and the output thrown away.
    #[error("a script on {host} gave more than {} MiB of output", limit >> 20)]
    TooMuchOutput {
        /// Its name.
        host: String,
        /// In bytes.
        limit: usize,
    },
    /// Whoever waits for the host does not want to wait longer.
    #[error("gave up waiting for {host}: {last}")]
    GaveUp {
        /// Its name.
        host: String,
        /// What the last attempt met.
        last: String,
    },
    /// We were asked to stop. A script that was running is gone here; on the host it ends when it next writes.
    #[error("interrupted while talking to {host}")]
    Interrupted {
        /// Its name.
        host: String,
    },
    /// This machine cannot run ssh or sh.
    #[error("cannot talk to {host}: {source}")]
    Here {
        /// Its name.
        host: String,
        /// What went wrong here.
        source: ProcessError,
    },
}

impl RemoteError {
    pub(crate) fn from_process(host: &str, source: ProcessError) -> Self {
        let host = host.to_owned();
        match source {
            ProcessError::Interrupted { .. } => Self::Interrupted { host },
            source => Self::Here { host, source },
        }
    }

    /// Whether the same may work later without anybody doing anything: the host is off, boots, or was cut off.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::ConnectionLost { .. }
        )
    }
}

impl Expected for RemoteError {
    fn exit(&self) -> Exit {
        match self {
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Here { .. } | Self::Ssh { .. } => Exit::Host,
            _ => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { address, .. } => {
                format!("is it powered on and in this network? Try `ping {}`", ip_of(address))
            }
            Self::Refused { .. } => {
                "it may still be booting; otherwise enable ssh on it (a file named `ssh` on its boot partition)".into()
            }
            Self::HostKeyChanged { host, known_hosts, .. } => format!(
                "if the board was installed anew, forget its old key: ssh-keygen -R {host} -f {}; if not, another machine answers in its place",
                feeder_process::quote(known_hosts.as_str())
            ),
            Self::HostKeyUnknown { host, .. } => format!(
                "compare the key on the console of {host}, then accept it once with --accept-new"
            ),
            Self::Authentication { user, host, .. } => format!(
                "put your public key into ~{user}/.ssh/authorized_keys on {host}, load the right key with ssh-add, or say by --login-password where the password is"
            ),
            Self::Sudo { user, why, .. } if why.contains("incorrect password") => format!(
                "sudo was given another password than {user}'s there: correct `sudo-password` in cluster.toml"
            ),
            Self::Sudo { user, .. } => format!(
                "allow it: `{user} ALL=(ALL) NOPASSWD: ALL` in a file below /etc/sudoers.d; or, where it may ask, say what by `sudo-password` in cluster.toml"
            ),
            Self::Ssh { .. } => "`ssh -G HOST` shows what ssh makes of its configuration".into(),
            Self::ConnectionLost { .. } => "run it again: it continues where it was cut off".into(),
            Self::Here { source: ProcessError::NotFound { program }, .. } => {
                format!("install `{program}` (Debian: openssh-client)")
            }
            Self::Script { .. }
            | Self::TooMuchOutput { .. }
            | Self::GaveUp { .. }
            | Self::Interrupted { .. }
            | Self::Here { .. } => return None,
        })
    }
}

fn ip_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(ip, _)| ip.trim_matches(['[', ']']))
}

fn indented(tail: &str) -> String {
    tail.lines().map(|line| format!("\n  | {line}")).collect()
}
