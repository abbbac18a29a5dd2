//! Why a run failed: the first thing in which it differs from a run that passed.
//!
//! Records become lines without times and other chance. Lines are compared per step and node, so that the order between nodes
//! does not count. Of what differs, that is named first which says outright that something is wrong, and only then what did
//! not come: a refused mount explains a missing login, not the other way round.

mod align;
mod blame;
mod greens;
mod line;
mod noise;
mod placed;
mod recorded;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

pub(crate) use self::blame::corrected;
pub use self::recorded::{Explained, Recorded};
use self::{
    align::{Change, changes},
    line::{Weight, steady},
    noise::Greens,
    placed::{Group, groups},
};
use crate::{Event, Failure, Firmware, Reading, Record};

/// Why a run failed, as far as green runs of the same scenario tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// When the newest green run began that it was compared with, as RFC 3339 in UTC. `None`: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub green: Option<String>,
    /// With how many green runs it was compared. What differs among them is not taken for a difference.
    pub greens: usize,
    /// The first difference. `None`: there is none that explains anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Difference>,
}

/// Something in which a run differs from a green one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The machine that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The step's sentence; `None` before and between steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// How it differs.
    pub kind: Kind,
    /// What there was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
    /// What there is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// What this machine did last in that step, when something is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// When, in this run; of something missing, when its step's last event came.
    pub at: Reading,
}

/// How something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It was there then.
    Missing,
    /// It was not there then.
    Extra,
    /// It was otherwise then.
    Different,
}

impl Kind {
    /// The name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Different => "different",
        }
    }
}

/// Compares a run that failed with up to three newest green ones of its scenario, in the directory in which their evidence
/// lies.
pub fn explain(now: &[Record], runs: &Utf8Path) -> Explanation {
    let found = greens::among(runs);
    let records: Vec<&[Record]> = found.iter().map(|green| green.records.as_slice()).collect();
    Explanation {
        green: found.first().map(|green| green.started.clone()),
        greens: found.len(),
        first: first_difference(now, &records),
    }
}

/// The first thing that explains why a run is not like the green ones, of which the newest comes first.
pub fn first_difference(now: &[Record], greens: &[&[Record]]) -> Option<Difference> {
    if greens.is_empty() {
        return None;
    }
    let greens = Greens(greens.iter().map(|green| groups(green)).collect());
    let mut run = groups(now);
    let failure = add_failure(&mut run, now);
    let blamed = failure.and_then(|failure| failure.node.as_deref());
    let mut best: Option<(Rank, Difference)> = None;
    for (index, group) in run.iter().enumerate() {
        // Taken from a snapshot: nothing was done, nothing can be missing.
        let resumed = group.lines.is_empty() && group.passed;
        let Some(reference) = greens.reference(group).filter(|_| !resumed) else {
            continue;
        };
        for change in changes(reference, group) {
            let Some(weight) = change.weight().filter(|_| !greens.know(group, &change)) else {
                continue;
            };
            let rank = Rank::of(weight, index, group, &change, blamed);
            if best.as_ref().is_none_or(|(known, _)| rank < *known) {
                best = Some((rank, Difference::of(group, &change)));
            }
        }
    }
    best.map(|(_, difference)| difference)
}

/// What comes first, compared from top to bottom.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    weight: Weight,
    group: usize,
    /// Something missing from another machine than the one that failed: that machine may just not have come as far.
    elsewhere: bool,
    seq: u64,
    /// Of things that are missing at the end: their place in the green run.
    then: u64,
}

impl Rank {
    fn of(
        weight: Weight,
        index: usize,
        group: &Group,
        change: &Change<'_>,
        blamed: Option<&str>,
    ) -> Self {
        let missing = change.now.is_none();
        // In a step that passed, it was not needed, or its line was lost.
        let unit = weight == Weight::Unit && missing && !group.passed;
        Self {
            weight: if unit { Weight::Progress } else { weight },
            group: index,
            elsewhere: missing && blamed.is_some_and(|node| node != change.node()),
            seq: change.seq,
            then: change.then.map_or(0, |then| then.seq),
        }
    }
}

/// Puts the run's failure among the lines of its step. A failure that only says that something did not come, or that the
/// firmware gave up, explains less than what is missing.
fn add_failure<'a>(run: &mut [Group], now: &'a [Record]) -> Option<&'a Failure> {
    let (record, failure) = now.iter().rev().find_map(|record| match &record.event {
        Event::RunFinished { failure: Some(failure), .. } => Some((record, failure)),
        _ => None,
    })?;
    let step = failure.step.as_ref().map(|step| step.name.as_str()).unwrap_or_default();
    let inside = failure.step.is_some();
    let at =
        run.iter().rposition(|group| group.inside == inside && (!inside || group.step == step))?;
    let gave_up = |r: &Record| {
        matches!(r.event, Event::Firmware(Firmware::GaveUp { .. })) && r.node == failure.node
    };
    let absence = failure.message.contains(": it did not come") || now.iter().any(gave_up);
    let line = line::Line {
        about: "the run's failure".into(),
        text: steady(&failure.message),
        extra: if absence { Weight::Conclusion } else { Weight::Says },
        missing: None,
    };
    let node = failure.node.clone().unwrap_or_default();
    run[at].passed = false;
    run[at].lines.push(placed::Placed { line, node, seq: record.seq, at: record.at });
    Some(failure)
}

impl Difference {
    fn of(group: &Group, change: &Change<'_>) -> Self {
        let node = change.node();
        let kind = match (change.then, change.now) {
            (Some(_), Some(_)) => Kind::Different,
            (None, Some(_)) => Kind::Extra,
            _ => Kind::Missing,
        };
        // Giving up came after it.
        let told = || group.lines.iter().filter(|placed| placed.line.extra != Weight::Conclusion);
        let last = told().rfind(|placed| placed.node == node && kind == Kind::Missing);
        let text = |placed: &placed::Placed| placed.line.text.clone();
        let end = group.lines.last().map(|placed| placed.at);
        Self {
            node: Some(node.to_owned()).filter(|node| !node.is_empty()),
            step: Some(group.step.clone()).filter(|step| !step.is_empty()),
            kind,
            then: change.then.map(text),
            now: change.now.map(text),
            last: last.map(text),
            at: change.now.map(|placed| placed.at).or(end).unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Difference {
    /// Two lines: then, now.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let then = self.then.as_deref().unwrap_or("(nothing)");
        let now = match (&self.now, &self.last) {
            (Some(now), _) => now.clone(),
            (None, Some(last)) => format!("(nothing; the last was: {last})"),
            (None, None) => "(nothing)".to_owned(),
        };
        write!(f, "then   {then}\nnow    {now}")
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(green) = &self.green else {
            return f.write_str("there is no green run of this scenario to compare with");
        };
        let green = green
            .parse::<jiff::Timestamp>()
            .map_or_else(|_| green.clone(), |at| at.strftime("%F %H:%M UTC").to_string());
        let Some(first) = &self.first else {
            return write!(
                f,
                "nothing differs from the last green run ({green}) that would explain it"
            );
        };
        write!(f, "first difference from the last green run ({green})")?;
        first.node.iter().try_for_each(|node| write!(f, ", on {node}"))?;
        first.step.iter().try_for_each(|step| write!(f, ", in \"{step}\""))?;
        f.write_str(":")?;
        first.to_string().lines().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
