//! What a run comes to. Made from its records alone, so that an old `events.jsonl` gives its report again.

mod html;
mod junit;
mod phases;
#[cfg(test)]
pub(crate) mod samples;
mod text;
mod trace;

use std::{collections::BTreeMap, time::Duration};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::{
    Ending, Event, Explanation, Failure, Reading, Record, RunDir, RunDirError, clock::seconds,
};

/// The form of `report.json`. Grows when a reader of the old form would misread the new one.
const SCHEMA: u32 = 1;

/// `report.json`: how a run ended, and where its time went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The form of this report.
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// How it ended.
    pub verdict: Ending,
    /// The exit code that stands for it.
    pub exit: u8,
    /// In what a run that failed first differs from green ones. Not made from its own records alone, as all else is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When it began, as RFC 3339 in UTC.
    pub started: String,
    /// How long it took by both clocks, without the steps that it took over from earlier runs.
    pub took: Reading,
    /// How long the steps that it took over had taken in their own runs.
    #[serde(default)]
    pub reused: Reading,
    /// CPU time of the LAN, the firmware's twin and the story together. Zero: it was not measured.
    #[serde(rename = "own_s", default, with = "seconds")]
    pub own: Duration,
    /// Its steps, counted.
    pub totals: Totals,
    /// Its steps in the order in which they began.
    pub steps: Vec<StepReport>,
    /// What did not fall into any step: building the stage, first boots, tearing down.
    pub outside_steps: Reading,
    /// The machines, and what each spent its time with.
    pub nodes: Vec<NodeReport>,
    /// The waits, the longest first.
    pub waits: Vec<WaitReport>,
    /// What there is to look at.
    pub evidence: Vec<Evidence>,
    /// What it ran with.
    pub versions: BTreeMap<String, String>,
}

/// Steps by their ending. A failure outside of all steps counts as one more that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// All of them.
    pub steps: usize,
    /// Those that passed.
    pub passed: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that were interrupted.
    pub interrupted: usize,
}

/// A step and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// `3`, or `3.1` inside step 3.
    pub number: String,
    /// Its sentence.
    pub name: String,
    /// How it ended.
    pub verdict: Ending,
    /// What came out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When it began.
    pub at: Reading,
    /// How long it took.
    pub took: Reading,
    /// It was taken over from an earlier run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
}

/// A machine and what it spent its time with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// Its vCPU time in the whole run.
    #[serde(rename = "guest_s", with = "seconds")]
    pub guest: Duration,
    /// From point to point of its boots, in order.
    pub phases: Vec<Phase>,
}

/// The way of a machine to a point of its boot, or its being up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The point that it leads to; `up` for the time after the last.
    pub name: String,
    /// When it began, by the wall clock.
    #[serde(rename = "at_s", with = "seconds")]
    pub at: Duration,
    /// How long it took; the guest's clock is this machine's own.
    pub took: Reading,
}

/// Something that was waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitReport {
    /// On which machine.
    pub node: String,
    /// What for.
    pub awaited: String,
    /// Whether it came.
    pub reached: bool,
    /// How long it took; the guests' clock is that of the machines that were watched.
    pub took: Reading,
}

/// A file to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What it is, in a word: `capture`.
    pub what: String,
    /// Where it is, from the run's directory.
    pub file: Utf8PathBuf,
    /// More about it: "18,204 frames".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl std::ops::Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            interrupted: self.interrupted + other.interrupted,
        }
    }
}

impl Report {
    /// What the records of a run come to. A run whose records end early was killed, and counts as interrupted; so do the
    /// steps that it had open.
    pub fn from_records(records: &[Record]) -> Self {
        let end = records.last().map_or_else(Reading::default, |record| record.at);
        let mut report = Self {
            schema: SCHEMA,
            scenario: String::new(),
            verdict: Ending::Interrupted,
            exit: feeder_ui::Exit::Interrupted.code(),
            explanation: None,
            failure: None,
            started: String::new(),
            took: end,
            reused: Reading::default(),
            own: Duration::ZERO,
            totals: Totals::default(),
            steps: steps(records, end),
            outside_steps: end,
            nodes: phases::nodes(records, end),
            waits: waits(records),
            evidence: Vec::new(),
            versions: BTreeMap::new(),
        };
        for record in records {
            match &record.event {
                Event::RunStarted { scenario, started, .. } => {
                    report.scenario.clone_from(scenario);
                    report.started.clone_from(started);
                }
                Event::OwnWork { cpu } => report.own = *cpu,
                Event::RunFinished { ending, failure, evidence, versions } => {
                    report.verdict = *ending;
                    report.failure.clone_from(failure);
                    report.evidence.clone_from(evidence);
                    report.versions.clone_from(versions);
                    let exit = failure.as_ref().map_or(feeder_ui::Exit::Ok, |f| f.class.exit());
                    report.exit = exit.code();
                }
                _ => {}
            }
        }
        for step in report.steps.iter().filter(|step| !step.number.contains('.')) {
            report.outside_steps = report.outside_steps.since(step.took);
            if step.reused {
                report.reused = report.reused + step.took;
            }
        }
        report.took = end.since(report.reused);
        report.totals = report.count();
        report
    }

    /// Writes `report.html`, `report.json`, `report.txt`, `trace.json` and `junit.xml` into a run's directory. The page shows
    /// the consoles that lie there, too.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(&self, dir: &RunDir, records: &[Record]) -> Result<(), RunDirError> {
        let json = serde_json::to_string_pretty(self).map_err(std::io::Error::from);
        let junit = self.junit().map_err(std::io::Error::other);
        let trace = Ok(self.trace(records).to_string());
        let console = |node: &str| {
            let log = fs_err::read(dir.path().join(node).join("console.timed.log")).ok()?;
            Some(String::from_utf8_lossy(&log).into_owned())
        };
        let html = self.html(records, console).map_err(std::io::Error::other);
        for (name, text) in [
            ("junit.xml", junit),
            ("trace.json", trace),
            ("report.txt", Ok(self.text())),
            ("report.json", json),
            ("report.html", html),
        ] {
            let path = dir.file(name);
            text.and_then(|text| fs_err::write(&path, text + "\n"))
                .map_err(|source| RunDirError::Io { doing: "write", path, source })?;
        }
        Ok(())
    }

    /// The failure, when it came outside of all steps.
    fn loose_failure(&self) -> Option<&Failure> {
        self.failure.as_ref().filter(|failure| failure.step.is_none())
    }

    fn count(&self) -> Totals {
        let loose = self.loose_failure().map(|failure| Ending::of::<()>(&Err(failure.clone())));
        let mut totals = Totals::default();
        for verdict in self.steps.iter().map(|step| step.verdict).chain(loose) {
            totals.steps += 1;
            match verdict {
                Ending::Passed => totals.passed += 1,
                Ending::Failed => totals.failed += 1,
                Ending::Interrupted => totals.interrupted += 1,
            }
        }
        totals
    }
}

fn steps(records: &[Record], end: Reading) -> Vec<StepReport> {
    let mut steps: Vec<StepReport> = Vec::new();
    for record in records {
        match &record.event {
            Event::StepStarted { number, name } => steps.push(StepReport {
                number: number.clone(),
                name: name.clone(),
                verdict: Ending::Interrupted,
                summary: None,
                at: record.at,
                took: end.since(record.at),
                reused: record.reused,
            }),
            Event::StepFinished { number, ending, summary, took, .. } => {
                if let Some(step) = steps.iter_mut().find(|step| step.number == *number) {
                    step.verdict = *ending;
                    step.summary.clone_from(summary);
                    step.took = *took;
                }
            }
            _ => {}
        }
    }
    steps
}

fn waits(records: &[Record]) -> Vec<WaitReport> {
    let mut waits: Vec<WaitReport> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::WaitEnded { awaited, reached, took, .. } => Some(WaitReport {
                node: record.node.clone()?,
                awaited: awaited.clone(),
                reached: *reached,
                took: *took,
            }),
            _ => None,
        })
        .collect();
    waits.sort_by_key(|wait| std::cmp::Reverse(wait.took.wall));
    waits
}

#[cfg(test)]
mod tests;
