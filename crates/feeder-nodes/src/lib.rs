//! Commands to the nodes of a cluster: run something on them, read their logs, restart them, switch them off.
//!
//! [`choose`] says which nodes are meant; [`Target`] is one of them with the way to it. What is done on several goes on in
//! parallel, and a node that fails stops only those that need it: every function gives one result per node, in the order
//! of `cluster.toml`.

mod choose;
pub mod generation;
mod power;
mod shell;

pub use choose::{Choice, NotChosen, Role, Target, choose};
pub use power::{PowerError, Stagger, halt, reboot};
pub use shell::{Logs, script_of, stream};

#[cfg(test)]
mod tests;
