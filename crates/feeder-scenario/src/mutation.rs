//! Mutation testing: one thing is broken on purpose, and the run is expected to fail and its explanation to name that thing.
//!
//! A scenario that passes says something only if it fails when it should, and an explanation is worth what it names. Both are
//! measured here, on the real scenario and on real machines. A mutated run is compared with the green runs of the scenario as
//! any other is; that something was broken, and what, is in its journal, but no line that is compared.

use std::sync::Arc;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use crate::{
    Class, Ending, Event, Explanation, Failure, Options, Ran, RunClock, RunDirError, Scenario,
    Stage, Story, Verdict, run::run_mutated,
};

/// Budgets are divided by this once something is broken: what works is still given four times the work that it takes, or twice
/// on a machine so busy that the same boot costs a guest double. A guest that stands still is idle, as a rule, and is given up
/// for that reason before its budget is used up.
pub(crate) const HASTE: u32 = 2;

/// Something to break.
pub struct Mutation<S> {
    /// What is broken, in a few words: "no start.elf in the boot tree".
    pub name: &'static str,
    /// The step before which it is broken, by its whole sentence.
    pub before: &'static str,
    /// Breaks it.
    pub plant: fn(&mut S) -> Verdict,
    /// What the explanation must name.
    pub names: Named,
}

impl<S> Mutation<S> {
    /// Breaks it, and says so in the journal.
    ///
    /// # Errors
    /// It cannot be broken.
    pub fn plant(&self, stage: &mut S) -> Verdict
    where
        S: Stage,
    {
        stage.story().emit(None, self.told());
        (self.plant)(stage)
    }

    fn told(&self) -> Event {
        Event::Fault { text: format!("broken on purpose: {}", self.name) }
    }
}

impl<S> Clone for Mutation<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Mutation<S> {}

impl<S> std::fmt::Debug for Mutation<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mutation").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A machine, words of which the first difference must have one, and whose fault it is.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// The class of the failure.
    pub class: Class,
    /// The machine's name.
    pub node: &'static str,
    /// Words, as they stand in what there is now or what there was then.
    pub words: &'static [&'static str],
}

/// What became of a mutated run.
#[derive(Debug)]
pub struct Mutated {
    /// The run.
    pub ran: Ran,
    /// What was noticed of it.
    pub outcome: Outcome,
}

/// What was noticed of something that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The run failed, and the first difference names what is broken.
    Named,
    /// The run failed, and the first difference names something else or nothing.
    Noticed,
    /// The run passed.
    Survived,
    /// It could not be found out: the run failed before it was broken, or by somebody else's fault, or was interrupted.
    Unknown,
}

impl Outcome {
    /// The name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Noticed => "noticed",
            Self::Survived => "survived",
            Self::Unknown => "unknown",
        }
    }
}

/// Runs a scenario with one thing broken. Its evidence lies under `<scenario>-mutated`.
///
/// # Errors
/// As [`crate::run()`].
pub fn mutate<S: Stage>(
    scenario: &Scenario<S>,
    mutation: Mutation<S>,
    options: &Options,
) -> Result<Mutated, RunDirError> {
    let interrupted = feeder_process::interrupt::requested;
    let clock = Arc::new(RunClock::new());
    let ran = run_mutated(scenario, Some(&mutation), options, clock, interrupted)?;
    let outcome = outcome(&ran, &mutation);
    let path = ran.dir.join("junit.xml");
    junit(&mutation, &ran, outcome)
        .map_err(std::io::Error::other)
        .and_then(|xml| fs_err::write(&path, xml + "\n"))
        .map_err(|source| RunDirError::Io { doing: "write", path, source })?;
    Ok(Mutated { ran, outcome })
}

/// What counts of a mutated run is not how it ended, but whether it noticed.
fn junit<S>(
    mutation: &Mutation<S>,
    ran: &Ran,
    outcome: Outcome,
) -> Result<String, quick_junit::SerializeError> {
    let report = &ran.report;
    let status = match outcome {
        Outcome::Named | Outcome::Noticed => TestCaseStatus::success(),
        Outcome::Survived => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    let mut case = TestCase::new(mutation.name, status);
    case.set_classname(&*report.scenario);
    case.set_time(report.took.wall);
    case.set_system_out(report.headline());
    let mut suite = TestSuite::new(&*report.scenario);
    suite.set_time(report.took.wall);
    suite.add_test_case(case);
    let mut junit = quick_junit::Report::new("feeder mutations");
    junit.add_test_suite(suite);
    junit.to_string()
}

fn outcome<S>(ran: &Ran, mutation: &Mutation<S>) -> Outcome {
    match (ran.report.verdict, &ran.report.failure) {
        (Ending::Passed, _) => Outcome::Survived,
        (Ending::Failed, Some(failure)) if failure.class == mutation.names.class => {
            if ran.report.explanation.as_ref().is_some_and(|why| names(why, mutation.names)) {
                Outcome::Named
            } else {
                Outcome::Noticed
            }
        }
        _ => Outcome::Unknown,
    }
}

fn names(explanation: &Explanation, named: Named) -> bool {
    explanation.first.as_ref().is_some_and(|first| first.names(named.node, named.words))
}

/// A run that passed had something broken in it; or else nothing was, because the scenario has no such step.
pub(crate) fn was_planted<S>(story: &Story, mutation: &Mutation<S>) -> Verdict {
    let told = mutation.told();
    if story.journal().records().iter().any(|record| record.event == told) {
        return Ok(());
    }
    Err(Failure::scenario(format!(
        "nothing was broken (\"{}\"): there is no step \"{}\"",
        mutation.name, mutation.before
    )))
}
