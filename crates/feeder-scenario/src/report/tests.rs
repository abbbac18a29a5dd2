//! Reports of scripted runs.

use quick_junit::{NonSuccessKind, TestCaseStatus};

use super::{samples, *};
use crate::testing::TestRun;

#[test]
fn a_run_that_passes() {
    let report = Report::from_records(&samples::passed_run());
    insta::assert_snapshot!("passed_json", serde_json::to_string_pretty(&report).unwrap());
    insta::assert_snapshot!("passed_txt", report.text());
    insta::assert_snapshot!("passed_junit", report.junit().unwrap());
}

#[test]
fn a_run_that_fails() {
    let report = Report::from_records(&samples::failed_run());
    insta::assert_snapshot!("failed_txt", report.text());
    assert_eq!(report.exit, 20);
    let junit = quick_junit::Report::deserialize_from_str(&report.junit().unwrap()).unwrap();
    let suite = &junit.test_suites[0];
    assert_eq!((suite.tests, suite.failures, suite.errors), (2, 1, 0));
    assert_eq!(suite.test_cases[0].status, TestCaseStatus::success());
    let TestCaseStatus::NonSuccess { kind, message, ty, description, .. } =
        &suite.test_cases[1].status
    else {
        panic!("{:?}", suite.test_cases[1]);
    };
    let text = |text: &Option<quick_junit::XmlString>| text.as_ref().unwrap().as_str().to_owned();
    assert_eq!(*kind, NonSuccessKind::Failure);
    assert_eq!(text(ty), "product");
    assert_eq!(text(message), "cluster01 gave up: no OFFER carried option 43");
    assert!(text(description).contains("hint: a 3B+ stays dead until its power is cycled"));
}

#[test]
fn a_failure_outside_of_all_steps_counts() {
    let report = Report::from_records(&samples::loose_failure());
    assert_eq!(
        report.headline(),
        "netboot failed before its first step     class: host   exit code 3"
    );
    let wanted = Totals { steps: 1, failed: 1, ..Totals::default() };
    assert_eq!(report.totals, wanted);
    let junit = quick_junit::Report::deserialize_from_str(&report.junit().unwrap()).unwrap();
    assert_eq!((junit.tests, junit.failures, junit.errors), (1, 0, 1));
}

#[test]
fn a_killed_run_is_interrupted_and_so_is_its_open_step() {
    let mut records = samples::failed_run();
    records.truncate(records.len() - 3);
    let report = Report::from_records(&records);
    assert_eq!((report.verdict, report.exit), (Ending::Interrupted, 130));
    assert_eq!(report.totals, Totals { steps: 2, passed: 1, failed: 0, interrupted: 1 });
    let junit = quick_junit::Report::deserialize_from_str(&report.junit().unwrap()).unwrap();
    assert_eq!((junit.tests, junit.errors), (2, 1));
}

#[test]
fn phases_of_a_machine_fill_its_time_and_its_work() {
    let records = samples::passed_run();
    let report = Report::from_records(&records);
    for node in &report.nodes {
        let wall: Duration = node.phases.iter().map(|phase| phase.took.wall).sum();
        let guest: Duration = node.phases.iter().map(|phase| phase.took.guest).sum();
        let on = records.iter().find(|record| record.node.as_ref() == Some(&node.name)).unwrap();
        let off = records.iter().rfind(|record| record.node.as_ref() == Some(&node.name)).unwrap();
        assert_eq!(wall, off.at.wall - on.at.wall, "{}", node.name);
        assert_eq!(guest, node.guest, "{}", node.name);
    }
    let all: Duration = report.nodes.iter().map(|node| node.guest).sum();
    assert_eq!(all, report.took.guest);
}

#[test]
fn files_are_written_and_read_back() {
    let run = TestRun::new();
    let records = samples::failed_run();
    let report = Report::from_records(&records);
    report.write(run.story.dir(), &records).unwrap();
    let json = fs_err::read_to_string(run.story.dir().file("report.json")).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let junit = fs_err::read_to_string(run.story.dir().file("junit.xml")).unwrap();
    quick_junit::Report::deserialize_from_str(&junit).unwrap();
    let text = fs_err::read_to_string(run.story.dir().file("report.txt")).unwrap();
    assert!(text.starts_with("netboot failed at step 2") && text.ends_with("10.0.2\n"), "{text}");
}

#[test]
fn a_trace_holds_every_step_phase_and_wait() {
    let records = samples::passed_run();
    let report = Report::from_records(&records);
    let trace = report.trace(&records);
    insta::assert_snapshot!("passed_trace", serde_json::to_string_pretty(&trace).unwrap());
    let events = trace["traceEvents"].as_array().unwrap();
    let count = |ph: &str| events.iter().filter(|event| event["ph"] == ph).count();
    let phases: usize = report.nodes.iter().map(|node| node.phases.len()).sum();
    assert_eq!(count("X"), report.steps.len() + phases);
    assert_eq!((count("b"), count("e")), (report.waits.len(), report.waits.len()));
}
