//! Moving workers to another generation.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use feeder_cluster::Cluster;
use feeder_modules::{Access, Master};
use feeder_process::interrupt;
use feeder_remote::{RemoteError, in_parallel};
use feeder_ui::Progress;
use serde::Serialize;

use super::{
    GenerationError,
    health::{Health, asked, workers},
};
use crate::{PowerError, Stagger, Target, power::restarted};

/// How workers are moved to a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// The worker that goes first, if workers are to be restarted at all.
    pub canary: Option<String>,
    /// How many are restarted before the next ones wait until they are healthy.
    pub batch: usize,
    /// How much later than the one before it each of a batch is restarted.
    pub stagger: Stagger,
    /// How long a worker may take to come back and be healthy.
    pub patience: Duration,
}

/// What became of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "why")]
pub enum Moved {
    /// It boots the generation at its next start.
    BootsNext,
    /// It was restarted, and runs from it.
    Moved,
    /// It ran from it already.
    RanIt,
    /// It did not come up as it should, and its boot files are those of before.
    WentBack(String),
    /// It was left alone.
    Untouched,
}

/// What came of an activation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Activated {
    /// The generation.
    pub generation: u32,
    /// It is the active one now.
    pub active: bool,
    /// By the name of the worker.
    pub workers: BTreeMap<String, Moved>,
}

/// Has workers boot the generation that was active before. See [`activate`].
///
/// # Errors
/// There was none, or as for [`activate`].
pub fn rollback(
    cluster: &Cluster,
    access: &Access,
    rollout: &Rollout,
    progress: &Progress,
) -> Result<Activated, GenerationError> {
    let master = Master::connect(cluster, access)?;
    let previous = master.generations().previous().map(|generation| generation.number);
    drop(master);
    activate(cluster, access, previous.ok_or(GenerationError::NothingBefore)?, rollout, progress)
}

/// Has workers boot a generation at their next start. With a canary, workers are restarted: that one first, and, when it is
/// healthy, the others in batches. A worker that is not goes back to what it booted before, those whose turn has not come are
/// left alone, and the generation does not become the active one.
///
/// # Errors
/// The generation cannot be booted, the canary cannot go first, or the master could not be changed. That a worker does not come
/// up is no error, but told.
pub fn activate(
    cluster: &Cluster,
    access: &Access,
    number: u32,
    rollout: &Rollout,
    progress: &Progress,
) -> Result<Activated, GenerationError> {
    let targets = workers(cluster, access);
    let names = || targets.iter().map(|target| target.name.clone());
    if let Some(canary) = &rollout.canary
        && !names().any(|name| name == *canary)
    {
        return Err(GenerationError::NoSuchWorker {
            name: canary.clone(),
            workers: names().collect(),
        });
    }
    let mut master = Master::connect(cluster, access)?;
    master.lock("generation activate")?;
    let task = progress.task(master.name());
    task.say("looks whether all of it belongs together");
    let outcome = master.check(number).map_err(GenerationError::from).and_then(|()| {
        let Some(canary) = &rollout.canary else { return Ok(Vec::new()) };
        Moves { master: &master, number, rollout, progress }.make(&targets, canary)
    });
    let moved = match outcome {
        Ok(moved) => moved,
        Err(error) => {
            task.failed(error.to_string());
            return Err(error);
        }
    };
    let failed = moved.iter().any(|(_, moved)| matches!(moved, Moved::WentBack(_)));
    let mut all: BTreeMap<String, Moved> = BTreeMap::new();
    if failed {
        all.extend(names().map(|name| (name, Moved::Untouched)));
        task.failed(format!("generation {number} does not become the active one"));
    } else {
        // In this order: a run that is cut off in between is finished by the next provisioning.
        // A worker that was never provisioned gets all that it needs from that.
        let enrolled = master.uses()?.enrolled(cluster);
        master.activate(number)?;
        master.assign(&enrolled, number)?;
        all.extend(enrolled.into_iter().map(|name| (name.to_owned(), Moved::BootsNext)));
        task.done(format!("generation {number} is active"));
    }
    all.extend(moved);
    Ok(Activated { generation: number, active: !failed, workers: all })
}

/// Moving workers that run.
struct Moves<'a> {
    master: &'a Master<'a>,
    number: u32,
    rollout: &'a Rollout,
    progress: &'a Progress,
}

impl Moves<'_> {
    /// The canary, then the others that answer, until one is not healthy. What became of those that had their turn.
    fn make(
        &self,
        targets: &[Target],
        canary: &str,
    ) -> Result<Vec<(String, Moved)>, GenerationError> {
        let mut said = asked(targets);
        if let Some(Err(_)) = said.get(canary)
            && let Some(Err(source)) = said.remove(canary)
        {
            return Err(GenerationError::SilentCanary {
                name: canary.to_owned(),
                source: Box::new(source),
            });
        }
        let mut moved = Vec::new();
        let mut turns: Vec<Vec<&Target>> = vec![Vec::new()];
        for target in targets {
            match said.get(&target.name) {
                Some(Ok(health)) if health.generation == Some(self.number) => {
                    moved.push((target.name.clone(), Moved::RanIt));
                }
                Some(Ok(_)) if target.name == canary => turns[0].push(target),
                _ => {}
            }
        }
        let answers = |target: &&Target| {
            target.name != canary
                && matches!(said.get(&target.name), Some(Ok(health)) if health.generation != Some(self.number))
        };
        let others: Vec<&Target> = targets.iter().filter(answers).collect();
        turns.extend(others.chunks(self.rollout.batch.max(1)).map(<[_]>::to_vec));
        for batch in turns {
            let before = |target: &Target| match said.get(&target.name) {
                Some(Ok(health)) => health.clone(),
                _ => Health { generation: None, state: String::new(), failed: Vec::new() },
            };
            let batch: Vec<(&Target, Health)> =
                batch.into_iter().map(|target| (target, before(target))).collect();
            let results = self.batch(&batch)?;
            let failed = results.iter().any(|(_, moved)| matches!(moved, Moved::WentBack(_)));
            moved.extend(results);
            if failed {
                break;
            }
        }
        Ok(moved)
    }

    /// Some workers at a time, each a little later than the one before it.
    fn batch(&self, batch: &[(&Target, Health)]) -> Result<Vec<(String, Moved)>, GenerationError> {
        let names: Vec<&str> = batch.iter().map(|(target, _)| target.name.as_str()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        self.master.assign(&names, self.number)?;
        let began = Instant::now();
        let turns: Vec<(u32, &(&Target, Health))> = (0..).zip(batch).collect();
        let results = in_parallel(&turns, |(turn, (target, before))| {
            let turn = self.rollout.stagger.0.saturating_mul(*turn);
            if interrupt::wait_timeout(turn.saturating_sub(began.elapsed())) {
                return Err("it was interrupted before its turn".to_owned());
            }
            self.restart(target, &before.failed)
        });
        let mut told = Vec::new();
        for ((target, before), result) in batch.iter().zip(results) {
            let name = target.name.clone();
            let moved = match result {
                Ok(()) => Moved::Moved,
                Err(why) => Moved::WentBack(self.back(target, before.generation, why)?),
            };
            told.push((name, moved));
        }
        Ok(told)
    }

    /// Restarts a worker and waits until it is healthy; or why it is not.
    fn restart(&self, target: &Target, failed: &[String]) -> Result<(), String> {
        let patience = self.rollout.patience;
        let began = Instant::now();
        restarted(target, patience, self.progress).map_err(|error| error.to_string())?;
        let left = patience.saturating_sub(began.elapsed());
        let health = Health::ask(target, None, left).map_err(|error| error.to_string())?;
        health.ails(self.number, failed).map_or(Ok(()), Err)
    }

    /// Gives a worker what it booted before, and restarts it when it answers. Says what became of it.
    fn back(
        &self,
        target: &Target,
        before: Option<u32>,
        why: String,
    ) -> Result<String, GenerationError> {
        let Some(before) = before else { return Ok(why) };
        self.master.assign(&[&target.name], before)?;
        Ok(match restarted(target, self.rollout.patience, self.progress) {
            Ok(()) => format!("{why}; it is back on generation {before}"),
            Err(PowerError::Remote(RemoteError::Interrupted { .. })) => why,
            Err(error) => {
                format!("{why}; it boots generation {before} when its power is cycled ({error})")
            }
        })
    }
}
