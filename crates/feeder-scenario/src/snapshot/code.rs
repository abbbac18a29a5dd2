//! The code of the scenarios as their build script saw it.

use std::panic::Location;

use feeder_store::Digest;

use super::{Input, Inputs};

/// Digests of everything that a scenario runs. Made by the build script of the crate with the scenarios.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// Every call of `step` in the crate's sources.
    pub steps: &'static [StepCode],
    /// Every scenario.
    pub scenarios: &'static [ScenarioCode],
    /// What runs beside the scenarios' own code: `harness`, `modules`.
    pub groups: &'static [Group],
}

/// One call of `step`, where [`Location::caller`] finds it.
#[derive(Debug, Clone, Copy)]
pub struct StepCode {
    /// As rustc names the file.
    pub file: &'static str,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// Where it stands in words that survive edits elsewhere: `scenarios/src/netboot.rs fn netboot 2`.
    pub site: &'static str,
    /// The step's name, where it is a plain text.
    pub literal: Option<&'static str>,
    /// The code that decides what the step does.
    pub parts: &'static [Part],
}

/// The code of one scenario from its first line to its last.
#[derive(Debug, Clone, Copy)]
pub struct ScenarioCode {
    /// As on the command line.
    pub name: &'static str,
    /// All that it reaches.
    pub parts: &'static [Part],
}

/// Sources that count as one ingredient.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// `harness`, `modules`.
    pub name: &'static str,
    /// Each file by itself, so that a difference can be named.
    pub files: &'static [Part],
}

/// A piece of code, by a name for people and the SHA-256 of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// `fn netboots`, `crates/feeder-lan/src/switch.rs`.
    pub name: &'static str,
    /// In hex.
    pub digest: &'static str,
}

impl Code {
    /// Of a crate that was not looked at: nothing of it is ever found again.
    pub const UNKNOWN: Self = Self { steps: &[], scenarios: &[], groups: &[] };

    /// The call of `step` at this place.
    #[must_use]
    pub fn step(&self, at: &Location<'_>) -> Option<&'static StepCode> {
        self.steps.iter().find(|step| {
            step.file == at.file() && step.line == at.line() && step.column == at.column()
        })
    }

    /// The call of `step` that a stored state came from, as it is today.
    #[must_use]
    pub(super) fn step_again(&self, name: &str, site: &str) -> Option<&'static StepCode> {
        let function = |site: &str| site.rsplit_once(' ').map(|(function, _)| function.to_owned());
        let home = |step: &&StepCode| function(step.site) == function(site);
        self.steps
            .iter()
            .find(|step| home(step) && step.literal == Some(name))
            .or_else(|| self.steps.iter().find(|step| step.site == site))
    }

    /// The code of a scenario.
    #[must_use]
    pub fn scenario(&self, name: &str) -> Option<Inputs> {
        let found = self.scenarios.iter().find(|scenario| scenario.name == name)?;
        Some(inputs(found.parts))
    }

    /// One group of sources.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Input> {
        let found = self.groups.iter().find(|group| group.name == name)?;
        Some(Input::Files(
            found.files.iter().map(|file| (file.name.to_owned(), file.digest())).collect(),
        ))
    }
}

impl StepCode {
    /// Its parts as named inputs.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        inputs(self.parts)
    }
}

impl Part {
    fn digest(&self) -> Digest {
        // What is no digest still tells two parts apart.
        self.digest.parse().unwrap_or_else(|_| Digest::of(self.digest))
    }
}

fn inputs(parts: &[Part]) -> Inputs {
    parts.iter().map(|part| (part.name, Input::Digest(part.digest()))).collect()
}
