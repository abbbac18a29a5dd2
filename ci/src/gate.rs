//! Working through the gate.

use std::{fmt, time::Duration};

use camino::Utf8PathBuf;
use feeder_process::find_program;
use feeder_ui::{Progress, elapsed, line};

use crate::{CiError, Count, Counted, Extent, Step, Tested, Workspace, execute, steps};

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
                Counted::Summaries(_) | Counted::Scenarios => format!(" ({count})"),
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
/// [`CiError`] when there is no verdict: logs cannot be kept, or an interrupt.
pub fn run(workspace: &Workspace, extent: Extent, progress: &Progress) -> Result<Report, CiError> {
    let logs = workspace.target.join("ci");
    fs_err::create_dir_all(&logs)?;
    let tested = if find_program("cargo-nextest").is_some() {
        Tested::WithNextest
    } else {
        Tested::WithCargo
    };
    let outcomes = steps(extent, tested)
        .into_iter()
        .map(|step| execute::run_step(workspace, step, &logs, progress));
    Ok(Report { outcomes: outcomes.collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Runner, Work};

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
}
