//! Gather, plan, apply, verify.

use feeder_remote::Host;
use feeder_ui::{Exit, Expected};

use crate::{
    Applied, ApplyError, ApplyEvent, GatherError, HostPlan, Step, StepsError, apply, gather, plan,
};

/// How often a host is gone over before its steps count as never content. One change can be the reason for another:
/// a task that looks at a package which was not there.
const PASSES: usize = 3;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Change nothing.
    Plan,
    /// Change what differs.
    Apply,
}

/// What a run found and did.
#[derive(Debug, Clone)]
pub struct Report {
    /// What differed when it began.
    pub plan: HostPlan,
    /// What was done about it; empty when nothing was to be done or nothing should be.
    pub applied: Vec<Applied>,
}

impl Report {
    /// Changes made.
    #[must_use]
    pub fn changed(&self) -> usize {
        self.applied.iter().map(Applied::changed).sum()
    }

    /// `NotAsWanted` when something is to be done and was not, else `Ok`.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.plan.is_empty() || !self.applied.is_empty() { Exit::Ok } else { Exit::NotAsWanted }
    }
}

/// A host that differs from what is wanted although everything was applied without an error.
#[derive(Debug, thiserror::Error)]
#[error("{} is still not as wanted after everything was applied:{}", plan.host, list(plan))]
pub struct NotAsWanted {
    /// What still differs.
    pub plan: HostPlan,
}

fn list(plan: &HostPlan) -> String {
    plan.changes()
        .map(|(step, change)| format!("\n  {step}: {} {}", change.sign, change.text))
        .collect()
}

/// Why a run did not leave the host as wanted.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its state is not known.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// A change failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Nothing failed and yet.
    #[error(transparent)]
    NotAsWanted(#[from] NotAsWanted),
}

impl From<StepsError> for RunError {
    fn from(error: StepsError) -> Self {
        GatherError::from(error).into()
    }
}

impl Expected for RunError {
    fn exit(&self) -> Exit {
        match self {
            Self::Gather(error) => error.exit(),
            Self::Apply(error) => error.exit(),
            Self::NotAsWanted(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Gather(error) => error.hint(),
            Self::Apply(error) => error.hint(),
            Self::NotAsWanted(_) => Some(
                "something on the host changes it back, or a module's probe and script disagree"
                    .into(),
            ),
        }
    }
}

/// Gathers and compares; with [`Mode::Apply`] makes the changes and verifies. A host that is as wanted costs one round
/// trip.
///
/// # Errors
/// Every [`RunError`].
pub fn run(
    host: &dyn Host,
    steps: &[Step],
    mode: Mode,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Report, RunError> {
    let first = plan(steps, &gather(host, steps)?)?;
    match mode {
        Mode::Plan => Ok(Report { plan: first, applied: Vec::new() }),
        Mode::Apply => run_planned(host, steps, first, events),
    }
}

/// The same as [`run`] with [`Mode::Apply`], for whoever has planned these steps already and knows that nothing has changed since.
///
/// # Errors
/// Every [`RunError`].
pub fn run_planned(
    host: &dyn Host,
    steps: &[Step],
    planned: HostPlan,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Report, RunError> {
    let mut report = Report { plan: planned.clone(), applied: Vec::new() };
    if planned.is_empty() {
        return Ok(report);
    }
    let mut next = planned;
    for _ in 0..PASSES {
        report.applied.push(apply(host, &next, events)?);
        let left = plan(steps, &gather(host, steps)?)?;
        if left.is_empty() {
            return Ok(report);
        }
        // What was just applied and differs again would differ for ever.
        let again = left.changes().any(|(_, c)| next.changes().any(|(_, done)| done.id == c.id));
        next = left;
        if again {
            break;
        }
    }
    Err(NotAsWanted { plan: next }.into())
}

/// Gathers and insists that nothing differs.
///
/// # Errors
/// `NotAsWanted` with what differs, or why the host could not be asked.
pub fn verify(host: &dyn Host, steps: &[Step]) -> Result<(), RunError> {
    let plan = plan(steps, &gather(host, steps)?)?;
    if plan.is_empty() { Ok(()) } else { Err(NotAsWanted { plan }.into()) }
}
