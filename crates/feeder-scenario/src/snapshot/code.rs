//! The code of the scenarios, as it was compiled.

use std::{collections::BTreeMap, panic::Location};

use serde::{Deserialize, Serialize};

use super::{Input, Inputs};

/// Digests of everything that a scenario runs. Made by the crate that holds the scenarios.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Code {
    /// Every call of `step` in the crate's sources.
    pub steps: Vec<StepCode>,
    /// All that a scenario reaches, by its name.
    pub scenarios: BTreeMap<String, Inputs>,
    /// What runs beside the scenarios' own code: `harness`, `modules`.
    pub groups: BTreeMap<String, Input>,
}

/// One call of `step`, where [`Location::caller`] finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCode {
    /// As rustc names the file.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// Where it stands in words that survive edits elsewhere: `scenarios/src/netboot.rs fn netboot 2`.
    pub site: String,
    /// The step's name, where it is a plain text.
    pub literal: Option<String>,
    /// The code that decides what the step does, by names for people: `fn netboots`.
    pub parts: Inputs,
}

impl Code {
    /// The call of `step` at this place.
    #[must_use]
    pub fn step(&self, at: &Location<'_>) -> Option<&StepCode> {
        self.steps.iter().find(|step| {
            step.file == at.file() && step.line == at.line() && step.column == at.column()
        })
    }

    /// The call of `step` that a stored state came from, as it is today: in the same function by its name, else by its number.
    pub(super) fn step_again(&self, name: &str, site: &str) -> Option<&StepCode> {
        let function = |site: &str| site.rsplit_once(' ').map(|(function, _)| function.to_owned());
        self.steps
            .iter()
            .find(|step| {
                step.literal.as_deref() == Some(name) && function(&step.site) == function(site)
            })
            .or_else(|| self.steps.iter().find(|step| step.site == site))
    }
}
