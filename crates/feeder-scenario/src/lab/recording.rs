//! What a node writes to its disks between two moments without power, for whoever cuts it off afterwards.

use std::sync::{Mutex, PoisonError};

use camino::Utf8PathBuf;
use feeder_machine::write_log::{Follow, WriteLog};
use fs_err as fs;

use super::Node;
use crate::{
    Class, Failure, OrFail, Verdict,
    crash::{Disk, Recorded},
};

/// A node's SD card and SSD as they were, and what is being written to them.
pub struct Recording {
    node: Node,
    /// Raw images of the card and of the SSD.
    before: [Utf8PathBuf; 2],
    logs: [Utf8PathBuf; 2],
    /// Until the end.
    follow: Mutex<Option<Follow>>,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("logs", &self.logs).finish_non_exhaustive()
    }
}

impl Node {
    /// From the next power-on on, until the system restarts, all that is written to the SD card and to the SSD is recorded, with
    /// the order between the two. The states of steps cannot be kept meanwhile.
    ///
    /// # Errors
    /// The node has power, no card or no SSD, or the host has no room for copies of both.
    pub fn record_disks(&self) -> Verdict<Recording> {
        let logs = [self.log_card_writes()?, self.log_ssd_writes()?];
        let before = ["sd", "ssd"]
            .map(|id| self.bench().story.dir().scratch().join(format!("{}.{id}.raw", self.name())));
        self.copy_card(&before[0])?;
        self.copy_ssd(&before[1])?;
        for log in &logs {
            fs::write(log, "").or_fail(Class::Host, "cannot begin a log of writes")?;
        }
        let follow = Follow::start(&logs)
            .map_err(|error| Failure::expected("cannot record disks", &error).on(self.name()))?;
        Ok(Recording { node: self.clone(), before, logs, follow: Mutex::new(Some(follow)) })
    }
}

impl Recording {
    /// Gives this moment words.
    pub(super) fn say(&self, words: &str) -> Verdict {
        let follow = self.follow.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(follow) = &*follow else {
            return Err(Failure::scenario("the recording is over"));
        };
        follow.say(words).map_err(|error| self.failure(&error))
    }

    /// Ends it. The node must have lost its power, or have restarted.
    ///
    /// # Errors
    /// The logs cannot be read, or nobody followed them to the end.
    pub fn end(self) -> Verdict<Recorded> {
        let follow = self.follow.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(follow) = follow else {
            return Err(Failure::scenario("the recording is over"));
        };
        let moments = follow.stop().map_err(|error| self.failure(&error))?;
        let disk = |index: usize| -> Verdict<Disk> {
            let log = WriteLog::open(&self.logs[index]).map_err(|error| self.failure(&error))?;
            Ok(Disk { image: self.before[index].clone(), log })
        };
        Ok(Recorded { card: disk(0)?, ssd: disk(1)?, moments, profile: self.node.profile() })
    }

    fn failure(&self, error: &feeder_machine::write_log::WriteLogError) -> Failure {
        Failure::expected("cannot record disks", error).on(self.node.name())
    }
}
