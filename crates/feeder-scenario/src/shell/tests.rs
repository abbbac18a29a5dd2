//! Whole runs of a stage whose machines are words, with somebody at the prompt.

use std::sync::atomic::{AtomicBool, Ordering};

use camino::Utf8PathBuf;
use feeder_ui::Record as Said;

use super::*;
use crate::{
    Ending, Options, PowerEnd, Report, Scenario, Stage, StageOptions, Steps,
    clock::fake::FakeClock, run::run_with, testing::temp_root,
};

struct Words {
    story: Story,
    on: Arc<Mutex<Vec<(String, bool)>>>,
}

struct WordsDesk {
    story: Story,
    on: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Desk for WordsDesk {
    fn nodes(&self) -> Vec<NodeState> {
        let on = locked(&self.on);
        let state = |(name, on): &(String, bool)| NodeState {
            name: name.clone(),
            state: if *on { "on" } else { "off" }.into(),
            address: "192.168.10.100".into(),
            at: "127.0.0.1:40001".into(),
        };
        on.iter().map(state).collect()
    }

    fn ssh(&self, node: &str, command: Option<&str>, keyboard: bool) -> Verdict<Vec<String>> {
        assert!(!keyboard, "a script is no terminal");
        if !self.nodes().iter().any(|state| state.name == node && state.state == "on") {
            return Err(Failure::scenario(format!("{node} has no power")));
        }
        Ok(["sh", "-c", command.unwrap_or_default()].map(str::to_owned).into())
    }

    fn console(&self, node: &str) -> Verdict<ConsoleEnd> {
        let log = self.story.dir().node(node).unwrap().join("console.log");
        fs_err::write(&log, "login: ").unwrap();
        let story = self.story.clone();
        let type_in = Box::new(move |text: &str| {
            story.note(format!("heard {text:?}"));
            true
        });
        Ok(ConsoleEnd { log, type_in })
    }

    fn power(&self, node: &str, what: Power) -> Verdict {
        for (_, on) in locked(&self.on).iter_mut().filter(|(name, _)| name == node) {
            *on = matches!(what, Power::On | Power::Cycle);
        }
        Ok(())
    }
}

impl Stage for Words {
    const MACHINES: &'static [&'static str] = &["words"];

    fn set_up(_: &str, story: &Story, _: &StageOptions) -> Verdict<Self> {
        let on = vec![("cluster00".to_owned(), true), ("cluster01".to_owned(), false)];
        let dir = story.dir().node("cluster00").unwrap();
        fs_err::write(dir.join("console.timed.log"), "[ 0.1] one\n[ 0.2] two\n").unwrap();
        fs_err::write(dir.join("command.sh"), "qemu-system-aarch64 -name cluster00\n").unwrap();
        Ok(Self { story: story.clone(), on: Arc::new(Mutex::new(on)) })
    }

    fn desk(&self) -> Arc<dyn Desk> {
        Arc::new(WordsDesk { story: self.story.clone(), on: Arc::clone(&self.on) })
    }

    fn tear_down(self) -> Verdict {
        self.story.power_off("cluster00", PowerEnd::Cut, Some("torn down".into()));
        Ok(())
    }
}

impl Steps for Words {
    fn story(&self) -> &Story {
        &self.story
    }
}

/// Three steps, the second with two inside. What the person did to cluster01 is seen by the last.
fn good(lab: &mut Words) -> Verdict {
    lab.step("power on", |_| Ok(()))?;
    lab.step("provision", |lab| {
        lab.step("gather", |_| Ok(()))?;
        lab.step("apply", |_| Ok(()))
    })?;
    lab.step("the worker netboots", |lab| {
        let on = locked(&lab.on)[1].1;
        lab.story.summary(format!("cluster01 {}", if on { "on" } else { "off" }));
        Ok(())
    })
}

fn bad(lab: &mut Words) -> Verdict {
    lab.step("power on", |_| Ok(()))?;
    lab.step("provision", |_| Err(Failure::product("no OFFER").detail("last seen: nothing")))
}

struct Played {
    report: Report,
    dir: Utf8PathBuf,
    said: Said,
    /// Whatever holds the run's files beyond its end would keep these.
    scratch_left: bool,
    _root: tempfile::TempDir,
}

fn play(run: fn(&mut Words) -> Verdict, attended: Attended) -> Played {
    play_until(run, attended, || false)
}

fn play_until(
    run: fn(&mut Words) -> Verdict,
    attended: Attended,
    interrupted: impl Fn() -> bool + Send + Sync + 'static,
) -> Played {
    let (guard, root) = temp_root();
    let (progress, said) = Progress::recording();
    let options = Options {
        root,
        keep_runs: 10,
        keep_scratch: false,
        attended,
        live: false,
        repeats: None,
        stage: StageOptions {
            machine: "words".into(),
            consent: feeder_host::Consent::Ask,
            progress,
            seed: 1,
            code: Arc::default(),
            reuse: crate::Reuse::Nothing,
        },
    };
    let scenario = Scenario { name: "words", about: "words", run };
    let clock = Arc::new(FakeClock::default());
    let ran = run_with(&scenario, &options, clock, interrupted).unwrap();
    let scratch_left = ran.dir.join("scratch").exists();
    Played { report: ran.report, dir: ran.dir, said, scratch_left, _root: guard }
}

fn until(step: Option<&str>, script: &str) -> Attended {
    Attended::Until { step: step.map(str::to_owned), keyboard: Keyboard::script(script) }
}

fn prompts(said: &Said) -> Vec<String> {
    let lines = said.lines().into_iter();
    lines.filter_map(|line| Some(line.strip_prefix("the prompt opens ")?.to_owned())).collect()
}

#[test]
fn a_person_looks_around_before_a_step() {
    let script = "nodes\nnods\nlog cluster00 1\nlog cluster01\nqemu cluster00\nqemu cluster01\n\
                  ssh cluster01 true\npower cluster01 on\nssh cluster01 exit 3\nssh cluster01\n\
                  console cluster00\nroot\n\x1d\nnodes\nevents 4\n\nhelp\ncontinue\nquit\n";
    let played = play(good, until(Some("Netboots"), script));
    let lines = played.said.lines().join("\n");
    insta::assert_snapshot!(lines);
    assert_eq!(played.report.verdict, Ending::Passed, "quit after the last step changes nothing");
    assert!(!played.scratch_left);
}

#[test]
fn a_step_is_named_by_its_number_too() {
    let played = play(good, until(Some("2.2"), "step\nstep\nquit\n"));
    assert_eq!(
        prompts(&played.said),
        [
            "before step 2.2, \"apply\"; the machines run on",
            "before step 3, \"the worker netboots\"; the machines run on",
            "after the last step; the machines run on",
        ]
    );
    let whole = play(good, until(Some("1"), "step\nstep\nquit\n"));
    assert_eq!(
        prompts(&whole.said)[2],
        "before step 3, \"the worker netboots\"; the machines run on"
    );
    assert_eq!((whole.report.verdict, whole.report.exit), (Ending::Interrupted, 130));
    let told = whole.report.failure.unwrap();
    assert_eq!(
        told.message,
        "the run was ended at the prompt before step 3, \"the worker netboots\""
    );
}

#[test]
fn a_step_that_never_comes_is_told_of_at_the_end() {
    let played = play(good, until(Some("reboot"), ""));
    assert!(played.said.contains("no step was reboot"));
    assert_eq!(played.report.exit, 0);
}

#[test]
fn when_input_ends_the_scenario_plays_on_without_a_prompt() {
    let played = play(good, until(Some("1"), "nodes\n"));
    assert_eq!(prompts(&played.said).len(), 1);
    assert_eq!(played.report.totals.passed, 5);
    let failed = play(bad, until(Some("1"), ""));
    assert_eq!((prompts(&failed.said).len(), failed.report.exit), (1, 20));
}

#[test]
fn a_failure_opens_the_prompt_while_the_machines_run() {
    let played = play(bad, Attended::OnFailure(Keyboard::script("nodes\ncontinue\n")));
    let lines = played.said.lines();
    let at = |part: &str| lines.iter().position(|line| line.contains(part)).unwrap();
    assert!(at("failed at step 2, \"provision\": no OFFER") < at("  last seen: nothing"));
    assert!(at("last seen: nothing") < at("the prompt opens after the failure"));
    assert!(
        at("the prompt opens") < at("127.0.0.1:40001") && at("127.0.0.1:40001") < at("torn down")
    );
    assert_eq!(played.report.failure.unwrap().message, "no OFFER");

    let quit = play(bad, Attended::OnFailure(Keyboard::script("quit\n")));
    assert_eq!(quit.report.exit, 20, "it had failed already");
    let good = play(good, Attended::OnFailure(Keyboard::script("quit\n")));
    assert!(prompts(&good.said).is_empty());
    let alone = play(bad, Attended::No);
    assert!(prompts(&alone.said).is_empty());
}

#[test]
fn an_interrupt_at_the_prompt_ends_the_run_and_opens_no_other() {
    static NOW: AtomicBool = AtomicBool::new(false);
    fn story(lab: &mut Words) -> Verdict {
        lab.step("power on", |_| Ok(()))?;
        NOW.store(true, Ordering::Relaxed);
        good(lab)
    }
    let attended = until(Some("provision"), "nodes\n");
    let played = play_until(story, attended, || NOW.load(Ordering::Relaxed));
    assert!(prompts(&played.said).is_empty());
    assert_eq!(played.report.exit, 130);
    assert!(played.dir.join("report.json").exists() && !played.scratch_left);
}

#[test]
fn time_at_the_prompt_belongs_to_no_step() {
    let run = crate::testing::TestRun::new();
    let (progress, _) = Progress::recording();
    let attended = until(Some("2"), "continue\n");
    let clock = Arc::clone(&run.clock);
    struct Slow(Arc<FakeClock>);
    impl Desk for Slow {
        fn nodes(&self) -> Vec<NodeState> {
            // A person thinks.
            self.0.advance(std::time::Duration::from_secs(3600));
            Vec::new()
        }
        fn ssh(&self, node: &str, command: Option<&str>, keyboard: bool) -> Verdict<Vec<String>> {
            NoMachines.ssh(node, command, keyboard)
        }
        fn console(&self, node: &str) -> Verdict<ConsoleEnd> {
            NoMachines.console(node)
        }
        fn power(&self, node: &str, what: Power) -> Verdict {
            NoMachines.power(node, what)
        }
    }
    run.story.attend(Shell::of(&attended, Arc::new(Slow(clock)), &progress).unwrap());
    for step in ["one", "two"] {
        run.story.step(step, || Ok(())).unwrap();
    }
    run.story.dismiss(&Ok(()));
    let report = Report::from_records(&run.story.journal().records());
    assert!(report.took.wall.as_secs() >= 3600);
    assert!(report.steps.iter().all(|step| step.took.wall.is_zero()), "{:?}", report.steps);
}
