//! `scenario run | list | gc`, which `cargo xtask scenario` calls.

use std::process::ExitCode;

fn main() -> ExitCode {
    feeder_scenarios::cli::main(feeder_scenarios::SCENARIOS, feeder_scenarios::code::code()).into()
}
