//! End-to-end scenarios, one file each, and the command line that runs them.

pub mod cli;
pub mod code;
mod mutations;
mod netboot;
mod sabotage;
mod ssd_boot;
mod ssd_faults;

use feeder_scenario::{Lab, Mutation, Scenario};

/// Every scenario that can be run.
pub static SCENARIOS: &[Scenario<Lab>] =
    &[netboot::NETBOOT, sabotage::SABOTAGE, ssd_boot::SSD_BOOT, ssd_faults::SSD_FAULTS];

/// What can be broken under a scenario, by its name.
pub static MUTATIONS: &[(&str, &[Mutation<Lab>])] = &[("netboot", mutations::NETBOOT)];
