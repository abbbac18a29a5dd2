//! The state of all nodes at one moment, for programs and for tables.

use std::{collections::BTreeMap, time::Duration};

use feeder_cluster::Cluster;
use serde::Serialize;

use super::{
    Moment,
    health::Space,
    hint::hint,
    look::{Look, Member},
    node::{Fault, Node, Stage},
    state::State,
};

/// All nodes at one moment. The names are an interface, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// What the cluster is called.
    pub cluster: String,
    /// Seconds since 1970, by the master's clock.
    pub at: u64,
    /// Every node is up and well.
    pub well: bool,
    /// The master first, then the workers in the order of the file.
    pub nodes: Vec<NodeState>,
    /// Why the swarm cannot be asked, when there should be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm_error: Option<String>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// `master` or `worker`.
    pub role: &'static str,
    /// How far it is.
    pub stage: Stage,
    /// The same in words.
    pub text: String,
    /// It is up, and nothing is wrong with it.
    pub well: bool,
    /// Since how many seconds it is there.
    pub since_seconds: Option<u64>,
    /// How many seconds ago its last sign of life was.
    pub last_sign_seconds: Option<u64>,
    /// The file that its firmware is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The generation that it runs from, over NFS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// Units that failed.
    pub failed_units: Vec<String>,
    /// Room for what it writes, in bytes: of a worker in its state image, of the master on its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Room>,
    /// The state of its Docker, in systemd's words; only where the cluster has a swarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What the swarm's managers say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm: Option<Member>,
    /// What is wrong with it or where it is stuck, and what can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Room in a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Room {
    /// In bytes.
    pub size: u64,
    /// In bytes.
    pub free: u64,
    /// Nothing more can be written there.
    pub full: bool,
}

impl Room {
    fn of(space: Space) -> Self {
        Self { size: space.size, free: space.free, full: space.is_full() }
    }
}

impl Snapshot {
    pub(crate) fn of(state: &State, cluster: &Cluster, now: Moment) -> Self {
        let look = state.look.as_ref();
        let has_swarm = cluster.swarm.is_some();
        let (members, swarm_error) = match look.and_then(|look| look.swarm.as_ref()) {
            _ if !has_swarm => (BTreeMap::new(), None),
            Some(Ok(members)) => (members.clone(), None),
            Some(Err(why)) => (BTreeMap::new(), Some(why.clone())),
            None => (BTreeMap::new(), Some("no engine answers on the master".to_owned())),
        };
        let heard = state.lost.is_none();
        let workers = state.nodes.iter().map(|node| worker(node, cluster, (look, heard), now));
        let mut nodes: Vec<NodeState> =
            std::iter::once(master(state, cluster, now)).chain(workers).collect();
        for node in &mut nodes {
            node.swarm = members.get(&node.name).cloned();
            if !has_swarm {
                node.engine = None;
                continue;
            }
            let ready = node.swarm.as_ref().is_some_and(|member| member.state == "ready");
            if node.well && !ready && swarm_error.is_none() {
                node.hint = Some(match &node.swarm {
                    Some(member) => format!(
                        "the swarm's managers see it as {}: cargo xtask node logs {} --unit docker",
                        member.state, node.name
                    ),
                    None => {
                        "it is not in the swarm: `cargo xtask provision` lets it join".to_owned()
                    }
                });
            }
            node.well &= ready;
        }
        let well = nodes.iter().all(|node| node.well);
        Self { cluster: cluster.name.to_string(), at: now.0, well, nodes, swarm_error }
    }
}

fn master(state: &State, cluster: &Cluster, now: Moment) -> NodeState {
    let look = state.look.as_ref();
    let lost = state.lost.as_deref();
    let stage = if lost.is_none() && look.is_some() { Stage::Up } else { Stage::Silent };
    let ago = |at: Moment| now.since(at).as_secs();
    let name = cluster.master.name.to_string();
    let room = look.and_then(|look| look.health.space).map(Room::of);
    let full = room.is_some_and(|room| room.full);
    let failed = look.map(|look| look.health.failed.clone()).unwrap_or_default();
    let down: Vec<&str> = look
        .iter()
        .flat_map(|look| &look.units)
        .filter(|(_, state)| *state != "active")
        .map(|(unit, _)| unit.as_str())
        .collect();
    let system = look.map(|look| look.health.system.as_str()).unwrap_or_default();
    let (text, hint) = match lost {
        _ if stage == Stage::Silent => {
            ("does not answer".to_owned(), lost.map(str::to_owned))
        }
        _ if full => (
            "its disk is full".to_owned(),
            Some("workers cannot write any more: free room below /srv/feeder, or `cargo xtask generation gc`".to_owned()),
        ),
        _ if !down.is_empty() => (
            format!("{} does not run", down.join(" and ")),
            Some("no worker boots without it: run `cargo xtask provision`".to_owned()),
        ),
        _ => (words(system, &failed, false), failed.first().map(|unit| logs(&name, unit))),
    };
    let well = stage == Stage::Up && system == "running" && hint.is_none();
    NodeState {
        role: "master",
        stage,
        text,
        well,
        since_seconds: look.filter(|_| stage == Stage::Up).map(|look| look.health.uptime.as_secs()),
        last_sign_seconds: look.map(|look| ago(look.at)),
        file: None,
        generation: None,
        failed_units: failed,
        room,
        engine: look.and_then(|look| look.health.engine.clone()),
        swarm: None,
        hint,
        name,
    }
}

fn worker(
    node: &Node,
    cluster: &Cluster,
    (look, heard): (Option<&Look>, bool),
    now: Moment,
) -> NodeState {
    let ago = |at: Moment| now.since(at).as_secs();
    let health = node.health.as_ref();
    NodeState {
        name: node.worker.name.to_string(),
        role: "worker",
        stage: node.stage,
        text: text(node),
        well: node.is_well(),
        since_seconds: node.since.map(ago),
        last_sign_seconds: node.last.map(ago),
        file: node.file.as_ref().filter(|_| is_booting(node.stage)).map(|(file, _)| file.clone()),
        generation: health.and_then(|health| health.generation),
        failed_units: health.map(|health| health.failed.clone()).unwrap_or_default(),
        room: health.and_then(|health| health.space).map(Room::of),
        engine: health.and_then(|health| health.engine.clone()),
        swarm: None,
        // While nothing is heard of the master, nothing is known of workers either.
        hint: hint(node, cluster, look, now).filter(|_| heard),
    }
}

fn is_booting(stage: Stage) -> bool {
    matches!(stage, Stage::Firmware | Stage::Kernel)
}

/// Where a worker is, in a few words.
fn text(node: &Node) -> String {
    match (node.stage, &node.file) {
        (Stage::Silent, _) => "silent".to_owned(),
        (Stage::Asks, _) if node.served == Some(false) => {
            format!("asks to boot ({}×), not served", node.tries)
        }
        (Stage::Asks, _) => format!("asks to boot ({}×)", node.tries),
        (Stage::Firmware, _) if matches!(node.fault, Some(Fault::Elsewhere(_))) => {
            "finds none of its files".to_owned()
        }
        (Stage::Firmware, Some((file, _))) if matches!(node.fault, Some(Fault::Lost(_))) => {
            format!("lost {file}")
        }
        (Stage::Firmware, None) => "firmware".to_owned(),
        (Stage::Firmware, Some((file, false))) => format!("fetches {file}"),
        (Stage::Firmware, Some((file, true))) => format!("fetched {file}"),
        (Stage::Kernel, Some((file, false))) => format!("kernel, fetches {file}"),
        (Stage::Kernel, _) => "kernel starts".to_owned(),
        (Stage::Root, _) => "root mounted, system starts".to_owned(),
        (Stage::Up, _) => match &node.health {
            None => "SSH answers".to_owned(),
            Some(health) => words(&health.system, &health.failed, health.is_full()),
        },
    }
}

/// A system that answers.
fn words(system: &str, failed: &[String], full: bool) -> String {
    match (system, failed) {
        _ if full => "state image full".to_owned(),
        (_, [unit]) => format!("{unit} failed"),
        (_, [unit, rest @ ..]) => format!("{unit} and {} more failed", rest.len()),
        ("running", _) => "up".to_owned(),
        ("starting" | "initializing", _) => "up, still starting".to_owned(),
        ("", _) => "up, says nothing of its units".to_owned(),
        (other, _) => format!("up, {other}"),
    }
}

fn logs(name: &str, unit: &str) -> String {
    format!("cargo xtask node logs {name} --unit {unit}")
}

/// A time since then, in a column.
pub(crate) fn ago(seconds: Option<u64>) -> String {
    match seconds {
        None => "-".to_owned(),
        // Tenths of a second are not known.
        Some(0) => "0 s".to_owned(),
        Some(seconds) => feeder_ui::elapsed(Duration::from_secs(seconds)),
    }
}
