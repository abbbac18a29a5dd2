//! How to reach the hosts of a cluster.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use camino::Utf8PathBuf;
use feeder_cluster::{Cluster, Secret, SecretError};
use feeder_remote::{CONNECT_TIMEOUT, HostKeys, Password, SILENCE, SshOptions, Tally, UserConfig};

/// The port of sshd.
const SSH: u16 = 22;

/// What is waited for: one takes longer than the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// The master at its new address.
    NewAddress,
    /// A system that goes down, and another one that comes up.
    Restart,
    /// What the managers of the swarm agree on.
    Swarm,
}

/// Asked at the beginning of a waiting. Its answer is asked about ten times a second, until it says no or the waiting is over.
pub type Patience = Arc<dyn Fn(Awaited) -> KeepWaiting + Send + Sync>;

/// Whether to go on with a waiting.
pub type KeepWaiting = Box<dyn FnMut() -> bool>;

/// Three minutes of whatever is waited for.
fn three_minutes(_: Awaited) -> KeepWaiting {
    let began = Instant::now();
    Box::new(move || began.elapsed() < Duration::from_secs(180))
}

/// How to reach the hosts of a cluster.
#[derive(Clone)]
pub struct Access {
    /// The one private key to offer; without it the user's agent and configuration decide.
    pub identity: Option<Utf8PathBuf>,
    /// Where host keys are looked up and recorded.
    pub known_hosts: Utf8PathBuf,
    /// What to do about the master when `known_hosts` does not list it. Workers' keys are recorded by provisioning.
    pub host_keys: HostKeys,
    /// Whether the user's own SSH configuration counts.
    pub config: UserConfig,
    /// Where nodes answer, by name, when that is not port 22 of their address.
    pub at: BTreeMap<String, SocketAddr>,
    /// Where the master answers as long as it does not have its address yet.
    pub first_contact: Option<SocketAddr>,
    /// The password of the user, for nodes on which sudo asks for it.
    pub sudo_password: Option<Secret>,
    /// The password with which the user logs in to a master that has no key of the user's yet.
    pub login_password: Option<Secret>,
    /// How long one attempt to reach a node may take; half of it for workers that may well have no power.
    pub connect_timeout: Duration,
    /// How long a node may stay silent before the connection to it counts as lost.
    pub silence: Duration,
    /// How long to wait for what comes by itself.
    pub patience: Patience,
    /// A folder in which it is remembered what masters were when they were last looked at, which saves a round trip.
    pub surveys: Option<Utf8PathBuf>,
    /// Where round trips are counted.
    pub tally: Tally,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("known_hosts", &self.known_hosts)
            .field("at", &self.at)
            .field("first_contact", &self.first_contact)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Over the network as it is, with the user's own keys; three minutes for what comes by itself.
    pub fn new(known_hosts: impl Into<Utf8PathBuf>) -> Self {
        Self {
            identity: None,
            known_hosts: known_hosts.into(),
            host_keys: HostKeys::Strict,
            config: UserConfig::Honoured,
            at: BTreeMap::new(),
            first_contact: None,
            sudo_password: None,
            login_password: None,
            connect_timeout: CONNECT_TIMEOUT,
            silence: SILENCE,
            patience: Arc::new(three_minutes),
            surveys: None,
            tally: Tally::default(),
        }
    }

    /// The same, with the password for sudo, when the cluster's description says where that is to be had and this does not hold one.
    ///
    /// # Errors
    /// It is not to be had.
    pub fn with_sudo_password(mut self, cluster: &Cluster) -> Result<Self, SecretError> {
        if let (None, Some(found)) = (&self.sudo_password, &cluster.master.sudo_password) {
            self.sudo_password = Some(found.resolve()?);
        }
        Ok(self)
    }

    /// SSH to a node of the cluster where it belongs. None when the cluster has no node of that name.
    #[must_use]
    pub fn node(&self, cluster: &Cluster, name: &str) -> Option<SshOptions> {
        Some(self.at_home(cluster, name, cluster.address_of(name)?))
    }

    /// SSH to a node where somebody who wants to do something there finds it: the master at [`Self::first_contact`], when
    /// that is set. None when the cluster has no node of that name.
    #[must_use]
    pub fn found(&self, cluster: &Cluster, name: &str) -> Option<SshOptions> {
        let first = self.first_contact(cluster).filter(|_| name == cluster.master.name.as_str());
        first.or_else(|| self.node(cluster, name))
    }

    /// SSH to the master where it belongs.
    pub(crate) fn master(&self, cluster: &Cluster) -> SshOptions {
        self.at_home(cluster, cluster.master.name.as_str(), cluster.master.address)
    }

    fn at_home(&self, cluster: &Cluster, name: &str, address: Ipv4Addr) -> SshOptions {
        let home = SocketAddr::new(IpAddr::V4(address), SSH);
        self.ssh(cluster, name, self.at.get(name).copied().unwrap_or(home))
    }

    /// SSH to the master where it answers before it has its address.
    pub(crate) fn first_contact(&self, cluster: &Cluster) -> Option<SshOptions> {
        let mut options = self.ssh(cluster, cluster.master.name.as_str(), self.first_contact?);
        options.host_keys = self.host_keys;
        Some(options)
    }

    fn ssh(&self, cluster: &Cluster, name: &str, address: SocketAddr) -> SshOptions {
        let password = |secret: &Secret| Password::new(secret.expose());
        let mut options = SshOptions::new(&cluster.master.user, address, name, &self.known_hosts);
        options.identity.clone_from(&self.identity);
        options.config = self.config.clone();
        options.sudo_password = self.sudo_password.as_ref().map(password);
        if name == cluster.master.name.as_str() {
            options.login_password = self.login_password.as_ref().map(password);
        }
        options.connect_timeout = self.connect_timeout;
        options.silence = self.silence;
        options.tally = self.tally.clone();
        options
    }
}
