//! Boots as a real dnsmasq logged them, what a worker says afterwards, and any order of anything.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::watch::{
    health::{Health, Space},
    log,
    look::Reader,
    node::Stage,
    show::{changed, table},
    snapshot::Snapshot,
};

fn lab() -> Cluster {
    let text = include_str!("../../../../../fixtures/clusters/lab.toml");
    feeder_cluster::parse(text, "lab.toml").unwrap().cluster
}

fn with_swarm() -> Cluster {
    let text = include_str!("../../../../../fixtures/clusters/lab.toml");
    feeder_cluster::parse(&format!("{text}[swarm]\n"), "lab.toml").unwrap().cluster
}

fn entries(recording: &str) -> Vec<Entry> {
    recording.lines().filter_map(log::entry).collect()
}

macro_rules! recorded {
    ($name:literal) => {
        entries(include_str!(concat!("../../../../../fixtures/watch/", $name, ".jsonl")))
    };
}

/// The master looks, and this is what else it sees.
fn look(at: Moment, lines: &str) -> Look {
    let text = format!(
        "look {}\nunit dnsmasq active\nunit nfs-server active\nsystem running\nspace 30000000 10000000 20000000\nuptime 90000.0 1.0\n{lines}\nend",
        at.0
    );
    let mut reader = Reader::default();
    text.lines().find_map(|line| reader.line(line)).unwrap()
}

/// Applies a recording and gives each change as a line with its time, and what the worker is at some time after the end.
fn played(cluster: &Cluster, recording: Vec<Entry>, later: u64) -> (State, Moment, String) {
    let mut state = State::of(cluster);
    let first = recording[0].at;
    let mut lines = String::new();
    let mut before = None;
    let mut end = first;
    state.apply(Event::Looked(look(first, "")));
    for entry in recording {
        end = entry.at;
        state.apply(Event::Logged(entry));
        let now = Snapshot::of(&state, cluster, end);
        for line in changed(before.as_ref(), &now) {
            lines.push_str(&format!("{:>3} s  {line}\n", end.since(first).as_secs()));
        }
        before = Some(now);
    }
    let now = end.on(Duration::from_secs(later));
    let snapshot = Snapshot::of(&state, cluster, now);
    lines.push_str(&format!("--- {later} s later\n{}", table(&snapshot)));
    (state, now, lines)
}

#[test]
fn a_whole_boot_and_a_worker_that_is_up() {
    let cluster = lab();
    let (mut state, now, mut lines) = played(&cluster, recorded!("dnsmasq-boot"), 1);
    assert_eq!(state.nodes[0].stage, Stage::Kernel);
    assert_eq!(state.nodes[0].tries, 1, "the second round of DHCP is of the same start");
    let mut told = |state: &State, what: &str, at: Moment| {
        lines.push_str(&format!("--- {what}\n{}", table(&Snapshot::of(state, &cluster, at))));
    };
    let by = cluster.workers[0].address;
    let mounted = Logged::Mounted { path: "/srv/feeder/generations/1/root".into(), by };
    let at = now.on(Duration::from_secs(9));
    state.apply(Event::Logged(Entry { at, what: mounted }));
    told(&state, "its root is mounted", at);
    let at = at.on(Duration::from_secs(20));
    state.apply(Event::Probed(0, at, Sign::Unanswered));
    let health = Health {
        generation: Some(1),
        uptime: Duration::from_secs(25),
        system: "running".into(),
        space: Some(Space { size: 8 << 30, free: 7 << 30 }),
        ..Health::default()
    };
    state.apply(Event::Probed(0, at, Sign::Answered(health.clone())));
    told(&state, "it answers", at);
    assert!(state.nodes[0].is_well());
    let mut sick = health.clone();
    sick.failed = vec!["a.service".into(), "b.mount".into()];
    sick.system = "degraded".into();
    state.apply(Event::Probed(0, at, Sign::Answered(sick)));
    told(&state, "units failed", at);
    let full = Health { space: Some(Space { size: 8 << 30, free: 4 << 20 }), ..health };
    state.apply(Event::Probed(0, at, Sign::Answered(full)));
    told(&state, "its state image is full", at);
    assert!(!state.nodes[0].is_well());
    state.apply(Event::Probed(0, at, Sign::Unanswered));
    assert_eq!(state.nodes[0].stage, Stage::Up, "one login may fail");
    let at = at.on(Duration::from_secs(100));
    state.apply(Event::Probed(0, at, Sign::Unanswered));
    told(&state, "its power is gone", at);
    insta::assert_snapshot!("a_whole_boot", lines);
}

#[test]
fn a_boot_in_a_masters_own_journal() {
    let (state, _, lines) = played(&lab(), recorded!("journal-boot"), 1);
    assert_eq!(state.nodes[0].stage, Stage::Root);
    insta::assert_snapshot!("journal", lines);
}

#[test]
fn what_takes_its_time_is_no_trouble_until_it_takes_too_long() {
    let cluster = lab();
    let hint = |recording: &[Entry], later: u64| {
        let (state, now, _) = played(&cluster, recording.to_vec(), later);
        Snapshot::of(&state, &cluster, now).nodes[1].hint.clone()
    };
    let all = recorded!("journal-boot");
    let until = |text: &str| {
        let at = all.iter().rposition(|entry| format!("{:?}", entry.what).contains(text));
        &all[..=at.unwrap()]
    };
    let says = |hint: Option<String>, words: &str| {
        assert!(hint.as_ref().is_some_and(|hint| hint.contains(words)), "{hint:?}");
    };
    let kernel = until("Failed { path: \"/srv/feeder/tftp/9f404536/kernel8.img\"");
    assert_eq!(hint(kernel, 60), None, "a large file over a slow network");
    says(hint(kernel, 100), "stopped in kernel8.img");
    let small = until("Failed { path: \"/srv/feeder/tftp/9f404536/bcm2837-rpi-3-b-plus.dtb\"");
    says(hint(small, 25), "stopped in bcm2837-rpi-3-b-plus.dtb");
    let rom = until("/srv/feeder/tftp/bootcode.bin");
    says(hint(rom, 25), "behind bootcode.bin, as some boards do after a warm restart (#963)");
    let started = until("Sent { path: \"/srv/feeder/tftp/9f404536/kernel8.img\"");
    assert_eq!(hint(started, 30), None);
    says(hint(started, 61), "did not mount its root");
    assert_eq!(hint(&all, 100), None);
    says(hint(&all, 130), "root is mounted and SSH does not answer");
}

#[test]
fn where_boots_end_is_told_with_the_cause() {
    let cluster = lab();
    for (name, recording, later) in [
        ("asks", recorded!("dnsmasq-asks"), 40),
        ("elsewhere", recorded!("dnsmasq-elsewhere"), 5),
        ("half", recorded!("dnsmasq-half"), 5),
        ("unreadable", recorded!("dnsmasq-unreadable"), 5),
        ("lacking", recorded!("dnsmasq-lacking"), 5),
    ] {
        let (state, _, lines) = played(&cluster, recording, later);
        assert_eq!(state.nodes[1].stage, Stage::Silent, "{name}: nothing is of the other worker");
        insta::assert_snapshot!(format!("ends_{name}"), lines);
    }
}

#[test]
fn a_worker_that_dnsmasq_does_not_know_is_told_to_be_provisioned() {
    let text = include_str!("../../../../../fixtures/clusters/lab.toml")
        .replace("b8:27:eb:40:45:36", "b8:27:eb:99:00:01");
    let cluster = feeder_cluster::parse(&text, "lab.toml").unwrap().cluster;
    let mac = cluster.workers[0].mac;
    let at = Moment(1_795_936_742);
    let mut state = State::of(&cluster);
    let asked = log::entry(
        r#"{"__REALTIME_TIMESTAMP":"1795936742172087","MESSAGE":"653460281 PXE(eth0) b8:27:eb:99:00:01 proxy-ignored"}"#,
    );
    assert_eq!(asked.as_ref().map(|it| &it.what), Some(&Logged::Asked { mac, served: false }));
    state.apply(Event::Logged(asked.unwrap()));
    insta::assert_snapshot!("not_served", table(&Snapshot::of(&state, &cluster, at)));
}

#[test]
fn firmware_is_known_by_its_hardware_address_before_it_asks_by_name() {
    let cluster = lab();
    let at = Moment(1000);
    let router_gave = Ipv4Addr::new(192, 168, 10, 57);
    let sent =
        |to| Entry { at, what: Logged::Sent { path: "/srv/feeder/tftp/bootcode.bin".into(), to } };
    let mut state = State::of(&cluster);
    state.apply(Event::Logged(sent(router_gave)));
    assert!(state.nodes.iter().all(|node| node.stage == Stage::Silent), "nobody knows whose it is");
    let neighbour = "neigh 192.168.10.57 dev eth0 lladdr b8:27:eb:5a:01:c2 REACHABLE";
    state.apply(Event::Looked(look(at, neighbour)));
    state.apply(Event::Logged(sent(router_gave)));
    assert_eq!(state.nodes[1].file, Some(("bootcode.bin".into(), true)));
    // Of two that ask, neither is taken for the one.
    let mut state = State::of(&cluster);
    for worker in &cluster.workers {
        let asked = Logged::Asked { mac: worker.mac, served: true };
        state.apply(Event::Logged(Entry { at, what: asked }));
    }
    state.apply(Event::Logged(sent(router_gave)));
    assert!(state.nodes.iter().all(|node| node.stage == Stage::Asks));
}

#[test]
fn an_old_connection_is_no_sign_of_life_and_a_new_one_of_a_neighbour_is() {
    let cluster = lab();
    let mut state = State::of(&cluster);
    state.apply(Event::Looked(look(Moment(1000), "nfs 192.168.10.101")));
    assert_eq!((state.nodes[0].stage, state.nodes[0].last), (Stage::Silent, None));
    let heard =
        "neigh 192.168.10.101 dev eth0 lladdr b8:27:eb:40:45:36 REACHABLE\nnfs 192.168.10.101";
    state.apply(Event::Looked(look(Moment(1005), heard)));
    assert_eq!(state.nodes[0].stage, Stage::Root);
    // A lease that was renewed is one, too.
    state.apply(Event::Looked(look(Moment(1010), "client 192.168.10.102\nrenewed 4")));
    assert_eq!(state.nodes[1].last, Some(Moment(1006)));
    // Another board at a worker's address is not the worker.
    let other = "neigh 192.168.10.101 dev eth0 lladdr b8:27:eb:00:00:01 REACHABLE";
    let before = state.nodes[0].last;
    state.apply(Event::Looked(look(Moment(1020), other)));
    assert_eq!(state.nodes[0].last, before);
}

const SWARM: &str = r#"engine active
json nodes [{"ID":"a","Spec":{"Role":"manager","Availability":"drain"},"Description":{"Hostname":"cluster00"},"Status":{"State":"ready"},"ManagerStatus":{"Leader":true,"Reachability":"reachable"}},{"ID":"b","Spec":{"Role":"worker","Availability":"active"},"Description":{"Hostname":"cluster01"},"Status":{"State":"down"}}]
json tasks [{"NodeID":"b","Status":{"State":"running"}}]"#;

#[test]
fn a_swarm_has_its_columns_and_its_troubles() {
    let cluster = with_swarm();
    let at = Moment(1000);
    let mut state = State::of(&cluster);
    let health = Health {
        system: "running".into(),
        uptime: Duration::from_secs(300),
        engine: Some("active".into()),
        ..Health::default()
    };
    state.apply(Event::Looked(look(at, SWARM)));
    for number in 0..2 {
        state.apply(Event::Probed(number, at, Sign::Answered(health.clone())));
    }
    let snapshot = Snapshot::of(&state, &cluster, at);
    assert!(!snapshot.well);
    insta::assert_snapshot!("swarm", table(&snapshot));
    insta::assert_snapshot!("swarm_json", serde_json::to_string_pretty(&snapshot).unwrap());
    let none = "engine active\njson nodes {\"message\":\"The swarm does not have a leader.\"}";
    state.apply(Event::Looked(look(at, none)));
    let without = Snapshot::of(&state, &cluster, at);
    insta::assert_snapshot!("no_leader", table(&without));
    // Where lines are all that there is.
    let lost = changed(Some(&snapshot), &without);
    assert_eq!(lost.last().map(String::as_str), Some("swarm: The swarm does not have a leader."));
    let found = changed(Some(&without), &snapshot);
    assert_eq!(found.last().map(String::as_str), Some("swarm: its managers answer"));
    let mut busier = snapshot.clone();
    busier.nodes[0].swarm.as_mut().expect("it is a member").tasks += 1;
    assert_eq!(changed(Some(&snapshot), &busier), [""; 0]);
    busier.nodes[0].engine = Some("failed".into());
    let line = "cluster00  up, its engine is failed, ready leader of the swarm, drain";
    assert_eq!(changed(Some(&snapshot), &busier), [line]);
}

#[test]
fn a_master_is_a_node_with_troubles_of_its_own() {
    let cluster = lab();
    let at = Moment(1000);
    let shown = |lines: &str| {
        let mut state = State::of(&cluster);
        state.apply(Event::Looked(look(at, lines)));
        table(&Snapshot::of(&state, &cluster, at.on(Duration::from_secs(3))))
    };
    let mut all = shown("unit dnsmasq failed\nsystem degraded\nfailed dnsmasq.service");
    all += &shown("space 1000000 999000 1000");
    all += &shown("system degraded\nfailed a.service");
    let mut state = State::of(&cluster);
    state.apply(Event::Looked(look(at, "")));
    state.apply(Event::Lost("the connection to cluster00 was lost".into()));
    all += &table(&Snapshot::of(&state, &cluster, at.on(Duration::from_secs(60))));
    insta::assert_snapshot!("master", all);
}

fn any_sign() -> impl Strategy<Value = Sign> {
    let file = prop_oneof!["bootcode.bin", "kernel8.img", "initramfs8", "config.txt"];
    prop_oneof![
        any::<bool>().prop_map(|served| Sign::Asked { served }),
        file.clone().prop_map(Sign::Wants),
        file.clone().prop_map(Sign::Fetched),
        file.clone().prop_map(Sign::Lost),
        file.prop_map(Sign::Lacks),
        Just(Sign::Mounted("/srv/feeder/generations/1/root".into())),
        Just(Sign::Connected),
        Just(Sign::Heard),
        Just(Sign::Answered(Health::default())),
        Just(Sign::Closed("no key".into())),
        Just(Sign::Unanswered),
    ]
}

proptest! {
    /// Whatever comes in whatever order: only a login makes a worker up, only a full kernel a kernel, and time goes on.
    #[test]
    fn any_signs_make_sense(signs in proptest::collection::vec((0u64..100, any_sign()), 0..40)) {
        let mut node = Node::new(lab().workers[0].clone());
        for (at, sign) in signs {
            let (at, before, last) = (Moment(at), node.stage, node.last);
            let old = last.is_some_and(|last| at < last);
            node.apply(at, sign.clone());
            prop_assert!(node.last >= last);
            if old {
                prop_assert_eq!(node.stage, before);
            }
            if node.stage == Stage::Up && before != Stage::Up {
                prop_assert!(matches!(sign, Sign::Answered(_) | Sign::Closed(_)));
            }
            if node.stage == Stage::Kernel && before != Stage::Kernel {
                prop_assert_eq!(sign, Sign::Fetched("kernel8.img".into()));
            }
            prop_assert!(node.stage == Stage::Up || node.health.is_none());
            prop_assert!(node.stage == Stage::Silent || node.since.is_some());
        }
    }
}
