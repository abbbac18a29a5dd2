//! Running one step: its output into a log, its tests counted.

use std::{collections::BTreeSet, io::Write, time::Instant};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, ProcessError};
use feeder_ui::{Progress, plural};

use crate::{CiError, Count, Counted, Outcome, Step, Work, Workspace, tidy};

/// Where scenarios keep their evidence, below the target directory.
const EVIDENCE: &str = "scenario";

/// How many lines of a failed step's log are shown.
const TAIL: usize = 40;

/// How the work of a step ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Passed,
    /// Why, in a line.
    Failed(String),
    /// The user wants the gate to stop.
    Stopped,
}

/// Runs a step and says how it went.
///
/// # Errors
/// [`CiError`] when it was interrupted, or its log could not be kept.
pub(crate) fn run_step(
    workspace: &Workspace,
    step: Step,
    logs: &Utf8Path,
    progress: &Progress,
) -> Result<Outcome, CiError> {
    let began = Instant::now();
    let log = logs.join(step.name).with_extension("log");
    let mut file = fs_err::File::create(&log)?;
    let evidence = workspace.target.join(EVIDENCE);
    let before = runs(&evidence);
    let task = progress.task(step.name);
    let mut lost = None;
    let ended = work(workspace, &step.work, &mut |text| {
        task.say(text.trim());
        if let Err(error) = writeln!(file, "{text}") {
            lost.get_or_insert(error);
        }
    })?;
    if let Some(error) = lost {
        return Err(error.into());
    }
    let text = fs_err::read_to_string(&log)?;
    let count = match step.counted {
        Counted::No => Some(Count::default()),
        Counted::Summaries(runner) => Count::from_summaries(runner, &text),
        Counted::Scenarios => scenarios(&runs(&evidence) - &before),
    };
    let failure = match ended {
        Ended::Stopped => {
            task.failed("interrupted");
            return Err(CiError::Interrupted { step: step.name, log });
        }
        Ended::Failed(why) => Some(why),
        // A runner that ran nothing has proved nothing.
        Ended::Passed => count.is_none().then(|| "no test was counted".to_owned()),
    };
    let mut count = count.unwrap_or_default();
    match &failure {
        None => task.done("passed"),
        Some(why) => {
            if count.failed == 0 {
                // It failed without a failed test: it did not compile, say.
                count = count + Count::FAILURE;
            }
            task.failed(why);
            progress.note(tail(&log, &text));
        }
    }
    Ok(Outcome { step, failure, count, took: began.elapsed(), log })
}

fn tail(log: &Utf8Path, text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL)..];
    let shown: String = last.iter().map(|line| format!("\n  │ {line}")).collect();
    format!("  the end of {log}:{shown}")
}

fn work(
    workspace: &Workspace,
    work: &Work,
    keep: &mut (dyn FnMut(&str) + Send),
) -> Result<Ended, CiError> {
    Ok(match work {
        Work::Tidy => {
            let findings = tidy::check(workspace)?;
            findings.iter().for_each(|finding| keep(&finding.to_string()));
            if findings.is_empty() {
                Ended::Passed
            } else {
                Ended::Failed(plural(findings.len(), "finding"))
            }
        }
        Work::Cargo(args) => run(workspace.cargo().args(args.iter().copied()), keep),
        Work::Scenario(args) => {
            let program = Cmd::new(workspace.target.join("debug/scenario").into_std_path_buf());
            let evidence = workspace.target.join(EVIDENCE).into_string();
            let program = program.dir(&workspace.root).args(args.iter().copied());
            run(program.arg("--evidence").arg(evidence), keep)
        }
    })
}

fn run(cmd: Cmd, keep: &mut (dyn FnMut(&str) + Send)) -> Ended {
    // The programs know from CI that nobody watches: no colours, no questions, no snapshots rewritten.
    let cmd = cmd
        .env("CI", "true")
        .env("CARGO_TERM_COLOR", "never")
        .env("NO_COLOR", "1")
        .env("INSTA_UPDATE", "no");
    match cmd.stream(|_, line| keep(line)) {
        Ok(_) => Ended::Passed,
        Err(ProcessError::Interrupted { .. }) => Ended::Stopped,
        Err(ProcessError::Failed { status, .. }) => Ended::Failed(status.to_string()),
        Err(error) => {
            keep(&error.to_string());
            Ended::Failed(error.to_string())
        }
    }
}

/// The directories of all runs of all scenarios. A new run has a new one, so two looks show what ran between them.
fn runs(evidence: &Utf8Path) -> BTreeSet<Utf8PathBuf> {
    let below = |dir: &Utf8Path| dir.read_dir_utf8().into_iter().flatten().flatten();
    below(evidence)
        .flat_map(|scenario| below(scenario.path()))
        // `latest` is a link to one of them.
        .filter(|run| run.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|run| run.path().to_owned())
        .collect()
}

/// The steps of these runs; `None` when no run tells of any.
fn scenarios(runs: BTreeSet<Utf8PathBuf>) -> Option<Count> {
    let texts = runs.iter().filter_map(|run| fs_err::read_to_string(run.join("junit.xml")).ok());
    let counts: Vec<Count> = texts.filter_map(|xml| Count::from_junit(&xml)).collect();
    (!counts.is_empty()).then(|| counts.into_iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(work: Work, counted: Counted) -> Step {
        Step { name: "tests", proves: "tests pass", work, counted }
    }

    struct Bench {
        _dir: tempfile::TempDir,
        workspace: Workspace,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let root = Utf8Path::from_path(dir.path()).expect("a UTF-8 path").to_owned();
            Self {
                _dir: dir,
                workspace: Workspace { target: root.join("target"), root, cargo: "cargo".into() },
            }
        }

        /// Puts a shell script in the scenario program's place. Another process writes it: a file that this one has open
        /// for writing, or one forked from it meanwhile, could not be started.
        fn scenario_program(&self, script: &str) {
            let program = self.workspace.target.join("debug/scenario");
            let write = "mkdir -p \"${0%/*}\" && cat >\"$0\" && chmod 755 \"$0\"";
            let written = Cmd::new("sh")
                .args(["-c", write, program.as_str()])
                .stdin(format!("#!/bin/sh\n{script}\n"));
            written.run().expect("a script");
        }

        fn run(&self, step: Step) -> Outcome {
            run_step(&self.workspace, step, &self.workspace.root, &Progress::silent())
                .expect("a verdict")
        }
    }

    const JUNIT: &str = "run=$4/netboot/$$; mkdir -p $run; ln -sfn $run $4/netboot/latest; \
                         echo '<testsuites name=\"x\" tests=\"7\" failures=\"0\" errors=\"0\">' >$run/junit.xml";

    #[test]
    fn a_scenario_is_told_where_to_leave_its_evidence_and_is_counted_from_there() {
        let bench = Bench::new();
        let netboot = || step(Work::Scenario(vec!["run", "netboot"]), Counted::Scenarios);
        bench.scenario_program(&format!("echo \"CI=$CI $*\"; {JUNIT}"));
        let outcome = bench.run(netboot());
        assert_eq!(
            (outcome.failure, outcome.count),
            (None, Count { passed: 7, ..Count::default() })
        );
        let log = fs_err::read_to_string(outcome.log).expect("a log");
        assert!(log.starts_with("CI=true run netboot --evidence /"), "{log}");

        bench.scenario_program(&format!("{JUNIT}; echo no >&2; exit 30"));
        let outcome = bench.run(netboot());
        assert_eq!(outcome.failure.as_deref(), Some("exit status 30"));
        assert_eq!(
            outcome.count,
            Count { passed: 7, failed: 1, skipped: 0 },
            "the harness failed after seven steps"
        );
    }

    #[test]
    fn what_ran_nothing_has_failed() {
        let bench = Bench::new();
        bench.scenario_program("exit 0");
        let outcome = bench.run(step(Work::Scenario(vec![]), Counted::Scenarios));
        assert_eq!(outcome.failure.as_deref(), Some("no test was counted"));
        assert_eq!(outcome.count, Count::FAILURE);
        let outcome = bench.run(step(Work::Scenario(vec![]), Counted::No));
        assert_eq!((outcome.failure, outcome.count), (None, Count::default()));
    }

    #[test]
    fn runs_of_others_are_not_counted() {
        let bench = Bench::new();
        bench.scenario_program(JUNIT);
        let scenario = || step(Work::Scenario(vec!["run", "netboot"]), Counted::Scenarios);
        assert_eq!(bench.run(scenario()).count.passed, 7);
        bench.scenario_program("exit 20");
        assert_eq!(
            bench.run(scenario()).count,
            Count::FAILURE,
            "the evidence of the run before is still there"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_a_failure_with_its_name() {
        let mut lines = Vec::new();
        let ended = run(Cmd::new("no-such-program"), &mut |line| lines.push(line.to_owned()));
        assert!(
            matches!(&ended, Ended::Failed(why) if why.contains("no-such-program")),
            "{ended:?}"
        );
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn the_tail_is_the_end() {
        let text: String = (1..=100).map(|line| format!("line {line}\n")).collect();
        let shown = tail("target/ci/tests.log".into(), &text);
        assert!(
            shown.contains("\n  │ line 61\n")
                && shown.ends_with("│ line 100")
                && !shown.contains("line 60"),
            "{shown}"
        );
    }
}
