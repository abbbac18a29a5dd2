//! End-to-end scenarios, one file each, and the command line that runs them.

mod bench;
pub mod cli;
pub mod code;
mod generations;
mod mutations;
mod netboot;
mod provision;
mod provision_faults;
mod raspberry_pi_os;
mod root_copy;
mod sabotage;
mod ssd_boot;
mod ssd_crash;
mod ssd_faults;
mod ssd_trial;
mod swarm;
mod swarm_changes;
mod swarm_managers;
mod takeover;

use feeder_scenario::{Lab, Mutation, Scenario};

/// Every scenario that can be run.
pub static SCENARIOS: &[Scenario<Lab>] = &[
    netboot::NETBOOT,
    sabotage::SABOTAGE,
    provision::PROVISION,
    provision_faults::PROVISION_FAULTS,
    generations::GENERATIONS,
    root_copy::ROOT_COPY,
    takeover::NETWORK_MANAGER,
    takeover::DHCPCD,
    raspberry_pi_os::RASPBERRY_PI_OS,
    swarm::SWARM,
    swarm_managers::SWARM_MANAGERS,
    swarm_changes::SWARM_CHANGES,
    ssd_boot::SSD_BOOT,
    ssd_faults::SSD_FAULTS,
    ssd_trial::SSD_TRIAL,
    ssd_crash::SSD_CRASH,
    ssd_crash::SSD_CRASH_ALL,
    bench::BENCH,
];

/// What can be broken under a scenario, by its name.
pub static MUTATIONS: &[(&str, &[Mutation<Lab>])] = &[("netboot", mutations::NETBOOT)];
