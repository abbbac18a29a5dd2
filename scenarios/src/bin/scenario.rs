//! `scenario run | list | gc`, which `cargo xtask scenario` calls.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (scenarios, mutations) = (feeder_scenarios::SCENARIOS, feeder_scenarios::MUTATIONS);
    feeder_scenarios::cli::main(scenarios, mutations, feeder_scenarios::code::code()).into()
}
