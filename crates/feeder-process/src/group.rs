//! The process groups that we lead: what must be gone before we are.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard},
};

use rustix::process::{Pid, Signal, kill_process_group};

/// Leaders that have not been reaped yet. Signals go only to members: a number whose process is gone may already
/// belong to somebody else.
static LIVE: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn live() -> MutexGuard<'static, BTreeSet<i32>> {
    LIVE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A process group, named by its leader, a child of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group(Pid);

impl Group {
    /// Takes note of a child that was just started as leader of its own group.
    pub(crate) fn register(leader: Pid) -> Self {
        live().insert(leader.as_raw_nonzero().get());
        Self(leader)
    }

    /// Sends a signal to every process of the group while its leader lives.
    pub(crate) fn signal(self, signal: Signal) {
        if live().contains(&self.0.as_raw_nonzero().get()) {
            // The only errors are "gone already" and "changed its user": nothing to do about either.
            let _ = kill_process_group(self.0, signal);
        }
    }

    /// To be called at once when the leader was reaped: kills what it left behind and forgets the group.
    pub(crate) fn end(self) {
        let mut live = live();
        if live.remove(&self.0.as_raw_nonzero().get()) {
            let _ = kill_process_group(self.0, Signal::KILL);
        }
    }
}

/// Kills every group at once, for a way out that does not unwind.
///
/// As long as the result is held, nobody learns that a child has ended: whoever waits for one would go on, and could end the
/// program in its own way before the caller does.
pub(crate) fn kill_all() -> MutexGuard<'static, BTreeSet<i32>> {
    let live = live();
    for &leader in live.iter() {
        if let Some(leader) = Pid::from_raw(leader) {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
    live
}
