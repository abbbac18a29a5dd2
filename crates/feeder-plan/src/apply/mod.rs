//! Making a host as wanted.

mod body;
mod result;
mod script;

use feeder_remote::{Host, RemoteError};

pub use result::{Applied, ApplyError, Outcome, StepResult};
use script::{Mark, Op};

use crate::{Change, HostPlan, StepPlan};

/// Lines of a failed change's output that are kept.
const OUTPUT: usize = 12;

/// Something that happens while a plan is applied.
#[derive(Debug, Clone, Copy)]
pub struct ApplyEvent<'a> {
    /// On which host.
    pub host: &'a str,
    /// In which step.
    pub step: &'a str,
    /// To which change.
    pub change: &'a Change,
    /// What.
    pub phase: Phase<'a>,
}

/// How far a change is. Packages of a step begin and end together; what apt says goes to the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase<'a> {
    /// It begins.
    Begin,
    /// Its commands said this line.
    Output(&'a str),
    /// It is long, and so far along: bytes, and how many there will be. A task's script says so by a line
    /// `feeder-progress BYTES TOTAL`.
    Moved(u64, u64),
    /// It is made.
    Done,
    /// It failed, and its step with it.
    Failed,
}

/// Makes the changes of a plan, step by step, one streamed script each.
///
/// A change that fails ends its step, and the steps that come after it are not tried; the others are. What was changed
/// and still calls for a restart is noted on the host and done by the next run.
///
/// # Errors
/// [`ApplyError`] when a change failed, the connection was lost, or somebody else is applying there: with what was done.
pub fn apply(
    host: &dyn Host,
    plan: &HostPlan,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Applied, ApplyError> {
    let mut applied = Applied { host: plan.host.clone(), steps: Vec::new() };
    let mut lost: Option<RemoteError> = None;
    for step in &plan.steps {
        let outcome = if lost.is_some() {
            if step.changes.is_empty() { Outcome::AsWanted } else { Outcome::NotReached }
        } else if let Some(because) = applied.failed_before(step) {
            Outcome::Skipped { because }
        } else if step.changes.is_empty() {
            Outcome::AsWanted
        } else {
            let (outcome, error) = one_step(host, plan, step, events);
            lost = error;
            outcome
        };
        applied.push(step, outcome);
    }
    if lost.is_some() || !applied.is_ok() {
        return Err(ApplyError { applied, lost: lost.map(Box::new) });
    }
    Ok(applied)
}

fn one_step(
    host: &dyn Host,
    plan: &HostPlan,
    step: &StepPlan,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> (Outcome, Option<RemoteError>) {
    let ops = script::ops(step);
    let mut progress = Progress {
        host: &plan.host,
        step,
        ops: &ops,
        events,
        now: None,
        done: 0,
        state: State::Running,
        output: Vec::new(),
    };
    let result = host.stream(&script::script(step, &ops), &mut |line| progress.line(line));
    let Progress { now, done, state, output, .. } = progress;
    let left = step.changes.len().saturating_sub(done);
    let failed = |why: String| {
        let text = now.map_or_else(|| step.name.clone(), |op: usize| ops[op].describe(step));
        Outcome::Failed { text, why, output: output.clone(), left }
    };
    match (state, result) {
        (State::Ended, Ok(_)) => (Outcome::Changed { count: done }, None),
        (State::Failed(status), Ok(_)) => (failed(format!("exit status {status}")), None),
        (State::Busy, Ok(_)) => (failed("another run is applying on this host".into()), None),
        (State::Running, Ok(_)) => (failed("its script ended without a word".into()), None),
        // The script itself never says no: something killed it, and the host is still there.
        (_, Err(error @ RemoteError::Script { .. })) => (failed(error.to_string()), None),
        (_, Err(error)) => (failed("the connection was lost or closed".into()), Some(error)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Busy,
    Failed(i32),
    Ended,
}

/// Turns the script's lines into events.
struct Progress<'a> {
    host: &'a str,
    step: &'a StepPlan,
    ops: &'a [Op],
    events: &'a mut dyn FnMut(ApplyEvent<'_>),
    now: Option<usize>,
    done: usize,
    state: State,
    output: Vec<String>,
}

impl Progress<'_> {
    fn line(&mut self, line: &str) {
        match Mark::parse(line, self.ops.len()) {
            Some(Mark::Begin(op)) => {
                self.now = Some(op);
                self.output.clear();
                self.tell(op, Phase::Begin);
            }
            Some(Mark::Done(op)) => {
                self.done += self.ops[op].changes.len();
                self.tell(op, Phase::Done);
            }
            Some(Mark::Failed(op, status)) => {
                self.state = State::Failed(status);
                self.tell(op, Phase::Failed);
            }
            Some(Mark::Busy) => self.state = State::Busy,
            Some(Mark::End) => self.state = State::Ended,
            None if let Some((bytes, total)) = moved(line) => {
                if let Some(&change) = self.now.and_then(|op| self.ops[op].changes.first()) {
                    self.event(change, Phase::Moved(bytes, total));
                }
            }
            None => {
                if self.output.len() == OUTPUT {
                    self.output.remove(0);
                }
                self.output.push(line.to_owned());
                if let Some(&change) = self.now.and_then(|op| self.ops[op].changes.first()) {
                    self.event(change, Phase::Output(line));
                }
            }
        }
    }

    fn tell(&mut self, op: usize, phase: Phase<'_>) {
        for n in 0..self.ops[op].changes.len() {
            self.event(self.ops[op].changes[n], phase);
        }
    }

    fn event(&mut self, change: usize, phase: Phase<'_>) {
        let change = &self.step.changes[change];
        (self.events)(ApplyEvent { host: self.host, step: &self.step.name, change, phase });
    }
}

/// What a line `feeder-progress BYTES TOTAL` says.
fn moved(line: &str) -> Option<(u64, u64)> {
    let (bytes, total) = line.strip_prefix("feeder-progress ")?.split_once(' ')?;
    Some((bytes.parse().ok()?, total.parse().ok()?))
}
