//! Restarting nodes and switching them off, in an order that lets the rest of the cluster live.

use std::time::{Duration, Instant};

use feeder_process::interrupt;
use feeder_remote::{Privilege, REBOOT, RemoteError, Ssh, in_parallel};
use feeder_ui::{Exit, Expected, Progress, elapsed};

use crate::{Role, Target};

/// How much later than the one before it each worker is restarted. Boards that ask for their files all at once are not all
/// served: of many 3B and 3B+ that are switched on together, some stay dead (raspberrypi/firmware#764, #1120).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stagger(pub Duration);

impl Default for Stagger {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

/// Why a node was not restarted or switched off.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// It could not be reached, or did not come back.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// It was told to restart and did not come back in time.
    #[error("{host} was told to restart and is not back after {}: {last}", elapsed(*.after))]
    NotBack {
        /// Its name.
        host: String,
        /// How long it was waited for.
        after: Duration,
        /// What the last attempt met.
        last: String,
    },
    /// Another one's failure made it senseless.
    #[error("{host} was left alone: {why}")]
    LeftAlone {
        /// Its name.
        host: String,
        /// Why.
        why: String,
    },
}

impl Expected for PowerError {
    fn exit(&self) -> Exit {
        match self {
            Self::Remote(error) => error.exit(),
            Self::NotBack { .. } | Self::LeftAlone { .. } => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Remote(error) => error.hint(),
            Self::NotBack { .. } => Some(
                "a Pi 3 that found no boot server in its first half minute stays dead until its power is cycled".into(),
            ),
            Self::LeftAlone { .. } => None,
        }
    }
}

/// Restarts nodes and waits for each to come back, at most so long. The master goes first, because workers stand still
/// without it; when it does not come back, the workers are left alone. One result for each, in the order of the targets.
pub fn reboot(
    targets: &[Target],
    stagger: Stagger,
    patience: Duration,
    progress: &Progress,
) -> Vec<Result<(), PowerError>> {
    let (masters, workers) = by_role(targets);
    let mut results = in_parallel(masters, |master| restarted(master, patience, progress));
    let lost = results.iter().any(Result::is_err);
    let began = Instant::now();
    let turns: Vec<(u32, &Target)> = (0..).zip(workers).collect();
    results.extend(in_parallel(&turns, |(number, worker)| {
        if lost {
            return Err(left_alone(worker, "the master is not back"));
        }
        let turn = stagger.0.saturating_mul(*number);
        if interrupt::wait_timeout(turn.saturating_sub(began.elapsed())) {
            return Err(RemoteError::Interrupted { host: worker.name.clone() }.into());
        }
        restarted(worker, patience, progress)
    }));
    results
}

/// Switches nodes off and waits until nothing answers there any more. Workers go first, because they write to the master's
/// disk as they go down; when one of them answers and cannot be switched off, the master stays on. One result for each, in
/// the order of the targets.
pub fn halt(
    targets: &[Target],
    patience: Duration,
    progress: &Progress,
) -> Vec<Result<(), PowerError>> {
    let (masters, workers) = by_role(targets);
    let off = in_parallel(workers, |worker| switched_off(worker, patience, progress));
    // One that does not answer is off already, or cannot be helped from here.
    let silent = |error: &PowerError| {
        matches!(
            error,
            PowerError::Remote(RemoteError::Unreachable { .. } | RemoteError::Refused { .. })
        )
    };
    let on = off.iter().any(|result| result.as_ref().is_err_and(|error| !silent(error)));
    let mut results = in_parallel(masters, |master| {
        if on {
            return Err(left_alone(master, "a worker that needs it is still on"));
        }
        switched_off(master, patience, progress)
    });
    results.extend(off);
    results
}

/// Targets have the master first.
fn by_role(targets: &[Target]) -> (&[Target], &[Target]) {
    let masters = targets.iter().take_while(|target| target.role == Role::Master).count();
    targets.split_at(masters)
}

pub(crate) fn restarted(
    target: &Target,
    patience: Duration,
    progress: &Progress,
) -> Result<(), PowerError> {
    let task = progress.task(&target.name);
    task.say("restarts");
    let root = target.with(Privilege::Root);
    let result = Ssh::connect(root.clone()).map_err(PowerError::from).and_then(|host| {
        let began = Instant::now();
        let back = feeder_remote::restart(host, REBOOT, &root, &mut || began.elapsed() < patience);
        back.map(drop).map_err(|error| match error {
            RemoteError::GaveUp { host, last } => {
                PowerError::NotBack { host, after: patience, last }
            }
            error => error.into(),
        })
    });
    match &result {
        Ok(()) => task.done("is back"),
        Err(error) => task.failed(error.to_string()),
    }
    result
}

fn switched_off(
    target: &Target,
    patience: Duration,
    progress: &Progress,
) -> Result<(), PowerError> {
    let task = progress.task(&target.name);
    task.say("goes down");
    let began = Instant::now();
    let result = Ssh::connect(target.with(Privilege::Root))
        .and_then(|host| feeder_remote::power_off(host, &mut || began.elapsed() < patience));
    match &result {
        Ok(()) => task.done("is off"),
        Err(error) => task.failed(error.to_string()),
    }
    result.map_err(PowerError::from)
}

fn left_alone(target: &Target, why: &str) -> PowerError {
    PowerError::LeftAlone { host: target.name.clone(), why: why.into() }
}
