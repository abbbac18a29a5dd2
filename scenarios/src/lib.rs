//! End-to-end scenarios, one file each, and the command line that runs them.

pub mod cli;

use feeder_scenario::{Failure, Scenario, Stage, StageOptions, Story, Verdict};

/// Every scenario that can be run.
pub static SCENARIOS: &[Scenario<NoStage>] = &[];

/// The stage of no scenario: it cannot be set up.
pub enum NoStage {}

impl Stage for NoStage {
    const MACHINES: &'static [&'static str] = &["virt", "raspi3b"];

    fn set_up(_: &Story, _: &StageOptions) -> Verdict<Self> {
        Err(Failure::scenario("there is no scenario"))
    }

    fn tear_down(self) -> Verdict {
        match self {}
    }
}
