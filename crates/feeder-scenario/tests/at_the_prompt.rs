//! Runs in a process of their own with somebody at the prompt: at a terminal, and behind a pipe.

#![expect(clippy::unwrap_used, reason = "this is a test, helpers and all")]

mod common;

use std::ffi::OsStr;

use camino::Utf8PathBuf;
use feeder_process::{Cmd, interrupt};
use feeder_scenario::{Attended, Ending, Failure, Keyboard, Report, Scenario, Verdict};
use feeder_ui::Progress;

use self::common::{Bare, options, root};

/// The environment variable by which a test of this file knows that it is the process with the prompt.
const ROOT: &str = "FEEDER_TEST_PROMPT_ROOT";
/// How long a terminal may stay silent, in milliseconds: the host may be busy.
const PATIENCE_MS: u64 = 120_000;

fn told(lab: &mut Bare) -> Verdict {
    lab.0.step("one", || Ok(()))?;
    lab.0.step("two", || Err(Failure::product("no OFFER")))
}

/// The process with the prompt. Does nothing when the tests are run as usual.
#[test]
fn run_with_a_prompt() {
    let Ok(root) = std::env::var(ROOT) else { return };
    interrupt::install();
    let attended = Attended::Until { step: Some("two".into()), keyboard: Keyboard::stdin() };
    let options = options(root.into(), attended, Progress::terminal());
    let scenario = Scenario { name: "told", about: "fails at its second step", run: told };
    feeder_scenario::run(&scenario, &options).unwrap();
}

const ARGUMENTS: [&str; 3] = ["run_with_a_prompt", "--exact", "--nocapture"];

fn report(root: &Utf8PathBuf) -> Report {
    let json = fs_err::read_to_string(root.join("told/latest/report.json")).unwrap();
    serde_json::from_str(&json).unwrap()
}

#[test]
fn commands_come_from_a_pipe() {
    let (_guard, root) = root();
    let output = Cmd::new(std::env::current_exe().unwrap())
        .args(ARGUMENTS.map(OsStr::new))
        .env(ROOT, root.as_str())
        .stdin("nods\ncontinue\nevents 2\n")
        .run()
        .unwrap();
    let said = &output.stderr;
    let at = |part: &str| said.find(part).unwrap_or_else(|| panic!("no {part} in {said}"));
    assert!(at("before step 2, \"two\"") < at("did you mean nodes?"));
    assert!(at("did you mean nodes?") < at("after the failure"));
    assert!(at("after the failure") < at("step 2 failed"));
    assert!(!said.contains("scenario> "), "nobody sees a prompt: {said}");
    assert_eq!(report(&root).exit, 20);
}

fn at_a_terminal(root: &Utf8PathBuf) -> rexpect::session::PtySession {
    #[expect(clippy::disallowed_methods, reason = "rexpect gives it a terminal, and reaps it")]
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(ARGUMENTS).env(ROOT, root.as_str()).env("TERM", "xterm");
    rexpect::session::spawn_command(command, Some(PATIENCE_MS)).unwrap()
}

#[test]
fn ctrl_c_at_the_prompt_ends_the_run_in_order() {
    let (_guard, root) = root();
    let mut person = at_a_terminal(&root);
    person.exp_string("scenario> ").unwrap();
    person.send_line("nods").unwrap();
    person.exp_string("did you mean nodes?").unwrap();
    person.exp_string("scenario> ").unwrap();
    person.send_control('c').unwrap();
    person.exp_eof().unwrap();
    let report = report(&root);
    assert_eq!((report.verdict, report.exit), (Ending::Interrupted, 130));
}

#[test]
fn ctrl_d_closes_the_prompt_and_plays_on() {
    let (_guard, root) = root();
    let mut person = at_a_terminal(&root);
    person.exp_string("scenario> ").unwrap();
    person.send_control('d').unwrap();
    person.exp_eof().unwrap();
    assert_eq!(report(&root).failure.unwrap().message, "no OFFER");
}
