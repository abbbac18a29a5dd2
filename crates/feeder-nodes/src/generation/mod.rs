//! Which generation workers run, moving them to another one, and removing what nobody needs.

mod error;
mod health;
mod rollout;

use std::collections::BTreeMap;

use feeder_cluster::Cluster;
use feeder_modules::{Access, Generation, Master, Use};
use serde::Serialize;

pub use error::GenerationError;
pub use rollout::{Activated, Moved, Rollout, activate, rollback};

use self::health::{asked, running, workers};

/// A generation, and who has to do with it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Listed {
    /// What it is.
    #[serde(flatten)]
    pub generation: Generation,
    /// It is the one that workers boot.
    pub active: bool,
    /// It is where a rollback goes.
    pub previous: bool,
    /// Workers that need it, and why.
    pub used_by: BTreeMap<String, Use>,
}

/// Why a generation must stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// Workers boot it.
    Active,
    /// Workers run from it: these.
    Runs(Vec<String>),
    /// Workers boot it at their next start: these.
    Boots(Vec<String>),
    /// A rollback goes there.
    Previous,
    /// Workers that do not answer have mounted it: these.
    MayRun(Vec<String>),
    /// It is newer than the active one, and waits to be activated.
    Waits,
    /// Others were named.
    NotNamed,
}

impl std::fmt::Display for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[String]| names.join(", ");
        match self {
            Self::Active => write!(f, "it is the active one"),
            Self::Runs(names) => write!(f, "in use: run from it: {}", list(names)),
            Self::Boots(names) => write!(f, "in use: boot it at the next start: {}", list(names)),
            Self::Previous => write!(f, "it is where a rollback goes"),
            Self::MayRun(names) => {
                write!(f, "in use, perhaps: have mounted it and do not answer: {}", list(names))
            }
            Self::Waits => write!(f, "it is newer than the active one"),
            Self::NotNamed => write!(f, "others were named"),
        }
    }
}

impl Listed {
    /// Why it must stay, given which one is active; none when nobody needs it.
    #[must_use]
    pub fn kept(&self, active: Option<u32>) -> Option<Keep> {
        let by = |why: Use| {
            let names = self.used_by.iter().filter(|(_, found)| **found == why);
            let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
            (!names.is_empty()).then_some(names)
        };
        if self.active {
            return Some(Keep::Active);
        }
        let waits =
            self.generation.complete && active.is_none_or(|active| self.generation.number > active);
        by(Use::Runs)
            .map(Keep::Runs)
            .or_else(|| by(Use::Boots).map(Keep::Boots))
            .or_else(|| self.previous.then_some(Keep::Previous))
            .or_else(|| by(Use::MayRun).map(Keep::MayRun))
            .or_else(|| waits.then_some(Keep::Waits))
    }
}

/// All generations of a cluster, the oldest first, and who needs them. Workers that do not answer within seconds are judged by
/// what the master knows.
///
/// # Errors
/// The master cannot be asked.
pub fn list(cluster: &Cluster, access: &Access) -> Result<Vec<Listed>, GenerationError> {
    let master = Master::connect(cluster, access)?;
    listed(&master, cluster, access)
}

fn listed(
    master: &Master<'_>,
    cluster: &Cluster,
    access: &Access,
) -> Result<Vec<Listed>, GenerationError> {
    let said = asked(&workers(cluster, access));
    let mut used = master.uses()?.of(cluster, &running(&said));
    let generations = master.generations();
    let number = |generation: &Generation| generation.number;
    let (active, previous) = (generations.active().map(number), generations.previous().map(number));
    Ok(generations
        .all
        .iter()
        .map(|generation| Listed {
            active: active == Some(generation.number),
            previous: previous == Some(generation.number),
            used_by: used.remove(&generation.number).unwrap_or_default(),
            generation: generation.clone(),
        })
        .collect())
}

/// Removes generations: those of these numbers, or, when there are none, all that nobody needs. Gives each that there was with why
/// it stays; those without are gone, or would be when `pretend` is set.
///
/// # Errors
/// A number that is given is that of no generation, or of one that must stay; or the master could not be changed.
pub fn collect_garbage(
    cluster: &Cluster,
    access: &Access,
    numbers: &[u32],
    pretend: bool,
) -> Result<Vec<(Listed, Option<Keep>)>, GenerationError> {
    let mut master = Master::connect(cluster, access)?;
    if !pretend {
        master.lock("generation gc")?;
    }
    let found = listed(&master, cluster, access)?;
    let active = master.generations().active().map(|generation| generation.number);
    let judged: Vec<(Listed, Option<Keep>)> = found
        .into_iter()
        .map(|listed| {
            let named = numbers.contains(&listed.generation.number);
            let why = match listed.kept(active) {
                // Whoever names one that waits does not want it any more.
                Some(Keep::Waits) if named => None,
                None if !named && !numbers.is_empty() => Some(Keep::NotNamed),
                why => why,
            };
            (listed, why)
        })
        .collect();
    for number in numbers {
        match judged.iter().find(|(listed, _)| listed.generation.number == *number) {
            None => return Err(GenerationError::NoSuchGeneration(*number)),
            Some((_, Some(why))) => {
                return Err(GenerationError::Kept { number: *number, why: why.clone() });
            }
            Some((_, None)) => {}
        }
    }
    if !pretend {
        let gone = judged.iter().filter(|(_, why)| why.is_none());
        let gone: Vec<u32> = gone.map(|(listed, _)| listed.generation.number).collect();
        master.remove(&gone)?;
    }
    Ok(judged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_kept_and_says_why() {
        let listed = |number: u32, used: &[(&str, Use)]| Listed {
            generation: Generation {
                number,
                complete: true,
                key: String::new(),
                kernel: String::new(),
                created: String::new(),
                origin: String::new(),
                nfs_root_built_in: true,
                wanted: String::new(),
            },
            active: number == 3,
            previous: number == 2,
            used_by: used.iter().map(|(name, why)| ((*name).to_owned(), *why)).collect(),
        };
        let told: Vec<String> = [
            listed(1, &[]),
            listed(1, &[("cluster02", Use::MayRun)]),
            listed(1, &[("cluster01", Use::Runs), ("cluster02", Use::Boots)]),
            listed(1, &[("cluster02", Use::Boots)]),
            listed(2, &[]),
            listed(3, &[]),
            listed(4, &[]),
        ]
        .iter()
        .map(|it| {
            format!(
                "{}: {}",
                it.generation.number,
                it.kept(Some(3)).map(|why| why.to_string()).unwrap_or_default()
            )
        })
        .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
