//! A failed run as one file, with which another machine plays it again.

mod bundle;

use std::collections::BTreeMap;

use feeder_ui::{Exit, Expected};
use serde::{Deserialize, Serialize};

pub(crate) use self::bundle::{FILE, cargo_lock, write};
use crate::{Class, Ending, Failure, Repeats, Report, StageOptions, StepRef, Story, Verdict};

/// The form of `manifest.json`. Grows when a reader of the old form would misread the new one.
const SCHEMA: u32 = 1;
/// The message of a run that was not played because it would not be a repetition.
const DIFFERS: &str = "what this run would be made of differs from the run that it is to repeat";

/// `manifest.json`, the first file of a bundle: what a run was made of, and how it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this file.
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// When it began, as RFC 3339 in UTC.
    pub started: String,
    /// What the machines were made of.
    pub machine: String,
    /// What its chances were made of.
    pub seed: u64,
    /// Programs, images and `Cargo.lock`, and their versions or digests.
    pub versions: BTreeMap<String, String>,
    /// How it failed.
    pub failure: Outcome,
}

/// How a run failed, in what two runs can be compared by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whose fault it is.
    pub class: Class,
    /// The innermost step that was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepRef>,
    /// The first line of the message.
    pub line: String,
}

impl Outcome {
    fn of(failure: &Failure) -> Self {
        Self {
            class: failure.class,
            step: failure.step.as_deref().cloned(),
            line: failure.message.lines().next().unwrap_or_default().to_owned(),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "class {}", self.class)?;
        if let Some(step) = &self.step {
            write!(f, " at {step}")?;
        }
        write!(f, ": {}", self.line)
    }
}

/// A program or an image that is not the same in two runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Which.
    pub of: String,
    /// What the bundle's run had.
    pub theirs: String,
    /// What this checkout and machine have; `None` when they have nothing of the kind.
    pub ours: Option<String>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { of, theirs, ours } = self;
        let ours = ours.as_deref().unwrap_or("nothing");
        write!(f, "{of}: {theirs} then, {ours} here")
    }
}

/// What differs between what a bundle's run was made of and what this one is.
pub fn mismatches(
    theirs: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
) -> Vec<Mismatch> {
    theirs
        .iter()
        .filter(|(of, version)| ours.get(*of) != Some(version))
        .map(|(of, version)| Mismatch {
            of: of.clone(),
            theirs: version.clone(),
            ours: ours.get(of).cloned(),
        })
        .collect()
}

/// Whether a repetition failed as the run that it repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "replayed", rename_all = "snake_case")]
pub enum Replayed {
    /// With the same class, at the same step, with the same words.
    Same,
    /// It failed otherwise.
    Otherwise {
        /// How.
        now: Outcome,
    },
    /// It passed.
    NotFailed,
    /// It was ended before that could be seen.
    Interrupted,
}

impl Manifest {
    fn of(report: &Report, options: &StageOptions) -> Option<Self> {
        let failure = report.failure.as_ref().filter(|failure| leaves_bundle(failure))?;
        Some(Self {
            schema: SCHEMA,
            scenario: report.scenario.clone(),
            started: report.started.clone(),
            machine: options.machine.clone(),
            seed: options.seed,
            versions: report.versions.clone(),
            failure: Outcome::of(failure),
        })
    }

    /// What a repetition must be made of.
    #[must_use]
    pub fn repeats(&self, anyway: bool) -> Repeats {
        Repeats { versions: self.versions.clone(), anyway }
    }

    /// Looks at what a repetition came to.
    ///
    /// # Errors
    /// `Differs`: it was not played, because it would have been made of something else.
    pub fn judge(&self, report: &Report) -> Result<Replayed, ReplayError> {
        if report.verdict == Ending::Interrupted {
            return Ok(Replayed::Interrupted);
        }
        match report.failure.as_ref().filter(|_| report.verdict == Ending::Failed) {
            None => Ok(Replayed::NotFailed),
            Some(failure) if failure.message == DIFFERS => {
                let mut differences = mismatches(&self.versions, &report.versions);
                differences.retain(|difference| difference.ours.is_some());
                Err(ReplayError::Differs { differences })
            }
            Some(failure) => {
                let now = Outcome::of(failure);
                Ok(if now == self.failure { Replayed::Same } else { Replayed::Otherwise { now } })
            }
        }
    }

    /// What came of a repetition, in a line or two.
    #[must_use]
    pub fn conclusion(&self, replayed: &Replayed) -> String {
        let then = &self.failure;
        match replayed {
            Replayed::Same => format!("replay   failed the same way: {then}\n"),
            Replayed::Otherwise { now } => {
                format!("replay   failed otherwise\n  then: {then}\n  now:  {now}\n")
            }
            Replayed::NotFailed => format!("replay   did not fail\n  then: {then}\n"),
            Replayed::Interrupted => {
                format!("replay   was interrupted before it could fail\n  then: {then}\n")
            }
        }
    }
}

/// A bundle cannot be played again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: camino::Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{path} is no replay bundle: {why}")]
    NotOne {
        /// Which file.
        path: camino::Utf8PathBuf,
        /// What is wrong.
        why: String,
    },
    /// This checkout has no such scenario or machine.
    #[error("this checkout has no {what} {name}")]
    Unknown {
        /// `scenario` or `machine`.
        what: &'static str,
        /// Which.
        name: String,
    },
    /// It would not be a repetition.
    #[error("this is not what failed then{}", lines(differences))]
    Differs {
        /// What differs.
        differences: Vec<Mismatch>,
    },
}

fn lines(differences: &[Mismatch]) -> String {
    differences.iter().map(|difference| format!("\n  {difference}")).collect()
}

impl Expected for ReplayError {
    fn exit(&self) -> Exit {
        match self {
            Self::Differs { .. } => Exit::NotAsWanted,
            Self::Read { .. } | Self::NotOne { .. } | Self::Unknown { .. } => Exit::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Differs { .. } => Some(
                "check out the commit of the failed run, or say --anyway to play it as it is here"
                    .into(),
            ),
            _ => None,
        }
    }
}

/// Whether a run that failed so can be played again: not one that was interrupted, nor one that was not played.
pub(crate) fn leaves_bundle(failure: &Failure) -> bool {
    failure.class != Class::Interrupted && failure.message != DIFFERS
}

/// Looks, once the stage stands and its versions are known, whether a run repeats what it is to repeat.
///
/// # Errors
/// It does not, and is not to be played anyway.
pub(crate) fn same_inputs(story: &Story, repeats: Option<&Repeats>) -> Verdict {
    let Some(repeats) = repeats else { return Ok(()) };
    let mut differences = mismatches(&repeats.versions, &story.versions());
    // What is recorded later in a run is not known yet.
    differences.retain(|difference| difference.ours.is_some());
    if differences.is_empty() {
        return Ok(());
    }
    if repeats.anyway {
        differences.iter().for_each(|difference| story.note(format!("differs: {difference}")));
        return Ok(());
    }
    let mut failure = Failure::host(DIFFERS);
    failure.details = differences.iter().map(ToString::to_string).collect();
    Err(failure)
}

#[cfg(test)]
mod tests;
