//! Digests of Rust code: which of it a step of a scenario runs.
//!
//! Names are not resolved: an identifier reaches every item that it could mean, and from there everything that those
//! mention. So more is counted than runs, never less. Comments and layout do not count, every token does.

mod files;
mod items;
mod reach;
mod steps;
mod tokens;

use std::collections::BTreeMap;

use feeder_store::Digest;

pub use files::{Source, digests};

/// Pieces of code, by a name for people: `fn netboots`, `crates/feeder-lan/src/switch.rs`.
pub type Parts = BTreeMap<String, Digest>;

/// The code of a crate with scenarios.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scenarios {
    /// Every call of `step`.
    pub steps: Vec<Step>,
    /// Everything that a scenario reaches, by its name.
    pub scenarios: BTreeMap<String, Parts>,
}

/// One call of `step`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// As [`std::panic::Location::caller`] names it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// Where it stands in words that survive edits elsewhere: `scenarios/src/netboot.rs fn netboot 2`.
    pub site: String,
    /// The step's name, where it is a plain text.
    pub literal: Option<String>,
    /// What decides what it does: its arguments, what comes before it in its function and in the callers of that, and all
    /// items that those reach.
    pub parts: Parts,
}

/// Reads a crate's sources; `others` are files that it may include. A file that cannot be parsed has no steps, and counts as a
/// whole for every step of the others.
#[must_use]
pub fn scenarios(sources: &[Source<'_>], others: &[Source<'_>]) -> Scenarios {
    let items = items::collect(sources);
    let reach = reach::Reach::new(&items, sources, others);
    steps::scenarios(&items, &reach)
}

#[cfg(test)]
mod tests;
