//! What came of applying a plan.

use std::fmt;

use feeder_remote::RemoteError;
use feeder_ui::{Exit, Expected};
use serde::Serialize;

use crate::StepPlan;

/// Column of what happened.
const OUTCOME: usize = 20;

/// What came of each step of a host.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    /// The host.
    pub host: String,
    /// In the order in which they were applied.
    pub steps: Vec<StepResult>,
}

/// What came of one step.
#[derive(Debug, Clone, Serialize)]
pub struct StepResult {
    /// Its name.
    pub step: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What can come of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// There was nothing to do.
    AsWanted,
    /// All changes were made.
    Changed {
        /// How many.
        count: usize,
    },
    /// A change failed.
    Failed {
        /// Which one, for people.
        text: String,
        /// Why.
        why: String,
        /// The last lines of its commands' output.
        output: Vec<String>,
        /// Changes of the step that were not made, this one included.
        left: usize,
    },
    /// A step that it comes after failed.
    Skipped {
        /// That step's name.
        because: String,
    },
    /// The connection was lost before its turn came.
    NotReached,
}

impl Applied {
    pub(super) fn push(&mut self, step: &StepPlan, outcome: Outcome) {
        self.steps.push(StepResult { step: step.name.clone(), outcome });
    }

    /// The first failed or skipped step that this one comes after.
    pub(super) fn failed_before(&self, step: &StepPlan) -> Option<String> {
        let bad = |result: &&StepResult| {
            matches!(result.outcome, Outcome::Failed { .. } | Outcome::Skipped { .. })
                && step.after.contains(&result.step)
        };
        self.steps.iter().find(bad).map(|result| result.step.clone())
    }

    /// Whether every step is done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.steps
            .iter()
            .all(|result| matches!(result.outcome, Outcome::AsWanted | Outcome::Changed { .. }))
    }

    /// Changes that were made by steps that are done.
    #[must_use]
    pub fn changed(&self) -> usize {
        let count = |result: &StepResult| match result.outcome {
            Outcome::Changed { count } => count,
            _ => 0,
        };
        self.steps.iter().map(count).sum()
    }
}

impl fmt::Display for Applied {
    /// A line for every step that changed or failed. Ends in a line end when there is any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for StepResult { step, outcome } in &self.steps {
            match outcome {
                Outcome::AsWanted => {}
                Outcome::Changed { count } => writeln!(f, "  {step:OUTCOME$}{count} changed")?,
                Outcome::Failed { text, why, output, left } => {
                    writeln!(f, "  {step:OUTCOME$}failed at {text}: {why}")?;
                    for line in output {
                        writeln!(f, "  {:OUTCOME$}| {}", "", crate::diff::visible(line))?;
                    }
                    writeln!(f, "  {:OUTCOME$}left undone: {left}", "")?;
                }
                Outcome::Skipped { because } => {
                    writeln!(f, "  {step:OUTCOME$}not tried: it comes after {because}")?;
                }
                Outcome::NotReached => writeln!(f, "  {step:OUTCOME$}not reached")?,
            }
        }
        Ok(())
    }
}

/// A host is not as wanted, because applying failed there.
#[derive(Debug, thiserror::Error)]
#[error("{} on {}\n{}", if lost.is_some() { "applying was cut off" } else { "not everything could be applied" }, applied.host, applied.to_string().trim_end())]
pub struct ApplyError {
    /// What was done and what was not.
    pub applied: Applied,
    /// Why the host was lost, when it was.
    #[source]
    pub lost: Option<Box<RemoteError>>,
}

impl Expected for ApplyError {
    fn exit(&self) -> Exit {
        self.lost.as_ref().map_or(Exit::Failed, |lost| lost.exit())
    }

    fn hint(&self) -> Option<String> {
        let hint = self.lost.as_ref().and_then(|lost| lost.hint());
        hint.or_else(|| Some("mend what failed and run it again: it goes on from here".into()))
    }
}
