//! A virtual cluster: machines and a LAN, and the words in which scenarios speak about them.
//!
//! A lab offers nothing that a real cluster lacks: machines boot through their firmware's twin, are provisioned over SSH
//! through the LAN's router, and are looked at over SSH.

mod bench;
mod desk;
mod disks;
mod expect;
mod faults;
mod firmware;
mod generations;
mod guest;
mod images;
mod inputs;
mod node;
mod prefix;
mod provision;
mod recording;
mod saved;
mod secrets;
mod stranger;
mod unit;
mod watch;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    panic::Location,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use camino::Utf8PathBuf;
use feeder_cluster::Cluster;
use feeder_image::Container;
use feeder_lan::{Lan, LanConfig, RouterConfig};
use feeder_machine::{DiskFormat, Profile};
use feeder_modules::Layout;
use feeder_remote::SshOptions;

use self::{bench::Bench, images::Images, node::BootsFrom, prefix::Prefix, saved::overlay};
pub use self::{
    faults::{Mishap, When},
    firmware::BootRecord,
    generations::Generations,
    node::Node,
    provision::{Copied, Moment, Provision, Took},
    recording::Recording,
    secrets::Secret,
};
use crate::{
    Class, Desk, Event, Failure, Mutation, OrFail, Role, Stage, StageOptions, Steps, Story,
    Verdict,
    snapshot::{Chain, DEFAULT_LIMIT, Shelf},
    stage::{Decided, Reuse},
    wire,
};

/// The MAC address of the master's network card. Any of a Raspberry Pi will do: its firmware boots from the card.
const MASTER_MAC: [u8; 6] = [0xb8, 0x27, 0xeb, 0x00, 0x00, 0x64];
/// The name under which the LAN's router serves packages; the image's package sources say it.
const MIRROR: &str = "mirror.feeder.test";
/// The port of sshd.
const SSH: u16 = 22;
/// Where the image of a container lies on a node before its engine has it.
const CONTAINER: &str = "/var/tmp/feeder-container.tar";

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
    /// The address that the router gave the master, until it has its own.
    pub(crate) bare: Option<Ipv4Addr>,
    /// Where the master answers there.
    pub(crate) first_contact: Option<SocketAddr>,
    capture: Utf8PathBuf,
    /// The sample cluster, as a file says it.
    sample: &'static str,
    container: Container,
    prefix: Prefix,
    script: faults::Script,
    mutation: Option<Mutation<Lab>>,
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

    fn step(&mut self, name: impl Into<String>, body: impl Fn(&mut Self) -> Verdict) -> Verdict {
        let story = self.story().clone();
        if story.current_step().is_some() {
            return story.step(name, || body(self));
        }
        self.outer_step(name.into(), Location::caller(), body)
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

    /// From the next time that it has power the master is on the machine that the run is for, as workers are. As a rule it is on
    /// the usual one, which is faster.
    pub fn put_master_on_machine(&self) {
        self.bench.master_on_machine.store(true, Ordering::Relaxed);
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
        self.bare = Some(address);
        self.first_contact = Some(forward);
        Ok(master)
    }

    /// Waits until a master that is not at its address is there again where the router put it.
    ///
    /// # Errors
    /// It does not come back there.
    pub fn until_it_is_bare_again(&mut self) -> Verdict<Node> {
        let Some(place) = self.first_contact else {
            return Err(Failure::scenario("the master has its address already"));
        };
        let master = self.master();
        master.until_ssh_at(place)?;
        Ok(master)
    }

    /// `cargo xtask provision`.
    pub fn provision(&mut self) -> Provision<'_> {
        self.prefix.uses(prefix::MODULES);
        Provision {
            lab: self,
            onto_ssd: false,
            sections: "",
            password: None,
            changed: None,
            autolock: false,
            trial: false,
        }
    }

    /// How a node is reached over SSH, for programs of others.
    ///
    /// # Errors
    /// The cluster has no such node.
    pub fn way_to(&self, node: &Node) -> Verdict<SshOptions> {
        let way = self.bench.access().node(&self.bench.cluster, node.name());
        way.ok_or_else(|| Failure::scenario(format!("the cluster has no node {}", node.name())))
    }

    /// The image that containers are started from, as `docker run` names it. Each container answers HTTP on port 80;
    /// `/cgi-bin/host` says its host name.
    #[must_use]
    pub fn container_image(&self) -> &str {
        &self.container.tag
    }

    /// Brings that image to a node.
    ///
    /// # Errors
    /// The node's Docker does not take it.
    pub fn load_container_image(&self, node: &Node) -> Verdict {
        let bytes = fs_err::read(&self.container.archive)
            .or_fail(Class::Host, "cannot read the image of a container")?;
        node.put(CONTAINER, &bytes)?;
        node.run(&format!("docker load --quiet <{CONTAINER} && rm {CONTAINER}")).map(drop)
    }

    /// A new file that kept states may need.
    pub(crate) fn new_file(&self, label: &str) -> Verdict<Utf8PathBuf> {
        self.prefix.live.new_file(label).or_fail(Class::Host, "cannot make a disk")
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

    fn decided(options: &StageOptions) -> Verdict<Option<Decided>> {
        let stored = images::stored()
            .map_err(|error| Failure::expected("cannot look for the images", &error))?;
        let Some(stored) = stored else { return Ok(None) };
        let base = inputs::base(options, &stored, sample(&options.machine)?)?;
        Ok(Some(Decided { base, ingredients: inputs::ingredients(&options.code) }))
    }

    fn set_up(scenario: &str, story: &Story, options: &StageOptions) -> Verdict<Self> {
        let Some(machine) = Profile::named(&options.machine) else {
            return Err(Failure::scenario(format!("there is no machine {}", options.machine)));
        };
        let mut mac = MASTER_MAC;
        mac[0] = machine.nic.mac_first_byte.unwrap_or(mac[0]);
        let text = sample(&options.machine)?;
        let parsed = feeder_cluster::parse(text, "fixtures/clusters")
            .map_err(|error| Failure::expected("the sample cluster is wrong", &error))?;
        let cluster = parsed.cluster;
        let images = Images::prepare(story, options)?;
        let base = inputs::base(options, &images.stored(), text)?;
        let ingredients = inputs::ingredients(&options.code);
        inputs::tell(story, &base);
        inputs::tell(story, &ingredients);
        let chain = Chain::new(scenario, base, ingredients);
        // Room is made before more is kept: nobody else sees to it.
        let live = Shelf::open(&Shelf::default_root())
            .and_then(|shelf| shelf.gc(DEFAULT_LIMIT).and_then(|_freed| shelf.live()))
            .map_err(|error| Failure::expected("cannot open the shelf of kept states", &error))?;
        let most = match options.reuse {
            Reuse::Steps(most) => most,
            Reuse::Nothing => 0,
        };
        let prefix = Prefix::new(live, chain, options.code.clone(), most);

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
            seed: options.seed,
        })
        .or_fail(Class::Harness, "cannot start the LAN")?;

        wire::listen(&lan, story, names(&cluster, mac))
            .or_fail(Class::Harness, "cannot listen to the LAN")?;

        let mut forwards = BTreeMap::new();
        for node in cluster.nodes() {
            let forward = ssh_forward(&lan, node.address)?;
            forwards.insert(node.name.to_string(), forward);
        }
        tell_members(story, &cluster, mac);
        let slow = options.machine == "raspi3b";
        let bench = Arc::new(Bench {
            story: story.clone(),
            lan,
            dhcp_servers: Mutex::default(),
            machine,
            master_on_machine: AtomicBool::new(false),
            serial0: "ttyAMA0".to_owned(),
            slowness: if slow { 8 } else { 1 },
            haste: AtomicU32::new(1),
            identity: images.ssh_key.clone(),
            known_hosts: dir.file("known_hosts"),
            forwards,
            cluster,
        });
        // Steps are marked in the capture, for whoever looks at the frames.
        let marks = Arc::downgrade(&bench);
        story.journal().subscribe(move |record| {
            if let (Event::StepStarted { number, name }, false, Some(bench)) =
                (&record.event, record.reused, marks.upgrade())
            {
                bench.lan.comment(&format!("step {number}: {name}"));
            }
        });
        let mut nodes = BTreeMap::new();
        let master = &bench.cluster.master;
        let card = overlay(&prefix.live, master.name.as_str(), &images.disk, DiskFormat::Raw)?;
        let sd = BootsFrom::Disks { mac };
        nodes.insert(
            master.name.to_string(),
            Node::new(bench.clone(), master.name.as_str(), master.board, sd, Some(card))?,
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
                Node::new(bench.clone(), worker.name.as_str(), worker.board, network, None)?,
            );
        }
        Ok(Self {
            bench,
            nodes,
            layout: Layout::default(),
            bare: None,
            first_contact: None,
            capture,
            sample: text,
            container: images.container,
            prefix,
            script: faults::Script::default(),
            mutation: None,
        })
    }

    fn mutate(&mut self, mutation: Mutation<Self>) {
        self.mutation = Some(mutation);
    }

    fn desk(&self) -> Arc<dyn Desk> {
        Arc::new(desk::LabDesk::of(self))
    }

    fn wake(&mut self) -> Verdict {
        self.go_on_from_found()
    }

    fn tear_down(self) -> Verdict {
        drop(self.script);
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

/// The sample cluster for a machine.
fn sample(machine: &str) -> Verdict<&'static str> {
    let found = CLUSTERS.iter().find(|(name, _)| *name == machine);
    found
        .map(|(_, text)| *text)
        .ok_or_else(|| Failure::scenario(format!("there is no sample cluster for {machine}")))
}

/// Who is who on the LAN before anybody has said a word.
fn names(cluster: &Cluster, master: [u8; 6]) -> wire::Decoder {
    let mut decoder = wire::Decoder::default();
    decoder.knows("router", None, cluster.network.gateway);
    decoder.knows(cluster.master.name.as_str(), Some(master), cluster.master.address);
    for worker in &cluster.workers {
        decoder.knows(worker.name.as_str(), Some(worker.mac.octets()), worker.address);
    }
    decoder
}

/// Writes down who is on the LAN.
fn tell_members(story: &Story, cluster: &Cluster, mac: [u8; 6]) {
    let address = cluster.network.gateway;
    let router = Event::Member { role: Role::Router, board: None, mac: None, address };
    story.emit(Some("router"), router);
    let master = &cluster.master;
    let master = (Role::Master, &master.name, master.board, mac, master.address);
    let workers = cluster.workers.iter();
    let workers = workers.map(|w| (Role::Worker, &w.name, w.board, w.mac.octets(), w.address));
    for (role, name, board, mac, address) in std::iter::once(master).chain(workers) {
        let mac = Some(wire::hex(&mac).replace(' ', ":"));
        let board = Some(board.to_string());
        story.emit(Some(name.as_str()), Event::Member { role, board, mac, address });
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
