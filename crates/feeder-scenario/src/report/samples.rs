//! A scripted run, for the tests of everything that is made from records.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use camino::Utf8Path;

use super::Evidence;
use crate::{
    Answer, Change, Class, Dhcp, Ending, Event, Failure, Firmware, Guests, Journal, PowerEnd,
    Reading, Record, StepRef, UnitState, Wire, clock::fake::FakeClock, guests::fake::FakeGuest,
};

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);
const MASTER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 100);

fn seconds(wall: u64, guest: u64) -> Reading {
    Reading { wall: Duration::from_secs(wall), guest: Duration::from_secs(guest) }
}

fn step_started(number: &str, name: &str) -> Event {
    Event::StepStarted { number: number.into(), name: name.into() }
}

fn step_finished(number: &str, name: &str, ending: Ending, took: Reading) -> Event {
    let (number, name) = (number.to_owned(), name.to_owned());
    let summary = (number == "1").then(|| "47 changed".to_owned());
    Event::StepFinished { number, name, ending, summary, took }
}

fn milestone(name: &str) -> Event {
    Event::Milestone { name: name.into(), detail: None }
}

fn evidence() -> Vec<Evidence> {
    [("report", "report.txt", None), ("capture", "lan.pcapng", Some("18,204 frames"))]
        .map(|(what, file, note)| Evidence {
            what: what.into(),
            file: Utf8Path::new(file).to_owned(),
            note: note.map(str::to_owned),
        })
        .into()
}

fn versions() -> BTreeMap<String, String> {
    [("feeder", "0.1.0"), ("qemu", "10.0.2")].map(|(of, v)| (of.into(), v.into())).into()
}

fn failure() -> Failure {
    let step = StepRef { number: "2".into(), name: "the worker netboots".into() };
    Failure {
        step: Some(Box::new(step)),
        ..Failure::product("cluster01 gave up: no OFFER carried option 43")
            .on("cluster01")
            .detail("last event on cluster01, 1 s ago: DISCOVER, attempt 4")
            .with_hint("a 3B+ stays dead until its power is cycled")
    }
}

/// One of each kind, with nodes.
pub fn events() -> Vec<(Option<&'static str>, Event)> {
    let mut events: Vec<_> =
        failed().into_iter().map(|(_, _, node, event)| (node, event)).collect();
    let worker = Some("cluster01");
    events.extend([
        (worker, Event::Firmware(Firmware::Requested { file: "9f27eb/start.elf".into() })),
        (worker, Event::Firmware(Firmware::Missing { file: "9f27eb/start.elf".into() })),
        (worker, Event::Firmware(Firmware::GaveUp { why: "no OFFER".into() })),
        (worker, Event::PowerOff { end: PowerEnd::Died, why: Some("SIGSEGV".into()) }),
        (
            worker,
            Event::Member {
                role: crate::Role::Worker,
                board: Some("3b+".into()),
                mac: Some("b8:27:eb:40:45:36".into()),
                address: "192.168.10.101".parse().unwrap(),
            },
        ),
        (None, Event::Note { text: "a note".into() }),
        (None, Event::Fault { text: "5 % loss on cluster01, both directions".into() }),
    ]);
    events.extend(of_the_lan().into_iter().map(|said| (worker, Event::Wire(said))));
    for state in [UnitState::Started, UnitState::Failed, UnitState::Dependency, UnitState::TimedOut]
    {
        events.push((worker, Event::Unit { unit: "ssh.service".into(), state }));
    }
    events.push((worker, Event::DeadEnd { words: "Kernel panic - not syncing".into() }));
    events
}

fn of_the_lan() -> Vec<Wire> {
    let (server, file) = ("cluster00".to_owned(), "9f404536/start.elf".to_owned());
    vec![
        Wire::Dhcp {
            message: Dhcp::Offer,
            from: server.clone(),
            to: "cluster01".into(),
            server: Some(MASTER),
            yiaddr: None,
            option43: Some("06 01 03".into()),
            option43_text: Some("Raspberry Pi Boot   ".into()),
            vendor_class: Some("PXEClient".into()),
            times: 4,
        },
        Wire::TftpDone { file: file.clone(), server: server.clone(), bytes: 12, times: 1 },
        Wire::TftpError {
            file: file.clone(),
            server: server.clone(),
            code: 1,
            error: "file not found".into(),
            times: 1,
        },
        Wire::TftpUnanswered { file, server: server.clone(), times: 1 },
        Wire::Mount { path: "/srv".into(), server: server.clone(), status: "ok".into(), times: 1 },
        Wire::Unregistered { program: "mountd".into(), server: server.clone(), times: 1 },
        Wire::Nfs { server, answer: Answer::Accepted, times: 1 },
    ]
}

/// Seconds that pass before an event on the wall's clock and on its node's, the node, and the event.
type Script = Vec<(u64, u64, Option<&'static str>, Event)>;

fn beginning() -> Script {
    let master = Some("cluster00");
    let scenario = "netboot".to_owned();
    let started = "2025-11-23T06:43:04Z".to_owned();
    let awaited = "an SSH banner".to_owned();
    let budget = Duration::from_secs(300);
    let provision = "provision the master from nothing";
    let change = Change {
        module: "boot-server".into(),
        resource: "file /etc/dnsmasq.d/feeder.conf".into(),
        change: "written".into(),
    };
    vec![
        (0, 0, None, Event::RunStarted { scenario, started, pid: 4711 }),
        (1, 0, None, Event::Prepared { what: "tools".into(), summary: "12 of 12 present".into() }),
        (1, 0, master, Event::PowerOn { profile: "virt".into() }),
        (0, 0, master, milestone("SD")),
        (0, 0, master, Event::WaitStarted { awaited: awaited.clone(), budget }),
        (5, 4, master, milestone("kernel8.img")),
        (20, 25, master, milestone("systemd")),
        (13, 12, master, Event::Ready { name: "ssh".into() }),
        (
            0,
            0,
            master,
            Event::WaitEnded {
                awaited,
                reached: true,
                last_seen: Some("connection refused".into()),
                took: seconds(38, 41),
            },
        ),
        (1, 0, None, step_started("1", provision)),
        (30, 40, master, Event::Provision(change)),
        (41, 52, master, Event::Provisioned { changed: 47, unchanged: 0 }),
        (0, 0, None, step_finished("1", provision, Ending::Passed, seconds(71, 92))),
        (0, 0, None, step_started("2", "the worker netboots")),
        (1, 0, Some("cluster01"), Event::PowerOn { profile: "virt".into() }),
        (2, 1, Some("cluster01"), Event::Firmware(Firmware::Discover { attempt: 1 })),
    ]
}

fn offer(from: Ipv4Addr, accepted: bool) -> Event {
    let (yiaddr, option43, why) = if accepted {
        (Ipv4Addr::UNSPECIFIED, Some("0601030a0400505845".to_owned()), "it is a Raspberry Pi Boot")
    } else {
        (Ipv4Addr::new(192, 168, 10, 53), None, "no option 43")
    };
    Event::Firmware(Firmware::Offer { from, yiaddr, option43, accepted, why: why.into() })
}

fn fetched(file: &str, bytes: u64) -> Event {
    Event::Firmware(Firmware::Fetched { file: file.into(), bytes, retransmits: 2 })
}

/// A run that fails in its second step.
fn failed() -> Script {
    let mut script = beginning();
    let (why, failure) = (Some("torn down".to_owned()), failure());
    let ending = Ending::Failed;
    script.extend([
        (0, 0, Some("cluster01"), offer(ROUTER, false)),
        (9, 1, Some("cluster01"), offer(MASTER, true)),
        (1, 0, Some("cluster01"), fetched("9f27eb/config.txt", 512)),
        (4, 0, Some("cluster01"), fetched("9f27eb/kernel8.img", 31_200_000)),
        (1, 0, None, step_finished("2", "the worker netboots", ending, seconds(18, 2))),
        (0, 0, Some("cluster00"), Event::PowerOff { end: PowerEnd::Cut, why }),
        (
            1,
            0,
            None,
            Event::RunFinished {
                ending,
                failure: Some(failure),
                evidence: evidence(),
                versions: versions(),
            },
        ),
    ]);
    script
}

/// A run that passes, with a step inside a step.
fn passed() -> Script {
    let worker = Some("cluster01");
    let ok = Ending::Passed;
    let kernel = "kernel8.img".to_owned();
    let mut script = beginning();
    script.extend([
        (0, 0, None, step_started("2.1", "it hears the master")),
        (1, 0, worker, offer(MASTER, true)),
        (1, 0, worker, fetched("9f27eb/config.txt", 512)),
        (4, 0, worker, fetched("9f27eb/kernel8.img", 31_200_000)),
        (0, 0, None, step_finished("2.1", "it hears the master", ok, seconds(6, 0))),
        (
            0,
            0,
            worker,
            Event::Firmware(Firmware::Starts { kernel, command_line: "ip=dhcp".into() }),
        ),
        (20, 22, worker, milestone("nfs")),
        (16, 11, worker, Event::Ready { name: "ssh".into() }),
        (0, 0, None, step_finished("2", "the worker netboots", ok, seconds(45, 34))),
        (1, 1, worker, Event::PowerOff { end: PowerEnd::Shutdown, why: None }),
        (0, 0, Some("cluster00"), Event::PowerOff { end: PowerEnd::Shutdown, why: None }),
        (
            1,
            0,
            None,
            Event::RunFinished {
                ending: ok,
                failure: None,
                evidence: evidence(),
                versions: versions(),
            },
        ),
    ]);
    script
}

fn play(script: Script, mut see: impl FnMut(&Record) + Send + 'static) -> Vec<Record> {
    let clock = Arc::new(FakeClock::default());
    let guests = Guests::default();
    let nodes = ["cluster00", "cluster01"].map(|name| (name, Arc::new(FakeGuest::default())));
    let journal = Journal::new(clock.clone(), guests.clone());
    journal.subscribe(move |record| see(record));
    for (wall, guest, node, event) in script {
        clock.advance(Duration::from_secs(wall));
        if let Some((name, machine)) = nodes.iter().find(|(name, _)| Some(*name) == node) {
            if matches!(event, Event::PowerOn { .. }) {
                guests.power_on(name, machine.clone());
            }
            machine.works(Duration::from_secs(guest));
        }
        journal.emit(node, event);
    }
    journal.records()
}

pub fn passed_run() -> Vec<Record> {
    play(passed(), |_| {})
}

pub fn failed_run() -> Vec<Record> {
    play(failed(), |_| {})
}

/// Plays the run that fails to a listener.
pub fn show_failed_run(see: impl FnMut(&Record) + Send + 'static) {
    play(failed(), see);
}

/// Plays the run that passes to a listener.
pub fn show_passed_run(see: impl FnMut(&Record) + Send + 'static) {
    play(passed(), see);
}

/// The failure of a run whose stage could not be built.
pub fn loose_failure() -> Vec<Record> {
    let failure = Failure::new(Class::Host, "qemu-system-aarch64 is not installed");
    let mut script = beginning();
    script.truncate(1);
    script.push((
        1,
        0,
        None,
        Event::RunFinished {
            ending: Ending::Failed,
            failure: Some(failure.with_hint("cargo xtask setup")),
            evidence: Vec::new(),
            versions: BTreeMap::new(),
        },
    ));
    play(script, |_| {})
}
