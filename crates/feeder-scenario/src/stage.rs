//! What scenarios are played on.

use std::sync::Arc;

use feeder_host::Consent;
use feeder_ui::Progress;

use crate::{
    Desk, Mutation, Steps, Story, Verdict,
    shell::NoMachines,
    snapshot::{Code, Inputs},
};

/// A scenario in the table of those that can be run.
pub struct Scenario<S> {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// The story itself.
    pub run: fn(&mut S) -> Verdict,
}

/// What a scenario is played on: machines, a LAN and a cluster.
pub trait Stage: Steps + 'static {
    /// The machines it can be built of, the usual one first.
    const MACHINES: &'static [&'static str];

    /// Everything but the scenario's own code that decides how a run goes, found out without building anything. None when
    /// something has to be built first.
    ///
    /// # Errors
    /// What decides cannot be read.
    fn decided(options: &StageOptions) -> Verdict<Option<Decided>> {
        let _ = options;
        Ok(None)
    }

    /// Builds it for a scenario of this name. A failure leaves nothing behind.
    ///
    /// # Errors
    /// Something that it needs is not there; the class says whose fault that is.
    fn set_up(scenario: &str, story: &Story, options: &StageOptions) -> Verdict<Self>;

    /// Something is to be planted before one of the steps, see [`crate::mutate()`]. A stage that never does is found out.
    fn mutate(&mut self, mutation: Mutation<Self>) {
        let _ = mutation;
    }

    /// The machines, for somebody at the prompt. It is let go of before [`Stage::tear_down`].
    fn desk(&self) -> Arc<dyn Desk> {
        Arc::new(NoMachines)
    }

    /// Makes the machines run where they are only kept, because every step so far was taken over from an earlier run: somebody
    /// wants to look at them.
    ///
    /// # Errors
    /// They do not go on.
    fn wake(&mut self) -> Verdict {
        Ok(())
    }

    /// Ends everything and writes the last evidence. Called after failures, panics and interrupts, too.
    ///
    /// # Errors
    /// Something would not end.
    fn tear_down(self) -> Verdict;
}

/// How a stage is to be built.
#[derive(Debug, Clone)]
pub struct StageOptions {
    /// One of [`Stage::MACHINES`].
    pub machine: String,
    /// Whether tools that are missing may be installed without asking.
    pub consent: Consent,
    /// Where long preparations (fetching, building) say how far they are.
    pub progress: Progress,
    /// Varies what is left to chance, such as which frames a fault hits.
    pub seed: u64,
    /// The code of the scenarios, by digests.
    pub code: Arc<Code>,
    /// What may be taken over from earlier runs.
    pub reuse: Reuse,
}

/// What may be taken over from earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Nothing: all steps run.
    Nothing,
    /// At most so many steps from the first on.
    Steps(usize),
}

/// Everything but the scenario's own code that decides how a run goes.
#[derive(Debug, Clone)]
pub struct Decided {
    /// What counts from the first step on.
    pub base: Inputs,
    /// What counts from the step on that uses it.
    pub ingredients: Inputs,
}
