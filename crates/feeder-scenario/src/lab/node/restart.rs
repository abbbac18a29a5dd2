//! A node whose system restarts itself: its firmware runs again, as a board's does.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use feeder_machine::{Machine, State, StopReason};

use super::{Node, Shared};
use crate::{Failure, Fate, Guest, PowerEnd, Verdict, clock::locked, panics::caught};

/// What waits see of a board that restarted and found nothing to start.
struct NotBack(Failure);

impl Guest for NotBack {
    fn cpu_time(&self) -> Option<Duration> {
        None
    }

    fn starved(&self) -> Duration {
        Duration::ZERO
    }

    fn fate(&self) -> Option<Fate> {
        let Failure { class, message, .. } = &self.0;
        Some(Fate { class: *class, what: format!("restarted, and {message}") })
    }

    fn last_lines(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Whether a machine is about to be started again by its firmware.
pub(in crate::lab) fn is_under_way(machine: &Machine) -> bool {
    matches!(machine.state(), State::Stopped(StopReason::GuestReset))
}

impl Node {
    /// Starts the machine again each time that its guest resets itself, until it has no power any more.
    pub(super) fn restarts(&self, machine: &Arc<Machine>) {
        let (node, machine) = (Arc::downgrade(&self.shared), Arc::clone(machine));
        let name = format!("restart-{}", self.name());
        // Ends with the machine, or within a quarter of a second of its losing power.
        drop(std::thread::Builder::new().name(name).spawn(move || watch(&node, &machine)));
    }

    fn restart(&self, machine: &Arc<Machine>) -> Verdict {
        let bench = &self.shared.bench;
        {
            let mut state = locked(&self.shared.state);
            // Somebody has cut its power meanwhile.
            if !state.is_on(machine) {
                return Ok(());
            }
            state.machine = None;
            state.ssh = None;
        }
        bench.story.power_off(self.name(), PowerEnd::Restart, None);
        self.no_more_write_logs();
        self.power_on().map(drop)
    }
}

fn watch(node: &Weak<Shared>, machine: &Arc<Machine>) {
    let is_on = || node.upgrade().is_some_and(|shared| locked(&shared.state).is_on(machine));
    let stopped = machine.wait_stopped(&mut || is_on());
    if !matches!(stopped, Some(StopReason::GuestReset)) {
        return;
    }
    let Some(shared) = node.upgrade() else { return };
    let node = Node { shared };
    if let Err(failure) = caught(|| node.restart(machine)) {
        let story = &node.shared.bench.story;
        story.guest(node.name(), Arc::new(NotBack(failure)));
        story.clock().ring();
    }
}
