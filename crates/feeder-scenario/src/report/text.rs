//! `report.txt`, and the last lines that a run prints.

use std::fmt::{self, Write};

use camino::Utf8Path;
use feeder_ui::elapsed;

use super::{NodeReport, Report};
use crate::{Reading, shown};

/// Waits in the report: those that decide how long a run takes.
const LONGEST_WAITS: usize = 10;
/// The column in which the clocks begin.
const WIDTH: usize = 76;

impl Report {
    /// How the run ended, in one line.
    pub fn headline(&self) -> String {
        let Self { scenario, verdict, .. } = self;
        let Some(failure) = &self.failure else {
            let (wall, guest) = (elapsed(self.took.wall), elapsed(self.took.guest));
            let reused = self.steps.iter().filter(|step| step.reused).count();
            let reused = if reused == 0 {
                String::new()
            } else {
                format!("; {} of {} steps from earlier runs", reused, self.steps.len())
            };
            return format!("{scenario} {verdict} in {wall} (guest work {guest} of vCPU{reused})");
        };
        let place = match (&failure.step, self.steps.last()) {
            (Some(step), _) => format!("at {step}"),
            (None, Some(last)) => format!("after step {}, outside of any step", last.number),
            (None, None) => "before its first step".to_owned(),
        };
        let (class, exit) = (failure.class, self.exit);
        format!("{scenario} {verdict} {place}     class: {class}   exit code {exit}")
    }

    /// The last lines of a run: how it ended, why, and where in the run's directory to look.
    pub fn conclusion(&self, dir: &Utf8Path) -> String {
        self.concluded(|file| shown(dir, file).into_string())
    }

    /// The same, with the files of evidence as `shown` puts them.
    pub(super) fn concluded(&self, shown: impl Fn(&str) -> String) -> String {
        let mut text = self.headline() + "\n";
        if let Some(explanation) = &self.explanation {
            text.push_str(&format!("  {}\n", explanation.to_string().replace('\n', "\n  ")));
        }
        if let Some(failure) = &self.failure {
            for line in std::iter::once(&failure.message).chain(&failure.details) {
                text.push_str(&format!("  {}\n", line.replace('\n', "\n  ")));
            }
            text.extend(failure.hint.iter().map(|hint| format!("hint: {hint}\n")));
        }
        for evidence in &self.evidence {
            let note = evidence.note.as_ref().map(|note| format!("   ({note})"));
            let file = shown(evidence.file.as_str());
            text.push_str(&format!("{:<8} {file}{}\n", evidence.what, note.unwrap_or_default()));
        }
        text
    }

    /// `report.txt`.
    pub fn text(&self) -> String {
        let mut text = self.concluded(str::to_owned);
        // Writing to a string does not fail.
        let _infallible = self.tables(&mut text);
        text.truncate(text.trim_end().len());
        text
    }

    fn tables(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "\n{:<WIDTH$}{:>12}{:>12}", "steps", "wall", "guest work")?;
        for step in &self.steps {
            let summary = step.summary.as_deref().unwrap_or_default();
            let summary =
                if step.reused { format!("{summary} (reused)") } else { summary.to_owned() };
            let head = format!("{:<5} {:<11} {}", step.number, step.verdict, step.name);
            row(text, &format!("{head:<57} {summary}"), step.took)?;
        }
        row(text, "outside of the steps", self.outside_steps)?;
        if self.reused != Reading::default() {
            row(text, "of that reused from earlier runs", self.reused)?;
        }
        row(text, "in all", self.took + self.reused)?;
        self.own_work(text)?;
        for NodeReport { name, guest, phases } in &self.nodes {
            writeln!(text, "\n{name}: {} of vCPU time", elapsed(*guest))?;
            for phase in phases {
                let at = format!("at {}", elapsed(phase.at));
                row(text, &format!("{at:>15}  ▸ {}", phase.name), phase.took)?;
            }
        }
        if !self.waits.is_empty() {
            writeln!(text, "\nlongest waits")?;
        }
        for wait in self.waits.iter().take(LONGEST_WAITS) {
            let came = if wait.reached { "" } else { " (did not come)" };
            row(text, &format!("{}: {}{came}", wait.node, wait.awaited), wait.took)?;
        }
        if !self.versions.is_empty() {
            writeln!(text, "\nversions")?;
        }
        for (of, version) in &self.versions {
            writeln!(text, "  {of:<15} {version}")?;
        }
        Ok(())
    }
}

impl Report {
    /// The CPU time that went into the LAN and the harness, against that of the machines in the same time.
    fn own_work(&self, text: &mut String) -> fmt::Result {
        let all = (self.own + self.took.guest).as_secs_f64();
        if self.own.is_zero() || all == 0.0 {
            return Ok(());
        }
        let share = 100.0 * self.own.as_secs_f64() / all;
        let label = "CPU time of LAN, twin and harness (without ssh and other programs)";
        let own = format!("{}, {share:.1} %", elapsed(self.own));
        writeln!(text, "  {label:<WIDTH$}{own:>22}")
    }
}

/// A label and both clocks, flush right.
fn row(text: &mut String, label: &str, took: Reading) -> fmt::Result {
    let (wall, guest) = (elapsed(took.wall), elapsed(took.guest));
    let room = WIDTH - 2;
    writeln!(text, "  {label:<room$}{wall:>12}{guest:>12}")
}
