//! What counts as a difference and what does not.

use proptest::prelude::*;

use super::{testing::*, *};
use crate::{Ending, UnitState};

fn failing() -> Log {
    let mut log = green();
    log.cut_before("the worker netboots", "ssh.service started");
    log.push("cluster01", wait_in_vain("an SSH login"));
    let message = "waited for an SSH login on cluster01: it did not come within 240 s of vCPU time";
    log.fail("the worker netboots", Failure::product(message).on("cluster01"));
    log
}

proptest! {
    /// Two runs that do the same do not differ, whatever chance does.
    #[test]
    fn chance_is_no_difference(one in any::<u64>(), other in any::<u64>()) {
        let (one, other) = (green().records(one), green().records(other));
        prop_assert_eq!(first_difference(&one, &[&other]), None);
    }

    /// The order between nodes does not count, only that of each node's own lines.
    #[test]
    fn the_order_between_nodes_is_no_difference(picks in proptest::collection::vec(any::<bool>(), 60)) {
        let step = |events: Vec<(Option<String>, Event)>| Log([
            vec![(None, Event::StepStarted { number: "1".into(), name: "boot".into() })],
            events,
        ].concat()).records(1);
        let boot = green().0;
        let own = |name: &str| -> Vec<_> {
            boot.iter().filter(|(node, event)| {
                node.as_deref() == Some(name) && !matches!(event, Event::Unit { .. })
            }).cloned().collect()
        };
        let (masters, workers) = (own("cluster00"), own("cluster01"));
        let one = step([masters.clone(), workers.clone()].concat());
        let (mut masters, mut workers) = (masters.into_iter().peekable(), workers.into_iter().peekable());
        let mut picks = picks.into_iter().cycle();
        let mut mixed = Vec::new();
        while masters.peek().is_some() || workers.peek().is_some() {
            let next = if picks.next() == Some(true) { masters.next() } else { workers.next() };
            mixed.extend(next.or_else(|| masters.next()).or_else(|| workers.next()));
        }
        prop_assert_eq!(first_difference(&step(mixed), &[&one]), None);
    }
}

#[test]
fn what_did_not_come_is_the_first_of_its_node() {
    let now = failing().records(3);
    let difference = first_difference(&now, &[&green().records(1)]).unwrap();
    assert_eq!(difference.kind, Kind::Missing);
    assert_eq!(difference.node.as_deref(), Some("cluster01"));
    assert_eq!(difference.step.as_deref(), Some("the worker netboots"));
}

#[test]
fn what_differs_among_green_runs_is_noise() {
    let mut now = failing();
    now.insert_before(
        "the worker netboots",
        "milestone kernel",
        "cluster01",
        unit("quirk.service", UnitState::Failed),
    );
    let now = now.records(3);
    let plain = green().records(1);
    let first = |greens: &[&[Record]]| first_difference(&now, greens).unwrap().to_string();
    assert!(first(&[&plain]).contains("quirk.service failed"));
    let mut quirky = green();
    quirky.insert_before(
        "the worker netboots",
        "milestone kernel",
        "cluster01",
        unit("quirk.service", UnitState::Failed),
    );
    let said = first(&[&plain, &quirky.records(2)]);
    assert!(!said.contains("quirk"), "{said}");
}

#[test]
fn a_step_taken_from_a_snapshot_misses_nothing() {
    let mut now = failing();
    let second = now
        .0
        .iter()
        .position(|(_, event)| matches!(event, Event::StepStarted { number, .. } if number == "4"));
    let mut at = 0;
    let second = second.unwrap();
    now.0.retain(|(_, event)| {
        at += 1;
        at > second
            || matches!(
                event,
                Event::StepStarted { .. } | Event::StepFinished { .. } | Event::RunStarted { .. }
            )
    });
    let whole = first_difference(&failing().records(1), &[&green().records(1)]);
    let resumed = first_difference(&now.records(1), &[&green().records(1)]).unwrap();
    assert_eq!(resumed.then, whole.unwrap().then);
}

#[test]
fn without_green_runs_it_says_so() {
    let none = Explanation { green: None, greens: 0, first: None };
    assert_eq!(none.to_string(), "there is no green run of this scenario to compare with");
    assert_eq!(first_difference(&failing().records(1), &[]), None);
}

#[test]
fn green_runs_are_found_beside_a_run() {
    let root = tempfile::tempdir().unwrap();
    let runs = camino::Utf8Path::from_path(root.path()).unwrap();
    for (name, log, verdict) in [
        ("2025-11-22T10-00-00-1", green(), Ending::Passed),
        ("2025-11-23T10-00-00-1", green(), Ending::Passed),
        ("2025-11-24T10-00-00-1", failing(), Ending::Failed),
    ] {
        let records = log.records(1);
        let report = crate::Report::from_records(&records);
        assert_eq!(report.verdict, verdict);
        fs_err::create_dir(runs.join(name)).unwrap();
        fs_err::write(runs.join(name).join("report.json"), serde_json::to_vec(&report).unwrap())
            .unwrap();
        let lines: Vec<_> = records.iter().map(|r| serde_json::to_string(r).unwrap()).collect();
        let unknown = r#"{"seq":9,"at":{"wall_s":0.0,"guest_s":0.0},"kind":"of_tomorrow"}"#;
        fs_err::write(runs.join(name).join("events.jsonl"), lines.join("\n") + "\n" + unknown)
            .unwrap();
    }
    fs_err::create_dir(runs.join("2025-11-21T10-00-00-1")).unwrap();
    let explanation = explain(&failing().records(5), runs);
    assert_eq!(explanation.greens, 2);
    insta::assert_snapshot!(explanation.to_string());
    let text = serde_json::to_string(&explanation).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&text).unwrap(), explanation);
}

#[test]
fn chance_in_words_is_taken_out() {
    for (text, wanted) in [
        (
            "sshd[4711]: connection from 10.0.0.1:40312 closed",
            "sshd[#]: connection from 10.0.0.1 closed",
        ),
        ("took 12.5 s, 3 times", "took # s, # times"),
        ("fetched 9f404536/kernel8.img", "fetched 9f404536/kernel8.img"),
        ("uuid 0f3c1a2b-4d5e-6f70-8192-a3b4c5d6e7f8.", "uuid #."),
    ] {
        assert_eq!(steady(text), wanted);
    }
}
