//! What all nodes of a lab share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use camino::Utf8PathBuf;
use feeder_cluster::Cluster;
use feeder_lan::{Lan, RogueDhcp};
use feeder_machine::Profile;
use feeder_modules::Access;
use feeder_remote::UserConfig;

use crate::{Budget, Deadline, Story, clock::locked};

/// How long the master may take to show up at its new address, or a worker in the swarm, in vCPU seconds of the master.
pub(crate) const PATIENCE: u64 = 60;

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
        self.patient_access(PATIENCE)
    }

    /// The same, for who waits so many vCPU seconds of the master for a node.
    pub(crate) fn patient_access(&self, patience: u64) -> Access {
        let mut access = Access::new(&self.known_hosts);
        access.identity = Some(self.identity.clone());
        access.config = UserConfig::Ignored;
        access.at.clone_from(&self.forwards);
        access.surveys = Some(self.story.dir().scratch().join("surveys"));
        let (story, master) = (self.story.clone(), vec![self.cluster.master.name.to_string()]);
        let (began, budget) = (Mutex::new(None), self.budget(patience));
        access.patience = Arc::new(move |waited| {
            let now = story.progress_of(&master);
            let start = {
                let mut began = locked(&began);
                // Less waiting than last time: it is for something else.
                match *began {
                    Some((before, start)) if before <= waited => *began = Some((waited, start)),
                    _ => *began = Some((waited, now)),
                }
                began.map_or(now, |(_, start)| start)
            };
            !story.interrupted()
                && story.guests().fate_of(&master).is_none()
                && Deadline::new(start, budget).expired(now).is_none()
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
