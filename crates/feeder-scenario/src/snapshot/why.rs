//! Why the state at the end of a step is not gone on from.

use std::fmt;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::{Code, Difference, Entry, Inputs, Shelf, ShelfError};

/// What a run would start from if it began now.
#[derive(Debug, Clone, Copy)]
pub struct Today<'a> {
    /// The code of the scenarios.
    pub code: &'a Code,
    /// What decides about everything.
    pub base: &'a Inputs,
    /// What counts for the steps that use it.
    pub ingredients: &'a Inputs,
}

/// What would happen to a step if its scenario ran now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Why {
    /// Its state is there and nothing has changed.
    Stored {
        /// The run that made it.
        run: Utf8PathBuf,
        /// When, as RFC 3339 in UTC.
        made: String,
    },
    /// Nothing has changed, but its files were removed to make space.
    Evicted {
        /// The files.
        files: Vec<String>,
    },
    /// Something has changed since the state was made that is most like today's.
    Changed {
        /// The run that made it.
        run: Utf8PathBuf,
        /// When, as RFC 3339 in UTC.
        made: String,
        /// What has changed for the scenario as a whole.
        base: Vec<Difference>,
        /// What has changed for which step, in the order of steps.
        steps: Vec<StepDifference>,
    },
    /// No state of this step is known.
    NeverStored,
}

/// What has changed for one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDifference {
    /// The step.
    pub step: String,
    /// What has changed.
    pub what: Vec<Difference>,
}

/// Tells why the state at the end of this step is not gone on from, or that it would be.
///
/// # Errors
/// The shelf cannot be read.
pub fn why(shelf: &Shelf, today: Today<'_>, scenario: &str, step: &str) -> Result<Why, ShelfError> {
    let _nothing_goes = shelf.shared()?;
    let entries = shelf.entries()?.into_iter().map(|(_, entry)| entry).filter(|entry| {
        entry.scenario == scenario && entry.trail.last().is_some_and(|last| last.name == step)
    });
    let compared = entries.map(|entry| {
        let (base, steps) = differences(&entry, today);
        (base.len() + steps.iter().map(|step| step.what.len()).sum::<usize>(), entry, base, steps)
    });
    // The nearest; of equals one that is whole, then the newest.
    let nearest = compared.min_by_key(|(count, entry, _, _)| {
        (*count, !shelf.missing(entry).is_empty(), std::cmp::Reverse(entry.made.clone()))
    });
    let Some((count, entry, base, steps)) = nearest else { return Ok(Why::NeverStored) };
    let files = shelf.missing(&entry);
    Ok(match (count, files.is_empty()) {
        (0, true) => Why::Stored { run: entry.run, made: entry.made },
        (0, false) => Why::Evicted { files },
        _ => Why::Changed { run: entry.run, made: entry.made, base, steps },
    })
}

fn differences(entry: &Entry, today: Today<'_>) -> (Vec<Difference>, Vec<StepDifference>) {
    let base = entry.base.differences(today.base);
    let steps = entry.trail.iter().filter_map(|taken| {
        let mut what = match today.code.step_again(&taken.name, &taken.site) {
            Some(code) => taken.code.differences(&code.parts),
            None => vec![Difference { what: "the step".to_owned(), how: "is gone".to_owned() }],
        };
        let used = taken.used.iter().filter_map(|(name, _)| {
            today.ingredients.get(name).map(|input| (name.to_owned(), input.clone()))
        });
        what.extend(taken.used.differences(&used.collect()));
        (!what.is_empty()).then(|| StepDifference { step: taken.name.clone(), what })
    });
    let steps = steps.collect();
    (base, steps)
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored { run, made } => {
                write!(f, "stored, would be reused\n  from {run}, {made}")
            }
            Self::Evicted { files } => {
                write!(f, "nothing has changed, but its files were removed to make space")?;
                files.iter().try_for_each(|file| write!(f, "\n  {file}"))
            }
            Self::NeverStored => write!(f, "never stored: no run has come to the end of it"),
            Self::Changed { run, made, base, steps } => {
                write!(f, "not reused: something has changed since {made}\n  in {run}")?;
                if !base.is_empty() {
                    write!(f, "\n  for every step")?;
                }
                base.iter().try_for_each(|difference| write!(f, "\n    {difference}"))?;
                steps.iter().try_for_each(|step| {
                    write!(f, "\n  for step \"{}\"", step.step)?;
                    step.what.iter().try_for_each(|difference| write!(f, "\n    {difference}"))
                })
            }
        }
    }
}
