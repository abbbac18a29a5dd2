//! What goes to stdout.

use camino::Utf8PathBuf;
use feeder_scenario::{
    Ending, Explanation, Failure, Freed, Manifest, Mismatch, Mutated, Noticed, Outcome, Ran,
    Replayed, Totals, shown,
    snapshot::{ShelfFreed, Why},
};
use feeder_ui::plural;
use serde::Serialize;

use super::{Format, mutate::Tally, soak::Soaked};

/// `scenario run --format json`.
#[derive(Serialize)]
struct Verdicts<'a> {
    /// Scenarios that passed.
    passed: usize,
    /// Scenarios that did not.
    failed: usize,
    /// The steps of all of them.
    steps: Totals,
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    scenario: &'a str,
    machine: &'a str,
    verdict: Ending,
    exit: u8,
    steps: Totals,
    wall_s: f64,
    guest_s: f64,
    report: Utf8PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
}

pub(super) fn verdicts_json(runs: &[Ran], machine: &str) -> String {
    let passed = passed(runs);
    let runs_json = runs.iter().map(|ran| run_json(ran, machine));
    json(&Verdicts {
        passed,
        failed: runs.len() - passed,
        steps: steps(runs),
        runs: runs_json.collect(),
    })
}

fn run_json<'a>(Ran { report, dir }: &'a Ran, machine: &'a str) -> Run<'a> {
    Run {
        scenario: &report.scenario,
        machine,
        verdict: report.verdict,
        exit: report.exit,
        steps: report.totals,
        wall_s: report.took.wall.as_secs_f64(),
        guest_s: report.took.guest.as_secs_f64(),
        report: shown(dir, "report.json"),
        failure: report.failure.as_ref(),
    }
}

/// `scenario replay --format json`.
pub(super) fn replayed_json(
    ran: &Ran,
    manifest: &Manifest,
    replayed: &Replayed,
    mismatches: &[Mismatch],
) -> String {
    #[derive(Serialize)]
    struct Repetition<'a> {
        #[serde(flatten)]
        replayed: &'a Replayed,
        then: &'a Outcome,
        mismatches: &'a [Mismatch],
        run: Run<'a>,
    }
    let run = run_json(ran, &manifest.machine);
    json(&Repetition { replayed, then: &manifest.failure, mismatches, run })
}

/// One line about several runs.
pub(super) fn summary(runs: &[Ran]) -> String {
    let (passed, steps) = (passed(runs), steps(runs));
    format!(
        "{}: {passed} passed, {} failed; {}: {} passed, {} failed\n",
        plural(runs.len(), "scenario"),
        runs.len() - passed,
        plural(steps.steps, "step"),
        steps.passed,
        steps.steps - steps.passed,
    )
}

pub(super) fn list<'a>(table: impl Iterator<Item = (&'a str, &'a str)>, format: Format) -> String {
    #[derive(Serialize)]
    struct Entry<'a> {
        name: &'a str,
        about: &'a str,
    }
    match format {
        Format::Human => table.map(|(name, about)| format!("{name:<20} {about}\n")).collect(),
        Format::Json => json(&table.map(|(name, about)| Entry { name, about }).collect::<Vec<_>>()),
    }
}

/// `scenario mutate --list`.
pub(super) fn mutations<'a>(
    table: impl Iterator<Item = (&'a str, &'a str)>,
    format: Format,
) -> String {
    #[derive(Serialize)]
    struct Entry<'a> {
        name: &'a str,
        before: &'a str,
    }
    match format {
        Format::Human => {
            table.map(|(name, before)| format!("{name:<52} before \"{before}\"\n")).collect()
        }
        Format::Json => {
            json(&table.map(|(name, before)| Entry { name, before }).collect::<Vec<_>>())
        }
    }
}

/// One mutation, with what its run names first.
pub(super) fn mutated(number: usize, of: usize, name: &str, mutated: &Mutated) -> String {
    let Mutated { ran, outcome } = mutated;
    let took = feeder_ui::elapsed(ran.report.took.wall);
    let place = format!("{number}/{of}");
    let mut text = format!("{place:>7}  {:<9} {name:<52} {took:>9}\n", outcome.name());
    let first = ran.report.explanation.as_ref().and_then(|why| why.first.as_ref());
    if let Some(first) = first {
        let node = first.node.as_deref().unwrap_or("no node");
        text.push_str(&format!("                   on {node}\n"));
        for line in first.to_string().lines() {
            text.push_str(&format!("                   {line}\n"));
        }
    }
    if *outcome != Noticed::Named {
        let said = ran.report.failure.as_ref().map(|failure| failure.message.as_str());
        text.push_str(&format!("                   failure  {}\n", said.unwrap_or("none")));
        text.push_str(&format!("                   report   {}\n", ran.dir.join("report.txt")));
    }
    text
}

/// How many mutations were noticed, and how many named.
pub(super) fn score(made: &[(&str, Mutated)], tally: &Tally, format: Format) -> String {
    #[derive(Serialize)]
    struct Score<'a> {
        #[serde(flatten)]
        tally: &'a Tally,
        runs: Vec<Entry<'a>>,
    }
    #[derive(Serialize)]
    struct Entry<'a> {
        mutation: &'a str,
        outcome: Noticed,
        wall_s: f64,
        guest_s: f64,
        report: Utf8PathBuf,
        #[serde(skip_serializing_if = "Option::is_none")]
        explanation: Option<&'a Explanation>,
    }
    let runs = made.iter().map(|(name, Mutated { ran, outcome })| Entry {
        mutation: name,
        outcome: *outcome,
        wall_s: ran.report.took.wall.as_secs_f64(),
        guest_s: ran.report.took.guest.as_secs_f64(),
        report: ran.dir.join("report.json"),
        explanation: ran.report.explanation.as_ref(),
    });
    match format {
        Format::Json => json(&Score { tally, runs: runs.collect() }),
        Format::Human => format!(
            "{}: {} named by the first line, {} only noticed, {} survived, {} unknown\n",
            plural(tally.mutations, "mutation"),
            tally.named,
            tally.noticed,
            tally.survived,
            tally.unknown,
        ),
    }
}

/// `scenario soak`.
pub(super) fn soaked(soaked: &Soaked, format: Format) -> String {
    match format {
        Format::Json => json(soaked),
        Format::Human => {
            let mut text: String =
                soaked.left.iter().map(|what| format!("left {what}\n")).collect();
            text.push_str(&format!(
                "{}: {} passed, {} failed, {} ended from outside; {} left behind\n",
                plural(soaked.passed + soaked.failed + soaked.ended, "run"),
                soaked.passed,
                soaked.failed,
                soaked.ended,
                plural(soaked.left.len(), "thing"),
            ));
            text
        }
    }
}

/// A scenario that did not run, because it has passed with the same inputs.
pub(super) fn proven(ran: &Ran) -> String {
    let Ran { report, dir } = ran;
    format!(
        "{} has passed, and nothing has changed since: {} steps in {}, at {}\nreport   {}\nhint: run it all the same with --again, or from power-on with --cold\n",
        report.scenario,
        report.totals.passed,
        feeder_ui::elapsed(report.took.wall + report.reused.wall),
        report.started,
        shown(dir, "report.txt"),
    )
}

pub(super) fn why(why: &Why, format: Format) -> String {
    match format {
        Format::Human => format!("{why}\n"),
        Format::Json => json(why),
    }
}

pub(super) fn freed(freed: Freed, states: &ShelfFreed, format: Format) -> String {
    #[derive(Serialize)]
    struct All<'a> {
        #[serde(flatten)]
        runs: Freed,
        states: &'a ShelfFreed,
    }
    match format {
        Format::Json => json(&All { runs: freed, states }),
        Format::Human => format!(
            "removed the evidence of {}, the sockets of {}, the scratch files of {}; closed {}; removed {} of kept states, {} stay\n",
            plural(freed.runs, "run"),
            plural(freed.sockets, "run"),
            plural(freed.scratch, "run"),
            plural(freed.connections, "connection"),
            feeder_ui::size(states.bytes),
            feeder_ui::size(states.left),
        ),
    }
}

fn passed(runs: &[Ran]) -> usize {
    runs.iter().filter(|ran| ran.report.verdict == Ending::Passed).count()
}

fn steps(runs: &[Ran]) -> Totals {
    runs.iter().fold(Totals::default(), |all, ran| all + ran.report.totals)
}

pub(super) fn json(value: &impl Serialize) -> String {
    // These are maps with text keys, which always can be written.
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
