//! Runs in a process of their own that somebody ends: by Ctrl-C, and by SIGKILL.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test, helpers and all")]

mod common;

use std::{ffi::OsStr, sync::Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, Output, ProcessError, interrupt};
use feeder_scenario::{
    Attended, Budget, Ending, Poll, Record, Report, Scenario, Verdict, WaitSpec, gc,
};
use feeder_ui::Progress;
use rustix::process::{Pid, Signal, kill_process};

use self::common::{Bare, options, root};

/// The environment variable by which a test of this file knows that it is the process to be ended.
const ROOT: &str = "FEEDER_TEST_ENDED_ROOT";

/// Says where its sockets are, and waits for what never comes.
fn forever(lab: &mut Bare) -> Verdict {
    let story = &lab.0;
    story.step("wait for ever", || {
        println!("\nwaiting {} {}", std::process::id(), story.dir().sockets());
        let spec = WaitSpec::new("nobody", "nothing", Budget::seconds(600));
        story.wait(spec, || Poll::Pending)
    })
}

/// The process that is ended. Does nothing when the tests are run as usual.
#[test]
fn run_that_waits() {
    let Ok(root) = std::env::var(ROOT) else { return };
    interrupt::install();
    let options = options(root.into(), Attended::No, Progress::silent());
    let scenario = Scenario { name: "forever", about: "never ends", run: forever };
    let ran = feeder_scenario::run(&scenario, &options).unwrap();
    assert_eq!(ran.report.verdict, Ending::Interrupted);
}

/// Runs this file's other test, and sends its process a signal when it waits. Gives its sockets, too.
fn ended_by(signal: Signal, root: &Utf8Path) -> (Result<Output, ProcessError>, Utf8PathBuf) {
    let sockets = Mutex::new(Utf8PathBuf::new());
    let result = Cmd::new(std::env::current_exe().unwrap())
        .args(["run_that_waits", "--exact", "--nocapture"].map(OsStr::new))
        .env(ROOT, root.as_str())
        .stream(|_, line| {
            let mut words = line.split_whitespace();
            if words.next() != Some("waiting") {
                return;
            }
            let pid = words.next().and_then(|pid| Pid::from_raw(pid.parse().unwrap()));
            *sockets.lock().unwrap() = words.next().unwrap().into();
            kill_process(pid.unwrap(), signal).unwrap();
        });
    (result, sockets.into_inner().unwrap())
}

fn records(run: &Utf8Path) -> Vec<Record> {
    let text = fs_err::read_to_string(run.join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn after_ctrl_c_the_evidence_is_whole_and_nothing_else_is_left() {
    let (_guard, root) = root();
    let (result, sockets) = ended_by(Signal::INT, &root);
    result.unwrap();
    let run = root.join("forever/latest");
    let json = fs_err::read_to_string(run.join("report.json")).unwrap();
    let report: Report = serde_json::from_str(&json).unwrap();
    assert_eq!((report.verdict, report.exit), (Ending::Interrupted, 130));
    assert_eq!(report, Report::from_records(&records(&run)));
    assert!(sockets.starts_with("/") && !sockets.exists() && !run.join("scratch").exists());
    assert!(run.join("junit.xml").exists());
}

#[test]
fn after_sigkill_whole_lines_are_left_and_gc_finds_the_rest() {
    let (_guard, root) = root();
    let (result, sockets) = ended_by(Signal::KILL, &root);
    assert!(matches!(result, Err(ProcessError::Failed { .. })), "{result:?}");
    let run = root.join("forever/latest");
    assert!(run.join("started.json").exists() && !run.join("report.json").exists());
    let report = Report::from_records(&records(&run));
    assert_eq!((report.verdict, report.totals.interrupted), (Ending::Interrupted, 1));
    assert!(sockets.starts_with("/") && run.join("scratch/disk.img").exists());

    assert_eq!(gc(&root, 10).unwrap().scratch, 1);
    assert!(!sockets.exists() && !run.join("scratch").exists());
    assert!(run.join("events.jsonl").exists());
}
