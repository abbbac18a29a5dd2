//! How to reach a host over SSH.

use std::{net::SocketAddr, time::Duration};

use camino::Utf8PathBuf;

use crate::Tally;

/// Where a host is and how to log in there.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// Account to log in to.
    pub user: String,
    /// Where its sshd listens.
    pub address: SocketAddr,
    /// The node's name. Its keys are recorded under it, so the address may change and be shared; `Host` blocks of the
    /// user's configuration match it.
    pub host_key_alias: String,
    /// The one private key to offer. Without it the user's agent, keys and configuration decide.
    pub identity: Option<Utf8PathBuf>,
    /// The only file in which known host keys are looked up and recorded. Need not exist yet.
    pub known_hosts: Utf8PathBuf,
    /// What to do about a host that `known_hosts` does not list.
    pub host_keys: HostKeys,
    /// Whether the user's own configuration (ProxyJump and the like) counts.
    pub config: UserConfig,
    /// As whom scripts run.
    pub privilege: Privilege,
    /// What sudo is told where it asks for the account's password. Without it, sudo must not ask.
    pub sudo_password: Option<Password>,
    /// What sshd is told where no key is accepted. Without it, a key must be.
    pub login_password: Option<Password>,
    /// The control socket of a connection through which it is reached, in place of one of our own to `address`. Made by
    /// [`crate::Ssh::beyond`].
    pub through: Option<Utf8PathBuf>,
    /// How long one attempt to connect may take, up to the server's greeting. Whole seconds, at least one.
    pub connect_timeout: Duration,
    /// How long the host may stay silent before the connection counts as lost. Whole seconds, at least four.
    pub silence: Duration,
    /// Where its round trips are counted.
    pub tally: Tally,
}

/// How long one attempt to connect may take, unless somebody says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a host may stay silent, unless somebody says otherwise.
pub const SILENCE: Duration = Duration::from_secs(60);

impl SshOptions {
    /// Strict about host keys, root through sudo, the user's configuration honoured, [`CONNECT_TIMEOUT`], [`SILENCE`].
    pub fn new(
        user: impl Into<String>,
        address: SocketAddr,
        host_key_alias: impl Into<String>,
        known_hosts: impl Into<Utf8PathBuf>,
    ) -> Self {
        Self {
            user: user.into(),
            address,
            host_key_alias: host_key_alias.into(),
            identity: None,
            known_hosts: known_hosts.into(),
            host_keys: HostKeys::Strict,
            config: UserConfig::Honoured,
            privilege: Privilege::Root,
            sudo_password: None,
            login_password: None,
            through: None,
            connect_timeout: CONNECT_TIMEOUT,
            silence: SILENCE,
            tally: Tally::default(),
        }
    }
}

/// What to do about a host whose key is not known. A key that *changed* is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeys {
    /// Refuse it.
    Strict,
    /// Record the key it shows: for the first contact with a board.
    AcceptNew,
}

/// Which ssh configuration counts besides our own options, which win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserConfig {
    /// The user's and the system's, as for any other `ssh`.
    Honoured,
    /// None: for virtual machines, where the user's habits must not matter.
    Ignored,
    /// This file alone.
    File(Utf8PathBuf),
}

/// An account's password. Sudo gets it by standard input, ahead of a script, and ssh from the environment, for a program that it
/// asks; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// One line of text: what stands behind a line end would be taken for the script.
    pub fn new(password: &str) -> Self {
        Self(password.lines().next().unwrap_or_default().to_owned())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn line(&self) -> String {
        format!("{}\n", self.0)
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// As whom scripts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// root: through sudo, unless the account is root already.
    Root,
    /// The account itself.
    User,
}
