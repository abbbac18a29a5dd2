//! A virtual cluster: machines and a LAN, and the words in which scenarios speak about them.
//!
//! A lab offers nothing that a real cluster lacks: machines boot through their firmware's twin, are provisioned over SSH
//! through the LAN's router, and are looked at over SSH.

mod bench;
mod desk;
mod expect;
mod firmware;
mod guest;
mod images;
mod node;
mod provision;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
};

use camino::Utf8PathBuf;
use feeder_cluster::Cluster;
use feeder_lan::{Lan, LanConfig, RouterConfig};
use feeder_machine::Profile;
use feeder_modules::Layout;

use self::{bench::Bench, images::Images, node::BootsFrom};
pub use self::{firmware::BootRecord, node::Node, provision::Provision};
use crate::{Class, Desk, Event, Failure, OrFail, Stage, StageOptions, Steps, Story, Verdict};

/// The MAC address of the master's network card. Any of a Raspberry Pi will do: its firmware boots from the card.
const MASTER_MAC: [u8; 6] = [0xb8, 0x27, 0xeb, 0x00, 0x00, 0x64];
/// The name under which the LAN's router serves packages; the image's package sources say it.
const MIRROR: &str = "mirror.feeder.test";
/// The port of sshd.
const SSH: u16 = 22;

/// The sample cluster for each machine.
const CLUSTERS: &[(&str, &str)] = &[
    ("virt", include_str!("../../../../fixtures/clusters/lab.toml")),
    ("raspi3b", include_str!("../../../../fixtures/clusters/lab-raspi3b.toml")),
];

/// A virtual cluster.
pub struct Lab {
    bench: Arc<Bench>,
    nodes: BTreeMap<String, Node>,
    layout: Layout,
    /// Where the master answers while it has the address that the router gave it.
    pub(crate) first_contact: Option<SocketAddr>,
    capture: Utf8PathBuf,
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").field("nodes", &self.nodes.keys()).finish_non_exhaustive()
    }
}

impl Steps for Lab {
    fn story(&self) -> &Story {
        &self.bench.story
    }
}

impl Lab {
    /// The cluster as it should be.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.bench.cluster
    }

    /// Where things lie on the master.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn bench(&self) -> &Arc<Bench> {
        &self.bench
    }

    /// The master.
    ///
    /// # Panics
    /// Never: every lab has one.
    #[must_use]
    pub fn master(&self) -> Node {
        self.nodes[self.bench.cluster.master.name.as_str()].clone()
    }

    /// A node by its name.
    ///
    /// # Errors
    /// The cluster has no such node.
    pub fn node(&self, name: &str) -> Verdict<Node> {
        self.nodes
            .get(name)
            .cloned()
            .ok_or_else(|| Failure::scenario(format!("the cluster has no node {name}")))
    }

    /// Powers the master on from its SD card as it comes from the image, and waits until one can log in at the address that
    /// the router gave it.
    ///
    /// # Errors
    /// It does not boot.
    pub fn power_on_bare_master(&mut self) -> Verdict<Node> {
        let master = self.master();
        master.power_on()?;
        let address = master.leased_address()?;
        self.story().milestone(master.name(), "address", Some(address.to_string()));
        let forward = ssh_forward(&self.bench.lan, address)?;
        master.until_ssh_at(forward)?;
        self.first_contact = Some(forward);
        Ok(master)
    }

    /// `cargo xtask provision`.
    pub fn provision(&mut self) -> Provision<'_> {
        Provision { lab: self }
    }

    /// The prefixes under which a worker's firmware may ask for its files, with their slash.
    pub(crate) fn boot_prefixes(&self, worker: &str) -> Vec<String> {
        let names =
            self.bench.cluster.worker(worker).map(feeder_cluster::Worker::boot_directory_names);
        names.unwrap_or_default().into_iter().map(|name| format!("{name}/")).collect()
    }
}

impl Stage for Lab {
    const MACHINES: &'static [&'static str] = &["virt", "raspi3b"];

    fn set_up(story: &Story, options: &StageOptions) -> Verdict<Self> {
        let (machine, text) = (
            Profile::named(&options.machine),
            CLUSTERS.iter().find(|(name, _)| *name == options.machine),
        );
        let (Some(machine), Some((_, text))) = (machine, text) else {
            return Err(Failure::scenario(format!(
                "there is no sample cluster for {}",
                options.machine
            )));
        };
        let parsed = feeder_cluster::parse(text, "fixtures/clusters")
            .map_err(|error| Failure::expected("the sample cluster is wrong", &error))?;
        let cluster = parsed.cluster;
        let images = Images::prepare(story, options)?;

        let dir = story.dir();
        let capture = dir.file("lan.pcapng");
        let mut router = RouterConfig::home(cluster.network.subnet);
        router.address = cluster.network.gateway;
        // Beside the addresses that the cluster claims, as its owner would set it up.
        router.pool = pool(&cluster);
        router.names = BTreeMap::from([(MIRROR.to_owned(), router.address)]);
        router.http_root = Some(images.mirror.clone());
        let lan = Lan::start(LanConfig {
            sockets: dir.sockets().to_owned(),
            capture: Some(capture.clone()),
            router,
        })
        .or_fail(Class::Harness, "cannot start the LAN")?;

        let mut forwards = BTreeMap::new();
        for node in cluster.nodes() {
            let forward = ssh_forward(&lan, node.address)?;
            forwards.insert(node.name.to_string(), forward);
        }
        let slow = options.machine == "raspi3b";
        let bench = Arc::new(Bench {
            story: story.clone(),
            lan,
            machine,
            serial0: "ttyAMA0".to_owned(),
            slowness: if slow { 8 } else { 1 },
            identity: images.ssh_key.clone(),
            known_hosts: dir.file("known_hosts"),
            forwards,
            cluster,
        });
        // Steps are marked in the capture, for whoever looks at the frames.
        let marks = Arc::downgrade(&bench);
        story.journal().subscribe(move |record| {
            if let (Event::StepStarted { number, name }, Some(bench)) =
                (&record.event, marks.upgrade())
            {
                bench.lan.comment(&format!("step {number}: {name}"));
            }
        });
        let disk = images.fresh_disk(story.dir())?;
        let mut nodes = BTreeMap::new();
        let master = &bench.cluster.master;
        let sd = BootsFrom::Sd { disk, mac: MASTER_MAC };
        nodes.insert(
            master.name.to_string(),
            Node::new(bench.clone(), master.name.as_str(), master.board, sd)?,
        );
        for worker in &bench.cluster.workers {
            let Some(serial) = worker.serial else {
                return Err(Failure::scenario(format!(
                    "{} needs a serial: its firmware asks by it",
                    worker.name
                )));
            };
            let network = BootsFrom::Network { mac: worker.mac.octets(), serial: serial.get() };
            nodes.insert(
                worker.name.to_string(),
                Node::new(bench.clone(), worker.name.as_str(), worker.board, network)?,
            );
        }
        Ok(Self { bench, nodes, layout: Layout::default(), first_contact: None, capture })
    }

    fn desk(&self) -> Arc<dyn Desk> {
        Arc::new(desk::LabDesk::of(self))
    }

    fn tear_down(self) -> Verdict {
        for node in self.nodes.values() {
            node.power_off_because(Some("the run is over"));
        }
        let summary = self.bench.lan.shutdown();
        self.bench.story.evidence(
            "capture",
            &self.capture,
            Some(feeder_ui::plural(summary.frames as usize, "frame")),
        );
        Ok(())
    }
}

/// A port of this machine's loopback that leads to the sshd at an address of the LAN.
fn ssh_forward(lan: &Lan, address: Ipv4Addr) -> Verdict<SocketAddr> {
    lan.forward(SocketAddrV4::new(address, SSH)).or_fail(Class::Harness, "cannot forward a port")
}

/// The router's DHCP pool: the lower addresses, below the cluster's own.
fn pool(cluster: &Cluster) -> std::ops::RangeInclusive<std::net::Ipv4Addr> {
    let first = cluster.network.subnet.network().to_bits() + 50;
    std::net::Ipv4Addr::from_bits(first)..=std::net::Ipv4Addr::from_bits(first + 40)
}
