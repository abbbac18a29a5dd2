//! Working through the gate.

use std::{
    fmt,
    io::Write,
    time::{Duration, Instant, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, ProcessError, find_program};
use feeder_ui::{Progress, elapsed, line};

use crate::{CiError, Count, Counted, Extent, Step, Tested, Work, Workspace, nested, steps, tidy};

/// How many lines of a failed step's log are shown.
const TAIL: usize = 40;

/// How the gate went.
#[derive(Debug, Clone)]
pub struct Report {
    /// One row per step that was run.
    pub outcomes: Vec<Outcome>,
}

/// How one step went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The step.
    pub step: Step,
    /// Why it failed, in a line; `None` when it passed.
    pub failure: Option<String>,
    /// Its tests.
    pub count: Count,
    /// How long it took.
    pub took: Duration,
    /// Where its output is.
    pub log: Utf8PathBuf,
}

impl Report {
    /// Whether every step passed.
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.failure.is_none())
    }

    /// All tests, and a failure for every step that failed without counting one.
    pub fn count(&self) -> Count {
        self.outcomes.iter().map(|outcome| outcome.count).sum()
    }
}

/// The table, and the line that counts.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Outcome { step, failure, count, took, log } in &self.outcomes {
            let tests = match step.counted {
                Counted::No => String::new(),
                Counted::Summaries(_) | Counted::Scenario(_) => format!(" ({count})"),
            };
            let text = match failure {
                None => format!("passed{tests}"),
                Some(why) => format!("FAILED{tests}: {why}, not proven: {} · {log}", step.proves),
            };
            writeln!(f, "{}", line(step.name, &text, Some(*took)))?;
        }
        let took: Duration = self.outcomes.iter().map(|outcome| outcome.took).sum();
        writeln!(f, "{}", line("all", &format!("in {}", elapsed(took)), None))?;
        writeln!(f, "{}", self.count())
    }
}

/// Runs every step, whatever the others gave, and reports.
///
/// # Errors
/// [`CiError`] when there is no verdict: no workspace, no logs, or an interrupt.
pub fn run(root: &Utf8Path, extent: Extent, progress: &Progress) -> Result<Report, CiError> {
    let workspace = Workspace::locate(root)?;
    let logs = workspace.target.join("ci");
    fs_err::create_dir_all(&logs)?;
    let tested = if find_program("cargo-nextest").is_some() {
        Tested::WithNextest
    } else {
        Tested::WithCargo
    };
    let outcomes =
        steps(extent, tested).into_iter().map(|step| run_step(&workspace, step, &logs, progress));
    Ok(Report { outcomes: outcomes.collect::<Result<_, _>>()? })
}

fn run_step(
    workspace: &Workspace,
    step: Step,
    logs: &Utf8Path,
    progress: &Progress,
) -> Result<Outcome, CiError> {
    let (began, began_at) = (Instant::now(), SystemTime::now());
    let log = logs.join(step.name).with_extension("log");
    let mut file = fs_err::File::create(&log)?;
    let task = progress.task(step.name);
    let mut lost = None;
    let mut keep = |text: &str| {
        task.say(text.trim());
        if let Err(error) = writeln!(file, "{text}") {
            lost.get_or_insert(error);
        }
    };
    let failure = match &step.work {
        Work::Tidy => tidied(&workspace.root, &mut keep)?,
        Work::Cargo(args) => ran(nested(&workspace.root).args(args.iter().copied()), &mut keep),
        Work::Built(program, args) => {
            let program = workspace.target.join("debug").join(program);
            ran(
                Cmd::new(program.into_std_path_buf())
                    .dir(&workspace.root)
                    .args(args.iter().copied()),
                &mut keep,
            )
        }
    };
    let failure = match failure {
        Err(Stopped) => {
            task.failed("interrupted");
            return Err(CiError::Interrupted { step: step.name, log });
        }
        Ok(failure) => failure,
    };
    if let Some(error) = lost {
        return Err(error.into());
    }
    let text = fs_err::read_to_string(&log).unwrap_or_default();
    let count = counted(&workspace.target, &step, &text, failure.is_some(), began_at);
    match &failure {
        None => task.done("passed"),
        Some(why) => {
            task.failed(why);
            progress.note(format!("  the end of {log}:"));
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL)..]
                .iter()
                .for_each(|line| progress.note(format!("  │ {line}")));
        }
    }
    Ok(Outcome { step, failure, count, took: began.elapsed(), log })
}

/// The user wants the gate to stop.
struct Stopped;

/// Runs a program; gives why it failed, if it did.
fn ran(cmd: Cmd, keep: &mut (dyn FnMut(&str) + Send)) -> Result<Option<String>, Stopped> {
    // The programs know from CI that nobody watches: no colours, no questions, no snapshots rewritten.
    let cmd = cmd
        .env("CI", "true")
        .env("CARGO_TERM_COLOR", "never")
        .env("NO_COLOR", "1")
        .env("INSTA_UPDATE", "no");
    match cmd.stream(|_, line| keep(line)) {
        Ok(_) => Ok(None),
        Err(ProcessError::Interrupted { .. }) => Err(Stopped),
        Err(ProcessError::Failed { status, .. }) => Ok(Some(status.to_string())),
        Err(error) => {
            keep(&error.to_string());
            Ok(Some(error.to_string()))
        }
    }
}

fn tidied(
    root: &Utf8Path,
    keep: &mut dyn FnMut(&str),
) -> Result<Result<Option<String>, Stopped>, CiError> {
    let findings = tidy::check(root)?;
    findings.iter().for_each(|finding| keep(&finding.to_string()));
    let failure =
        if findings.is_empty() { None } else { Some(feeder_ui::plural(findings.len(), "finding")) };
    Ok(Ok(failure))
}

fn counted(target: &Utf8Path, step: &Step, log: &str, failed: bool, began: SystemTime) -> Count {
    let count = match step.counted {
        Counted::No => None,
        Counted::Summaries(runner) => Count::from_summaries(runner, log),
        Counted::Scenario(name) => {
            let junit = target.join("scenario").join(name).join("latest/junit.xml");
            // A file that is older than the step belongs to another run.
            let fresh = fs_err::metadata(&junit)
                .and_then(|meta| meta.modified())
                .is_ok_and(|at| at >= began);
            let read = fresh.then(|| fs_err::read_to_string(&junit).ok()).flatten();
            let whole =
                if failed { Count::FAILURE } else { Count { passed: 1, ..Count::default() } };
            Some(read.and_then(|xml| Count::from_junit(&xml)).unwrap_or(whole))
        }
    };
    // A step that failed without a failed test (it did not compile, say) is a failure all the same.
    match count.unwrap_or_default() {
        count if failed && count.failed == 0 => count + Count::FAILURE,
        count => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Runner;

    fn step(counted: Counted) -> Step {
        Step { name: "tests", proves: "tests pass", work: Work::Tidy, counted }
    }

    fn outcome(
        name: &'static str,
        failure: Option<&str>,
        counted: Counted,
        count: Count,
    ) -> Outcome {
        Outcome {
            step: Step { name, ..step(counted) },
            failure: failure.map(str::to_owned),
            count,
            took: Duration::from_secs(61),
            log: format!("target/ci/{name}.log").into(),
        }
    }

    #[test]
    fn a_failed_step_is_a_failure_even_without_a_failed_test() {
        let nowhere = Utf8Path::new("nowhere");
        let now = SystemTime::now();
        let tests = step(Counted::Summaries(Runner::CargoTest));
        let passed = "test result: ok. 5 passed; 0 failed; 0 ignored;";
        assert_eq!(counted(nowhere, &step(Counted::No), "", false, now), Count::default());
        assert_eq!(counted(nowhere, &step(Counted::No), "", true, now), Count::FAILURE);
        assert_eq!(counted(nowhere, &tests, "error: could not compile", true, now), Count::FAILURE);
        assert_eq!(
            counted(nowhere, &tests, passed, true, now),
            Count { passed: 5, failed: 1, skipped: 0 }
        );
        assert_eq!(
            counted(nowhere, &tests, passed, false, now),
            Count { passed: 5, failed: 0, skipped: 0 }
        );
    }

    #[test]
    fn a_scenario_is_counted_from_its_own_run_only() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let target = Utf8Path::from_path(dir.path()).expect("a UTF-8 path");
        let latest = target.join("scenario/netboot/latest");
        fs_err::create_dir_all(&latest).expect("a directory");
        let xml = "<testsuites name=\"netboot\" tests=\"7\" failures=\"0\" errors=\"0\">";
        fs_err::write(latest.join("junit.xml"), xml).expect("a file");
        let scenario = step(Counted::Scenario("netboot"));
        let hour = Duration::from_secs(3600);
        assert_eq!(counted(target, &scenario, "", false, SystemTime::now() - hour).passed, 7);
        assert_eq!(counted(target, &scenario, "", false, SystemTime::now() + hour).passed, 1);
        assert_eq!(counted(target, &scenario, "", true, SystemTime::now() + hour), Count::FAILURE);
    }

    #[test]
    fn the_report_ends_with_the_count() {
        let tests = Counted::Summaries(Runner::Nextest);
        let green = outcome("tests", None, tests, Count { passed: 7, ..Count::default() });
        let mut report = Report {
            outcomes: vec![outcome("format", None, Counted::No, Count::default()), green],
        };
        assert!(report.passed());
        assert_eq!(report.to_string().lines().last(), Some("7 passed, 0 failed"));
        report.outcomes.push(outcome(
            "clippy",
            Some("exit status 101"),
            Counted::No,
            Count::FAILURE,
        ));
        assert!(!report.passed());
        let text = report.to_string();
        assert!(
            text.contains("FAILED: exit status 101, not proven: tests pass · target/ci/clippy.log"),
            "{text}"
        );
        assert!(text.ends_with("\n7 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn a_program_that_fails_is_told_by_its_status() {
        let mut lines = Vec::new();
        let failed =
            ran(Cmd::new("sh").args(["-c", "echo $CI; echo no >&2; exit 3"]), &mut |line| {
                lines.push(line.to_owned())
            });
        assert_eq!(failed.ok().flatten().as_deref(), Some("exit status 3"));
        lines.sort();
        assert_eq!(lines, ["no", "true"]);
        let absent =
            ran(Cmd::new("no-such-program"), &mut |_| {}).ok().flatten().expect("a failure");
        assert!(absent.contains("no-such-program"), "{absent}");
    }
}
