//! `generation` in a scenario: the same library calls as on the command line, over SSH through the LAN.

use std::time::Duration;

use feeder_modules::{Access, Created, Master, Source};
use feeder_nodes::{
    Stagger,
    generation::{Activated, GenerationError, Moved, Rollout, activate, collect_garbage, rollback},
};
use feeder_ui::{Expected, Progress};

use super::{Lab, Node, prefix};
use crate::{Failure, Steps, Verdict};

/// A clone of the master's system, in vCPU seconds.
const CREATE: u64 = 600;
/// Moving one worker, and back.
const MOVE: u64 = 1800;
/// Looking, and changing files.
const CHANGE: u64 = 300;

/// `cargo xtask generation`, with what is expected of it.
#[derive(Debug)]
pub struct Generations<'a> {
    lab: &'a mut Lab,
}

impl Lab {
    /// `cargo xtask generation`.
    pub fn generations(&mut self) -> Generations<'_> {
        self.prefix.uses(prefix::MODULES);
        Generations { lab: self }
    }
}

impl Generations<'_> {
    fn access(&self) -> Access {
        self.lab.bench().access()
    }

    /// Does something within a budget of a node's work.
    fn does<T: Send, E: Expected + Send>(
        &self,
        node: &Node,
        what: &str,
        seconds: u64,
        work: impl FnOnce() -> Result<T, E> + Send,
    ) -> Verdict<T> {
        let done = node.in_guest(what, seconds, work)?;
        done.map_err(|error| Failure::expected(format!("{what} failed"), &error))
    }

    /// A clone of the master gets that number.
    ///
    /// # Errors
    /// It cannot be made, or has another number.
    pub fn create(self, number: u32) -> Verdict {
        let (access, cluster) = (self.access(), self.lab.cluster().clone());
        let master = self.lab.master();
        let created = self.does(&master, "making a generation", CREATE, || {
            let mut master = Master::connect(&cluster, &access)?;
            master.lock("generation create")?;
            Ok::<_, GenerationError>(master.create(Source::Master, &mut |_| {})?)
        })?;
        match created {
            Created::Made(made) if made.number == number => {
                self.lab.story().summary(format!("generation {number}, {}", made.kernel));
                Ok(())
            }
            other => Err(Failure::product(format!("not generation {number} was made: {other:?}"))),
        }
    }

    /// While one run has the lock of the master, another one is told so; afterwards it gets it.
    ///
    /// # Errors
    /// It gets it at once, or never, or is not told by whom it is held.
    pub fn are_changed_by_one_at_a_time(self) -> Verdict {
        let (access, cluster) = (self.access(), self.lab.cluster().clone());
        let master = self.lab.master();
        let said = self.does(&master, "taking the lock twice", CHANGE, || {
            let mut first = Master::connect(&cluster, &access)?;
            first.lock("generation create")?;
            let mut second = Master::connect(&cluster, &access)?;
            let said = second.lock("provision").err().map(|error| error.to_string());
            drop(first);
            second.lock("provision")?;
            Ok::<_, GenerationError>(said)
        })?;
        match said {
            Some(said) if said.contains("`cargo xtask generation create`") => {
                self.lab.story().note(format!("as expected: {said}"));
                Ok(())
            }
            other => Err(Failure::product(format!(
                "the second run should have been told of the first: {other:?}"
            ))),
        }
    }

    /// A worker that runs is moved first and alone.
    fn moves(&self, worker: &Node, number: u32) -> Verdict<Activated> {
        let (access, cluster) = (self.access(), self.lab.cluster().clone());
        let rollout = Rollout { canary: Some(worker.name().to_owned()), ..no_restart() };
        let what = format!("moving to generation {number}");
        let done = self.does(worker, &what, MOVE, || {
            activate(&cluster, &access, number, &rollout, &Progress::silent())
        })?;
        // It has restarted.
        worker.forget_connection();
        worker.until_ssh()?;
        Ok(done)
    }

    /// A worker that runs goes first, and is healthy.
    ///
    /// # Errors
    /// It is not, or the generation is not the active one then.
    pub fn move_canary(self, worker: &Node, number: u32) -> Verdict {
        let done = self.moves(worker, number)?;
        match done.workers.get(worker.name()) {
            Some(Moved::Moved) if done.active => worker.runs_from_generation(number),
            other => Err(Failure::product(format!(
                "{} should have moved to generation {number}: {other:?}",
                worker.name()
            ))
            .on(worker.name())),
        }
    }

    /// A worker that runs goes first, is not healthy, for a reason that is told in these words, and goes back to what it ran.
    ///
    /// # Errors
    /// It stays, or it is not told why.
    pub fn take_canary_back(self, worker: &Node, number: u32, before: u32, words: &str) -> Verdict {
        let done = self.moves(worker, number)?;
        match done.workers.get(worker.name()) {
            Some(Moved::WentBack(why)) if !done.active && why.contains(words) => {
                self.lab.story().note(format!("as expected: {why}"));
                worker.runs_from_generation(before)
            }
            other => Err(Failure::product(format!(
                "{} should have gone back from generation {number} because {words}: {other:?}",
                worker.name()
            ))
            .on(worker.name())),
        }
    }

    /// What was active before is active again, and nobody is restarted.
    ///
    /// # Errors
    /// Another one is.
    pub fn roll_back_to(self, number: u32) -> Verdict {
        let (access, cluster) = (self.access(), self.lab.cluster().clone());
        let master = self.lab.master();
        let done = self.does(&master, "rolling back", CHANGE, || {
            rollback(&cluster, &access, &no_restart(), &Progress::silent())
        })?;
        if (done.generation, done.active) == (number, true) {
            return Ok(());
        }
        Err(Failure::product(format!("generation {number} should be active: {done:?}")))
    }

    /// A generation is removed.
    ///
    /// # Errors
    /// It stays.
    pub fn remove(self, number: u32) -> Verdict {
        let (access, cluster) = (self.access(), self.lab.cluster().clone());
        let master = self.lab.master();
        self.does(&master, "removing a generation", CHANGE, || {
            collect_garbage(&cluster, &access, &[number], false).map(drop)
        })?;
        let folder = self.lab.layout().generation(number);
        master.says(&format!("[ ! -e {folder} ] && echo gone"), "gone")
    }

    /// A generation is not removed, for a reason that is told in these words.
    ///
    /// # Errors
    /// It is, or it is not told why.
    pub fn keep(self, number: u32, words: &str) -> Verdict {
        let (access, cluster) = (self.access(), self.lab.cluster().clone());
        let master = self.lab.master();
        let outcome = master.in_guest("looking at a generation", CHANGE, || {
            collect_garbage(&cluster, &access, &[number], false).map(drop)
        })?;
        match outcome {
            Err(GenerationError::Kept { why, .. }) if why.to_string().contains(words) => Ok(()),
            Err(error) => Err(Failure::expected("removing failed in another way", &error)),
            Ok(()) => Err(Failure::product(format!("generation {number} is gone, and was needed"))),
        }
    }
}

/// Nobody is restarted.
fn no_restart() -> Rollout {
    Rollout {
        canary: None,
        batch: 1,
        stagger: Stagger::default(),
        // What is too long is decided by the guests' own work.
        patience: Duration::from_secs(24 * 3600),
    }
}

impl Node {
    /// Its root is that of a generation.
    ///
    /// # Errors
    /// It is that of another one.
    pub fn runs_from_generation(&self, number: u32) -> Verdict {
        self.says(
            "sed 's,.*/generations/\\([0-9]*\\)/root.*,\\1,' /proc/cmdline",
            &number.to_string(),
        )
    }
}
