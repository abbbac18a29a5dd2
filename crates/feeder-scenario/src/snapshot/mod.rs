//! What earlier runs left to start from: the state of the cluster after every step, under the hash of everything that led
//! there, and the verdicts of whole scenarios.
//!
//! ```text
//! lock                      shared while somebody looks, exclusive while the shelf changes
//! entries/<slot>-<key>.json one state each: its named inputs, its files, and what else it takes to go on from it
//! files/<name>              machine states and disks; never written again once an entry names them
//! live/<run>/               of a run that is going on: its lock, temporary files, and the names of files it needs
//! verdicts/<key>.json       runs that passed
//! ```
//!
//! A [`Chain`] follows a scenario from its [`Inputs`] through its steps. What a step used beside its own code (such as the
//! modules) is known only once it has run, so a state is looked up in two parts: the slot is the hash of everything known
//! before the step, and each state in it says which ingredients it took, and with which digests.

mod code;
mod error;
mod gc;
mod inputs;
mod key;
mod live;
mod shelf;
mod verdict;
mod why;

pub use code::{Code, StepCode};
pub use error::ShelfError;
pub use gc::{DEFAULT_LIMIT, ShelfFreed};
pub use inputs::{Difference, Input, Inputs};
pub use key::{Chain, Key, Next, Taken};
pub use live::Live;
pub use shelf::{Entry, Shelf, Stored};
pub use verdict::{Proof, verdict_key};
pub use why::{StepDifference, Today, Why, why};

#[cfg(test)]
mod tests;
