//! What all nodes of a lab share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use camino::Utf8PathBuf;
use feeder_cluster::Cluster;
use feeder_lan::{Lan, RogueDhcp};
use feeder_machine::Profile;
use feeder_modules::{Access, Awaited};
use feeder_remote::UserConfig;

use super::node::BOOT;
use crate::{Budget, Deadline, Story};

/// How long the master may take to show up at its new address, or the managers of the swarm to agree, in vCPU seconds of the
/// master.
const SETTLING: u64 = 120;
/// How long the master may take to go down and come up again, in its vCPU seconds. Much of that it may be idle for: a trial
/// that nobody can reach ends after five minutes.
const RESTART: u64 = SETTLING + BOOT;

/// How long a guest may take to greet who connects, and be silent. On the host's clock, as ssh has no other, so a loaded host is
/// allowed for; waits have deadlines of their own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
const SILENCE: Duration = Duration::from_secs(240);

pub(crate) struct Bench {
    pub(crate) story: Story,
    pub(crate) cluster: Cluster,
    pub(crate) lan: Lan,
    /// DHCP servers that should not be there.
    pub(crate) dhcp_servers: Mutex<Vec<RogueDhcp>>,
    /// The machine under the workers. The master is on the usual one, which has a disk that can be snapshotted and a faster
    /// network, unless this is about the master.
    pub(crate) machine: Profile,
    /// It is.
    pub(crate) master_on_machine: AtomicBool,
    /// What `serial0` is called by the kernel on that machine.
    pub(crate) serial0: String,
    /// How much more work the machine makes of everything, against the usual one.
    pub(crate) slowness: u64,
    /// Budgets are divided by this: what is broken on purpose need not be waited for as long.
    pub(crate) haste: AtomicU32,
    pub(crate) identity: Utf8PathBuf,
    pub(crate) known_hosts: Utf8PathBuf,
    pub(crate) forwards: BTreeMap<String, std::net::SocketAddr>,
}

impl Bench {
    /// How this cluster is reached from here: through the LAN's router, with the image's key, and nothing of the user's.
    pub(crate) fn access(&self) -> Access {
        let mut access = Access::new(&self.known_hosts);
        access.identity = Some(self.identity.clone());
        access.config = UserConfig::Ignored;
        access.at.clone_from(&self.forwards);
        access.surveys = Some(self.story.dir().scratch().join("surveys"));
        (access.connect_timeout, access.silence) = (CONNECT_TIMEOUT, SILENCE);
        let (story, master) = (self.story.clone(), vec![self.cluster.master.name.to_string()]);
        let (settling, restart) = (self.budget(SETTLING), self.budget(RESTART));
        access.patience = Arc::new(move |awaited| {
            let budget = match awaited {
                Awaited::NewAddress | Awaited::Swarm => settling,
                Awaited::Restart => restart,
            };
            let deadline = Deadline::new(story.progress_of(&master), budget);
            let (story, master) = (story.clone(), master.clone());
            Box::new(move || {
                !story.interrupted()
                    && story.guests().fate_of(&master).is_none()
                    && deadline.expired(story.progress_of(&master)).is_none()
            })
        });
        access
    }

    /// A budget in vCPU seconds of the usual machine, on this one.
    pub(crate) fn budget(&self, seconds: u64) -> Budget {
        Budget(self.unhurried(seconds).0 / self.haste.load(Ordering::Relaxed))
    }

    /// The same for what ends by itself, also when something is broken.
    pub(crate) fn unhurried(&self, seconds: u64) -> Budget {
        Budget::seconds(seconds * self.slowness)
    }

    /// The QEMU machine under a node.
    pub(crate) fn machine_of(&self, node: &str) -> Profile {
        let is_master = node == self.cluster.master.name.as_str();
        if is_master && !self.master_on_machine.load(Ordering::Relaxed) {
            Profile::virt()
        } else {
            self.machine.clone()
        }
    }
}
