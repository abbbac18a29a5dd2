//! Whole runs of a stage without machines.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::{
    Class, PowerEnd, Record, Steps, WaitSpec,
    clock::{fake::FakeClock, locked},
    testing::temp_root,
};

/// The runs whose stages were torn down.
static TORN_DOWN: Mutex<Vec<Utf8PathBuf>> = Mutex::new(Vec::new());

struct Bare {
    story: Story,
    machine: String,
}

impl Stage for Bare {
    const MACHINES: &'static [&'static str] = &["virt", "raspi3b", "absent", "stuck"];

    fn set_up(_scenario: &str, story: &Story, options: &StageOptions) -> Verdict<Self> {
        if options.machine == "absent" {
            return Err(Failure::host("qemu-system-aarch64 is not installed"));
        }
        fs_err::write(story.dir().scratch().join("disk.img"), "x").unwrap();
        story.power_on("cluster00", &options.machine);
        Ok(Self { story: story.clone(), machine: options.machine.clone() })
    }

    fn tear_down(self) -> Verdict {
        self.story.power_off("cluster00", PowerEnd::Cut, Some("torn down".into()));
        let capture = self.story.dir().file("lan.pcapng");
        self.story.evidence("capture", &capture, Some("18,204 frames".into()));
        locked(&TORN_DOWN).push(self.story.dir().path().to_owned());
        if self.machine == "stuck" {
            return Err(Failure::harness("the LAN's thread would not end"));
        }
        Ok(())
    }
}

impl Steps for Bare {
    fn story(&self) -> &Story {
        &self.story
    }
}

struct Played {
    report: Report,
    dir: Utf8PathBuf,
    records: Vec<Record>,
    _root: tempfile::TempDir,
}

fn options(root: &camino::Utf8Path, machine: &str) -> Options {
    Options {
        root: root.to_owned(),
        keep_runs: 10,
        keep_scratch: false,
        attended: Attended::No,
        live: false,
        repeats: None,
        stage: StageOptions {
            machine: machine.into(),
            consent: feeder_host::Consent::Ask,
            progress: feeder_ui::Progress::silent(),
            seed: 1,
            code: Arc::default(),
            reuse: crate::Reuse::Nothing,
        },
    }
}

fn play_it(run: fn(&mut Bare) -> Verdict, machine: &str, interrupt: &'static AtomicBool) -> Played {
    let (guard, root) = temp_root();
    let options = options(&root, machine);
    let scenario = Scenario { name: "bare", about: "nothing", run };
    let clock = Arc::new(FakeClock::default());
    let Ran { report, dir } =
        run_with(&scenario, &options, clock, || interrupt.load(Ordering::Relaxed)).unwrap();
    let latest = root.join("bare/latest").canonicalize_utf8().unwrap();
    assert_eq!(latest, dir.canonicalize_utf8().unwrap());
    let events = fs_err::read_to_string(dir.join("events.jsonl")).unwrap();
    let records = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Played { report, dir, records, _root: guard }
}

static NEVER: AtomicBool = AtomicBool::new(false);

fn torn_down(ran: &Played) -> bool {
    locked(&TORN_DOWN).contains(&ran.dir)
}

#[test]
fn a_run_that_passes_leaves_evidence_and_nothing_else() {
    let ran = play_it(|lab| lab.step("one", |_| Ok(())), "virt", &NEVER);
    assert_eq!((ran.report.verdict, ran.report.exit), (Ending::Passed, 0));
    let mut files: Vec<_> = ran
        .dir
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    files.sort();
    assert_eq!(
        files,
        [
            "events.jsonl",
            "junit.xml",
            "report.html",
            "report.json",
            "report.txt",
            "run.lock",
            "started.json",
            "trace.json"
        ]
    );
    assert_eq!(
        Report::from_records(&ran.records),
        ran.report,
        "the report is made of the events in the file"
    );
    let evidence: Vec<_> = ran.report.evidence.iter().map(|e| e.file.as_str()).collect();
    assert_eq!(evidence, ["report.html", "report.txt", "trace.json", "events.jsonl", "lan.pcapng"]);
    assert!(matches!(ran.records.last().unwrap().event, Event::RunFinished { .. }));
    assert!(torn_down(&ran));
}

#[test]
fn a_panic_outside_of_steps_is_the_harness_s_and_machines_go() {
    let ran = play_it(|lab| panic!("no {}", lab.machine), "virt", &NEVER);
    let failure = ran.report.failure.as_ref().unwrap();
    assert_eq!((failure.class, ran.report.exit), (Class::Harness, 30));
    assert!(failure.message.ends_with("no virt"), "{failure}");
    assert!(torn_down(&ran));
}

#[test]
fn a_panic_inside_a_step_names_the_step() {
    let ran = play_it(|lab| lab.step("one", |_| panic!("oh")), "virt", &NEVER);
    assert!(
        ran.report.headline().starts_with("bare failed at step 1, \"one\"     class: harness"),
        "{}",
        ran.report.headline()
    );
    assert!(torn_down(&ran));
}

#[test]
fn a_dropped_failure_is_still_the_verdict() {
    fn story(lab: &mut Bare) -> Verdict {
        let _dropped = lab.step("one", |_| Err(Failure::product("no")));
        Ok(())
    }
    assert_eq!(play_it(story, "virt", &NEVER).report.exit, 20);
}

#[test]
fn a_stage_that_cannot_be_built_is_a_failure_of_its_class() {
    let ran = play_it(|_| Ok(()), "absent", &NEVER);
    assert_eq!(ran.report.exit, 3);
    assert!(!torn_down(&ran));
}

#[test]
fn a_tear_down_that_fails_fails_the_run_but_hides_no_other_failure() {
    let ran = play_it(|_| Ok(()), "stuck", &NEVER);
    assert_eq!(ran.report.failure.unwrap().class, Class::Harness);
    let ran = play_it(|_| Err(Failure::product("no")), "stuck", &NEVER);
    assert_eq!(ran.report.failure.unwrap().message, "no");
}

#[test]
fn an_interrupted_run_keeps_its_evidence() {
    static NOW: AtomicBool = AtomicBool::new(false);
    fn story(lab: &mut Bare) -> Verdict {
        lab.step("one", |lab| {
            NOW.store(true, Ordering::Relaxed);
            let spec = WaitSpec::new("cluster00", "ssh", crate::Budget::seconds(300));
            lab.story.wait(spec, || crate::Poll::Pending)
        })
    }
    let ran = play_it(story, "virt", &NOW);
    assert_eq!((ran.report.verdict, ran.report.exit), (Ending::Interrupted, 130));
    assert!(ran.dir.join("junit.xml").exists() && torn_down(&ran));
    assert_eq!(ran.report.totals.interrupted, 1);
}

#[test]
fn a_failed_run_opens_with_its_first_difference_from_a_green_one() {
    fn green(lab: &mut Bare) -> Verdict {
        lab.step("boot", |lab| {
            lab.story.milestone("cluster00", "kernel", None);
            lab.story.ready("cluster00", "ssh");
            Ok(())
        })
    }
    fn red(lab: &mut Bare) -> Verdict {
        lab.step("boot", |lab| {
            lab.story.milestone("cluster00", "kernel", None);
            let unit = "ssh.service".to_owned();
            let state = crate::UnitState::Failed;
            lab.story.emit(Some("cluster00"), Event::Unit { unit, state });
            Err(Failure::product("no login").on("cluster00"))
        })
    }
    let (_guard, root) = temp_root();
    let options = options(&root, "virt");
    let run = |run| {
        let scenario = Scenario { name: "bare", about: "nothing", run };
        run_with(&scenario, &options, Arc::new(FakeClock::default()), || false).unwrap()
    };
    let first = run(red);
    let said = first.report.conclusion(&first.dir);
    assert!(said.contains("\n  there is no green run of this scenario"), "{said}");
    assert_eq!(run(green).report.explanation, None);
    let Ran { report, dir } = run(red);
    let difference = report.explanation.as_ref().unwrap().first.as_ref().unwrap();
    assert_eq!(difference.now.as_deref(), Some("ssh.service failed"));
    let lines: Vec<_> = report.text().lines().take(5).map(str::to_owned).collect();
    assert!(lines[1].starts_with("  first difference from the last green run ("), "{lines:?}");
    assert_eq!(
        lines[2..],
        ["      then   (nothing)", "      now    ssh.service failed", "  no login"]
    );
    let json = fs_err::read(dir.join("report.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&json).unwrap(), report);
}

#[test]
fn the_first_line_is_there_before_the_stage_is() {
    let ran = play_it(|_| Ok(()), "absent", &NEVER);
    assert!(
        matches!(&ran.records[0].event, Event::RunStarted { scenario, .. } if scenario == "bare")
    );
}
