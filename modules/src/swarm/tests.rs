//! Swarms of engines that a shell script stands for.

mod lock;
mod managers;

use std::{
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use camino::Utf8PathBuf;
use feeder_cluster::{Availability, Cluster, Worker};
use feeder_plan::Mode;
use feeder_process::Output;
use feeder_remote::{Host, Local, RemoteError};
use feeder_ui::Expected;
use fs_err as fs;

use super::{Reach, Settled, SwarmError, settle};
use crate::{Patience, Scope, part::tests::LAB};

const INACTIVE: &str =
    r#"{"Swarm":{"NodeID":"","LocalNodeState":"inactive","ControlAvailable":false}}"#;

/// Of somebody who tries once.
fn none() -> Patience {
    Arc::new(|_| Box::new(|| false))
}

fn two_seconds() -> Patience {
    Arc::new(|_| {
        let began = Instant::now();
        Box::new(move || began.elapsed() < Duration::from_secs(2))
    })
}

/// A cluster's engines, in a folder.
struct Engines {
    _guard: tempfile::TempDir,
    dir: Utf8PathBuf,
}

impl Engines {
    /// Engines that are in no swarm, on all nodes of the sample.
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let guard = tempfile::tempdir().expect("a folder");
        let dir = Utf8PathBuf::from_path_buf(guard.path().to_owned()).expect("UTF-8");
        fs::create_dir_all(dir.join("bin")).expect("a folder");
        let curl = dir.join("bin/curl");
        fs::write(&curl, include_str!("tests/curl.sh")).expect("a program");
        fs::set_permissions(&curl, std::fs::Permissions::from_mode(0o755)).expect("a program");
        UnixListener::bind(dir.join("socket")).expect("a socket");
        let this = Self { _guard: guard, dir };
        for node in ["cluster00", "cluster01", "cluster02"] {
            this.add(node);
        }
        this
    }

    /// A node whose engine is in no swarm.
    fn add(&self, node: &str) {
        fs::create_dir(self.dir.join(node)).expect("a folder");
        self.write(&format!("{node}/info"), INACTIVE);
    }

    /// The managers hear of a member no more.
    fn dies(&self, member: &str) {
        self.write(&format!("swarm/members/{member}/state"), "down\n");
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.join(file), text).expect("a file");
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).unwrap_or_default()
    }

    fn host(&self, node: &str) -> Local {
        let path = std::env::var("PATH").unwrap_or_default();
        let at = |name: &str| self.dir.join(name).into_string();
        Local::new(node)
            .env("PATH", format!("{}:{path}", at("bin")))
            .env("FEEDER_DOCKER_SOCKET", at("socket"))
            .env("FEEDER_DOCKER", at(&format!("{node}/docker")))
            .env("ENGINE", at(node))
            .env("SWARM", at("swarm"))
            .env("NODE", node)
    }

    /// Settles, with these workers not answering.
    fn settle(&self, text: &str, silent: &[&str], mode: Mode) -> Result<Settled, SwarmError> {
        self.settle_within(&Scope::default(), text, silent, mode)
    }

    fn settle_within(
        &self,
        scope: &Scope,
        text: &str,
        silent: &[&str],
        mode: Mode,
    ) -> Result<Settled, SwarmError> {
        let cluster = cluster(text);
        let master = self.host("cluster00");
        let worker = |worker: &Worker| -> Result<Box<dyn Host>, RemoteError> {
            let host = worker.name.to_string();
            if silent.contains(&&*host) {
                let (address, why) = ("192.168.10.9".to_owned(), "No route to host".to_owned());
                return Err(RemoteError::Unreachable { host, address, why });
            }
            Ok(Box::new(self.host(&host)))
        };
        let patience = two_seconds();
        let reach = Reach { scope, master: &master, worker: &worker, patience: &patience };
        let swarm = cluster.swarm.as_ref().expect("it has a swarm");
        settle(&cluster, swarm, &reach, mode, &mut |_| {})
    }

    /// What was done, and what was said, a line each.
    fn told(&self, text: &str, silent: &[&str]) -> String {
        let settled = match self.settle(text, silent, Mode::Apply) {
            Ok(settled) => settled,
            Err(error) => return format!("{error}\n→ {}", error.hint().unwrap_or_default()),
        };
        let changes =
            settled.changes.iter().map(|change| format!("{} {}", change.sign, change.text));
        changes.chain(settled.notes).collect::<Vec<_>>().join("\n")
    }

    fn members(&self) -> String {
        let members = self.dir.join("swarm/members");
        let mut names: Vec<String> = members
            .read_dir_utf8()
            .expect("members")
            .flatten()
            .map(|entry| entry.file_name().to_owned())
            .collect();
        names.sort();
        names.join(" ")
    }
}

fn cluster(text: &str) -> Cluster {
    let parsed = feeder_cluster::parse(text, "cluster.toml");
    parsed.map_err(|wrong| wrong.to_string()).expect("a cluster").cluster
}

fn lab(sections: &str) -> String {
    format!("{LAB}{sections}")
}

#[test]
fn a_swarm_forms_and_then_there_is_nothing_to_do() {
    let engines = Engines::new();
    let text = lab("labels = [\"disk=none\"]\n[swarm]\n");
    insta::assert_snapshot!(engines.told(&text, &[]), @r"
    + a swarm, managed here
    + node cluster01: joins
    + node cluster02: joins
    ~ node cluster00: label feeder.cluster=lab
    ~ node cluster01: label feeder.cluster=lab
    ~ node cluster02: label disk=none, label feeder.cluster=lab
    ");
    let orders = engines.read("cluster00/orders");
    assert!(orders.contains("\"AdvertiseAddr\":\"192.168.10.100\""), "{orders}");
    assert!(engines.read("cluster01/orders").contains("\"RemoteAddrs\":[\"192.168.10.100:2377\"]"));
    for node in ["cluster01", "cluster02"] {
        fs::remove_file(engines.dir.join(node).join("argv")).expect("it was asked");
    }
    assert_eq!(engines.told(&text, &[]), "");
    assert_eq!(engines.read("cluster01/argv"), "", "workers that are ready are not asked");
}

/// Counts the scripts that it is sent.
struct Counting(Local, AtomicUsize);

impl Host for Counting {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn run(&self, script: &str) -> Result<Output, RemoteError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.run(script)
    }

    fn stream(&self, script: &str, on_line: &mut dyn FnMut(&str)) -> Result<Output, RemoteError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.stream(script, on_line)
    }
}

#[test]
fn a_swarm_that_is_as_wanted_costs_one_round_trip() {
    let engines = Engines::new();
    let text = lab("[swarm]\n");
    engines.told(&text, &[]);
    let cluster = cluster(&text);
    let master = Counting(engines.host("cluster00"), AtomicUsize::new(0));
    let worker =
        |_: &Worker| -> Result<Box<dyn Host>, RemoteError> { unreachable!("the managers see it") };
    let patience = none();
    let scope = &Scope::default();
    let reach = Reach { scope, master: &master, worker: &worker, patience: &patience };
    let swarm = cluster.swarm.as_ref().expect("it has a swarm");
    let settled = settle(&cluster, swarm, &reach, Mode::Apply, &mut |_| {}).expect("it is asked");
    assert!(settled.changes.is_empty(), "{:?}", settled.changes);
    assert_eq!(settled.as_wanted, 3);
    assert_eq!(master.1.into_inner(), 1);
}

#[test]
fn a_token_is_in_no_argument_and_is_worth_nothing_afterwards() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &[]);
    assert!(engines.read("cluster01/orders").contains("\"JoinToken\":\"SWMTKN-1\""));
    for node in ["cluster00", "cluster01", "cluster02"] {
        let argv = engines.read(&format!("{node}/argv"));
        assert!(argv.contains("--unix-socket") && !argv.contains("SWMTKN"), "{argv}");
    }
    assert_eq!(engines.read("swarm/token"), "2\n");
}

#[test]
fn a_worker_without_power_is_left_for_the_next_run() {
    let engines = Engines::new();
    insta::assert_snapshot!(engines.told(&lab("[swarm]\n"), &["cluster01", "cluster02"]), @r"
    + a swarm, managed here
    ~ node cluster00: label feeder.cluster=lab
    cluster01 is not in the swarm and does not answer: cannot reach cluster01 at 192.168.10.9: No route to host. Give it power and provision again
    cluster02 is not in the swarm and does not answer: cannot reach cluster02 at 192.168.10.9: No route to host. Give it power and provision again
    ");
    insta::assert_snapshot!(engines.told(&lab("[swarm]\n"), &["cluster02"]), @r"
    + node cluster01: joins
    ~ node cluster01: label feeder.cluster=lab
    cluster02 is not in the swarm and does not answer: cannot reach cluster02 at 192.168.10.9: No route to host. Give it power and provision again
    ");
}

#[test]
fn a_worker_that_lost_its_state_joins_anew_and_its_old_entry_goes() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &[]);
    assert_eq!(engines.members(), "id-1-of-cluster01 id-1-of-cluster02 id-of-cluster00");
    engines.dies("id-1-of-cluster01");
    engines.write("cluster01/info", INACTIVE);
    fs::remove_dir_all(engines.dir.join("cluster01/docker")).expect("its state");
    let told = engines.told(&lab("[swarm]\n"), &[]);
    assert!(told.contains("+ node cluster01: joins"), "{told}");
    assert!(told.contains("- node cluster01: its former entry"), "{told}");
    assert_eq!(engines.members(), "id-1-of-cluster02 id-2-of-cluster01 id-of-cluster00");
    assert_eq!(engines.told(&lab("[swarm]\n"), &[]), "");
}

#[test]
fn a_worker_that_the_swarm_has_forgotten_leaves_and_joins() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &[]);
    let entry = engines.dir.join("swarm/members/id-1-of-cluster02");
    fs::remove_dir_all(entry).expect("its entry");
    let told = engines.told(&lab("[swarm]\n"), &[]);
    assert!(told.contains("+ node cluster02: joins"), "{told}");
    assert!(engines.read("cluster02/orders").contains("POST /swarm/leave?force=true"));
}

#[test]
fn a_worker_that_is_taken_out_of_the_file_is_drained_and_removed() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\nmanagers = 3\n"), &[]);
    let (without, _) = LAB.rsplit_once("[[worker]]").expect("it has workers");
    let text = format!("{without}\n[swarm]\n");
    insta::assert_snapshot!(engines.told(&text, &[]), @r"
    ~ node cluster01: manager → worker
    - node cluster02: not in cluster.toml any more, drain and remove
    ");
    assert!(!engines.members().contains("cluster02"), "{}", engines.members());
    let orders = engines.read("cluster00/orders");
    assert!(orders.contains("\"Availability\":\"drain\""), "{orders}");
    assert_eq!(engines.told(&text, &[]), "");
}

#[test]
fn a_node_of_another_swarm_is_refused_and_left_there() {
    let engines = Engines::new();
    let elsewhere = r#"{"Swarm":{"NodeID":"w9","LocalNodeState":"active","ControlAvailable":false,
        "RemoteManagers":[{"NodeID":"m","Addr":"10.1.2.3:2377"}]}}"#;
    engines.write("cluster01/info", &elsewhere.replace('\n', ""));
    insta::assert_snapshot!(engines.told(&lab("[swarm]\n"), &[]), @r"
    cluster01 is in another swarm, managed from 10.1.2.3:2377. It was left there
    → if it is to leave that swarm: `cargo xtask node exec cluster01 --root -- docker swarm leave --force`. When it is the last manager there, its services and secrets are gone with it. If that was this cluster's swarm, give the master back its /var/lib/docker/swarm first
    ");
    assert_eq!(engines.read("cluster01/orders"), "");
    assert_eq!(engines.read("cluster00/orders"), "", "a second swarm would be no better");
    engines.write("cluster00/info", &elsewhere.replace('\n', ""));
    let told = engines.told(&lab("[swarm]\n"), &[]);
    assert!(
        told.starts_with("cluster00 is in another swarm, managed from 10.1.2.3:2377"),
        "{told}"
    );
}

#[test]
fn a_plan_changes_nothing() {
    let engines = Engines::new();
    let planned = |silent: &[&str]| {
        let settled = engines.settle(&lab("[swarm]\n"), silent, Mode::Plan).expect("a plan");
        settled.changes.iter().map(|change| change.text.clone()).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(planned(&[]), @r"
    a swarm, managed here
    node cluster01: joins
    node cluster02: joins
    ");
    assert_eq!(engines.read("cluster00/orders"), "");
    engines.told(&lab("[swarm]\n"), &["cluster02"]);
    let orders = engines.read("cluster00/orders");
    assert_eq!(planned(&["cluster02"]), "");
    assert_eq!(planned(&[]), "node cluster02: joins");
    assert_eq!(
        (engines.read("cluster00/orders"), engines.read("cluster02/orders")),
        (orders, String::new())
    );
}

#[test]
fn only_the_nodes_that_are_named_change() {
    let engines = Engines::new();
    let text = lab("[swarm]\n");
    let about = |hosts: &[&str], mode| {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        let settled =
            engines.settle_within(&Scope { hosts, ..Scope::default() }, &text, &[], mode)?;
        Ok(settled.changes.into_iter().map(|change| change.text).collect::<Vec<_>>().join("\n"))
    };
    let early: Result<String, SwarmError> = about(&["cluster02"], Mode::Apply);
    assert!(matches!(early, Err(SwarmError::NoSwarm { .. })), "{early:?}");
    insta::assert_snapshot!(about(&["cluster00"], Mode::Apply).expect("a swarm"), @r"
    a swarm, managed here
    node cluster00: label feeder.cluster=lab
    ");
    insta::assert_snapshot!(about(&["cluster02"], Mode::Plan).expect("a plan"), @"node cluster02: joins");
    insta::assert_snapshot!(about(&["cluster02"], Mode::Apply).expect("it joins"), @r"
    node cluster02: joins
    node cluster02: label feeder.cluster=lab
    ");
    insta::assert_snapshot!(about(&[], Mode::Plan).expect("the other is left"), @"node cluster01: joins");
}

#[test]
fn who_cannot_join_keeps_nobody_from_the_rest_and_the_token_goes() {
    let engines = Engines::new();
    engines.write("cluster01/lives-on", "");
    insta::assert_snapshot!(engines.told(&lab("[swarm]\n"), &[]), @r"
    cannot join the swarm on cluster01: --live-restore daemon configuration is incompatible with swarm mode
    → `cargo xtask node reboot cluster01`, then provision again
    ");
    assert_eq!(engines.read("swarm/token"), "2\n");
    assert_eq!(engines.members(), "id-1-of-cluster02 id-of-cluster00");
    assert!(engines.read("swarm/members/id-1-of-cluster02/spec").contains("feeder.cluster"));
    fs::remove_file(engines.dir.join("cluster01/lives-on")).expect("it was restarted");
    engines.told(&lab("[swarm]\n"), &[]);
    assert_eq!(engines.told(&lab("[swarm]\n"), &[]), "");
}

#[test]
fn a_plan_tells_who_is_about_to_be_seen() {
    let engines = Engines::new();
    let text = lab("[swarm]\n");
    engines.told(&text, &[]);
    let planned = || engines.settle(&text, &[], Mode::Plan).expect("a plan");
    assert!(planned().is_as_wanted());
    assert_eq!(planned().as_wanted, 3);
    engines.dies("id-1-of-cluster01");
    let planned = planned();
    assert!(planned.changes.is_empty() && !planned.is_as_wanted());
    assert_eq!((planned.awaited, planned.as_wanted), (vec!["cluster01".to_owned()], 2));
}

#[test]
fn a_worker_at_another_address_joins_anew_and_a_master_says_what_to_do() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &[]);
    let at = |node: &str, address: &str| {
        let info = engines.read(&format!("{node}/info"));
        let id = format!("\"NodeAddr\":\"{address}\",\"NodeID\"");
        engines.write(&format!("{node}/info"), &info.replacen("\"NodeID\"", &id, 1));
    };
    engines.dies("id-1-of-cluster01");
    at("cluster01", "192.168.10.201");
    insta::assert_snapshot!(engines.told(&lab("[swarm]\n"), &[]), @r"
    + node cluster01: joins
    - node cluster01: its former entry id-1-of-cl
    ~ node cluster01: label feeder.cluster=lab
    ");
    at("cluster00", "192.168.10.200");
    insta::assert_snapshot!(engines.told(&lab("[swarm]\n"), &[]), @r"
    the swarm of cluster00 is managed at 192.168.10.200, and cluster.toml gives it 192.168.10.100
    → `cargo xtask node exec cluster00 --root -- docker swarm init --force-new-cluster --advertise-addr 192.168.10.100` keeps its services and secrets, and makes cluster00 its only manager; then let the workers leave (`docker swarm leave --force`), and provision
    ");
}

#[test]
fn who_has_joined_and_is_not_seen_is_told() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &["cluster02"]);
    engines.dies("id-1-of-cluster01");
    let told = engines.told(&lab("[swarm]\n"), &["cluster02"]);
    assert!(
        told.starts_with("cluster01 has joined the swarm, and the managers do not see it ready"),
        "{told}"
    );
}

#[test]
fn nodes_are_drained_and_activated_by_command() {
    let engines = Engines::new();
    let (text, master) = (lab("[swarm]\n"), engines.host("cluster00"));
    let cluster = cluster(&text);
    let swarm = cluster.swarm.as_ref().expect("it has a swarm");
    let patience = none();
    let set = |names: &[&str], wanted| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let results = super::availability::set(&cluster, swarm, &master, &patience, &names, wanted);
        let told = |result: Result<bool, SwarmError>| match result {
            Ok(changed) => changed.to_string(),
            Err(error) => error.to_string(),
        };
        match results {
            Ok(results) => results.into_iter().map(told).collect::<Vec<_>>().join(", "),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(set(&["cluster01"], Availability::Drain), "there is no swarm on cluster00");
    engines.told(&text, &["cluster02"]);
    assert_eq!(
        set(&["cluster01", "cluster02"], Availability::Drain),
        "true, cluster02 is not in the swarm"
    );
    assert_eq!(set(&["cluster01"], Availability::Drain), "false");
    assert_eq!(engines.told(&text, &["cluster02"]).lines().count(), 1, "provisioning leaves it so");
    assert_eq!(set(&["cluster00", "cluster01"], Availability::Active), "false, true");
}

#[test]
fn all_are_drained_before_one_is_waited_for() {
    let engines = Engines::new();
    let text = lab("[swarm]\n");
    engines.told(&text, &[]);
    engines.write("swarm/members/id-1-of-cluster01/task", "");
    fs::remove_file(engines.dir.join("cluster00/argv")).expect("it was asked");
    let cluster = cluster(&text);
    let swarm = cluster.swarm.as_ref().expect("it has a swarm");
    let (master, names) = (engines.host("cluster00"), ["cluster01", "cluster02"].map(String::from));
    let set =
        super::availability::set(&cluster, swarm, &master, &none(), &names, Availability::Drain);
    let results = set.map_err(|error| error.to_string()).expect("it has a swarm");
    assert!(matches!(results[..], [Err(SwarmError::NotIdle { .. }), Ok(true)]), "{results:?}");
    let asked = engines.read("cluster00/argv");
    let at = |what: &str| asked.lines().position(|line| line.contains(what)).expect("it was asked");
    assert!(at("id-1-of-cluster02/update") < at("/tasks"), "tasks would have moved twice: {asked}");
}

#[test]
fn without_an_engine_a_worker_is_told_to_restart() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &["cluster01", "cluster02"]);
    // As on a worker whose generation was made before Docker was wanted.
    let bare = "/nonexistent";
    let cluster = cluster(&lab("[swarm]\n"));
    let worker = |worker: &Worker| -> Result<Box<dyn Host>, RemoteError> {
        Ok(Box::new(Local::new(worker.name.as_str()).env("FEEDER_DOCKER_SOCKET", bare)))
    };
    let (master, patience) = (engines.host("cluster00"), none());
    let scope = &Scope::default();
    let reach = Reach { scope, master: &master, worker: &worker, patience: &patience };
    let swarm = cluster.swarm.as_ref().expect("it has a swarm");
    let settled = settle(&cluster, swarm, &reach, Mode::Apply, &mut |_| {}).expect("it goes on");
    assert!(settled.changes.is_empty());
    assert!(settled.notes[0].contains("cargo xtask node reboot cluster01"), "{:?}", settled.notes);
}

#[test]
fn the_heartbeat_is_what_the_file_says_or_what_it_was() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &[]);
    let slow = lab("[swarm]\nheartbeat = 20\n");
    let plan = engines.settle(&slow, &[], Mode::Plan).expect("a plan");
    let change = "nodes tell the managers every 20 s that they are alive";
    assert_eq!(plan.changes[0].text, change);
    assert_eq!(engines.read("swarm/heartbeat"), "");
    assert_eq!(engines.told(&slow, &[]), format!("~ {change}"));
    assert_eq!(engines.read("swarm/heartbeat"), "20000000000");
    assert_eq!(engines.told(&slow, &[]), "");
    assert_eq!(engines.told(&lab("[swarm]\n"), &[]), "");
    assert!(engines.read("cluster00/orders").contains("\"Name\":\"default\""), "the rest stays");
}

/// As where the disk is full: systemd holds the socket, and the engine ends before it takes anything from it.
#[test]
fn a_worker_whose_engine_cannot_start_keeps_nobody_from_the_rest() {
    let engines = Engines::new();
    engines.write("cluster01/cannot-start", "");
    let settled = engines.settle(&lab("[swarm]\n"), &[], Mode::Apply).expect("it goes on");
    let told: Vec<_> = settled.changes.iter().map(|change| change.text.as_str()).collect();
    assert!(told.contains(&"node cluster02: joins"), "{told:?}");
    assert!(!told.iter().any(|told| told.contains("cluster01")), "{told:?}");
    assert!(settled.notes[0].contains("`journalctl -u docker` there"), "{:?}", settled.notes);
}

#[test]
fn managers_that_elect_a_leader_are_waited_for() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &[]);
    engines.write("swarm/elections", "1\n");
    assert_eq!(engines.told(&lab("[swarm]\n"), &[]), "");
    engines.write("swarm/elections", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let told = engines.told(&lab("[swarm]\n"), &[]);
    assert!(told.starts_with("the swarm on cluster00 takes no orders: rpc error"), "{told}");
}

#[test]
fn an_order_for_what_a_node_was_a_moment_ago_is_given_again() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &[]);
    engines.write("swarm/members/id-1-of-cluster01/moves", "");
    insta::assert_snapshot!(engines.told(&lab("[swarm]\nmanagers = 3\n"), &[]), @r"
    ~ node cluster01: worker → manager
    ~ node cluster02: worker → manager
    ");
    assert_eq!(engines.told(&lab("[swarm]\nmanagers = 3\n"), &[]), "");
}

#[test]
fn a_manager_that_goes_takes_no_tasks_again_on_its_way_out() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\nmanagers = 3\n"), &[]);
    let (without, _) = LAB.rsplit_once("[[worker]]").expect("it has workers");
    engines.told(&format!("{without}\n[swarm]\n"), &[]);
    let orders = engines.read("cluster00/orders");
    let last = orders.lines().rfind(|line| line.contains("id-1-of-cluster02/update"));
    let last = last.expect("it was demoted");
    assert!(last.contains("\"Role\":\"worker\"") && last.contains("\"drain\""), "{last}");
}

#[test]
fn a_node_that_dies_while_it_is_drained_is_removed_all_the_same() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &[]);
    engines.write("swarm/members/id-1-of-cluster02/task", "");
    let (without, _) = LAB.rsplit_once("[[worker]]").expect("it has workers");
    let text = format!("{without}\n[swarm]\n");
    let told = engines.told(&text, &[]);
    insta::assert_snapshot!(told, @r"
    cluster02 is drained, and a task still runs there
    → they end when their `stop_grace_period` is over; `cargo xtask node exec cluster02 --root -- docker ps` shows them. Run this again to go on waiting
    ");
    engines.write("swarm/members/id-1-of-cluster02/dies", "");
    let told = engines.told(&text, &[]);
    assert_eq!(told, "- node cluster02: not in cluster.toml any more, drain and remove");
}

#[test]
fn who_is_taken_out_leaves_before_the_master_serves_it_no_more() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\nmanagers = 3\n"), &[]);
    let (without, _) = LAB.rsplit_once("[[worker]]").expect("it has workers");
    let cluster = cluster(&format!("{without}\n[swarm]\n"));
    let swarm = cluster.swarm.as_ref().expect("it has a swarm");
    let master = engines.host("cluster00");
    let nobody = |worker: &Worker| -> Result<Box<dyn Host>, RemoteError> {
        panic!("{} is asked", worker.name)
    };
    let patience = none();
    let scope = &Scope::default();
    let reach = Reach { scope, master: &master, worker: &nobody, patience: &patience };
    let retired = |reach: &Reach<'_>| {
        let changes = super::retire(&cluster, swarm, reach, &mut |_| {}).expect("it works");
        changes.into_iter().map(|change| change.text).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(retired(&reach), "node cluster02: not in cluster.toml any more, drain and remove");
    assert_eq!(retired(&reach), "");
    assert_eq!(engines.members(), "id-1-of-cluster01 id-of-cluster00");
}
