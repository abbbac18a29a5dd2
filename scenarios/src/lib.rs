//! End-to-end scenarios, one file each, and the command line that runs them.

pub mod cli;
pub mod code;
mod netboot;
mod sabotage;

use feeder_scenario::{Lab, Scenario};

/// Every scenario that can be run.
pub static SCENARIOS: &[Scenario<Lab>] = &[netboot::NETBOOT, sabotage::SABOTAGE];
