//! A node whose system restarts itself: its firmware runs again, as a board's does.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use feeder_bootrom::TryBoot;
use feeder_machine::{Machine, State, StopReason};

use super::{Node, Shared};
use crate::{Failure, Fate, Guest, PowerEnd, Verdict, clock::locked, panics::caught};

/// What a kernel says when it restarts the board with an argument for its firmware, which QEMU's machines do not pass on
/// (kernel/reboot.c).
const ARGUMENT: &str = "Restarting system with command '";
/// So many lines may follow it on a console.
const LAST_LINES: usize = 12;

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

/// What the system of a machine that has stopped asked of the firmware.
fn asked(machine: &Machine) -> TryBoot {
    let console = machine.console();
    // To its end: its last lines may still be on their way.
    console.lines().iter().for_each(drop);
    argument(&console.last_lines(LAST_LINES)).map_or(TryBoot::Off, TryBoot::asked_by)
}

fn argument(lines: &[String]) -> Option<&str> {
    let line = lines.iter().rev().find_map(|line| line.split_once(ARGUMENT))?.1;
    line.strip_suffix('\'')
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
        let tryboot = asked(machine);
        {
            let mut state = locked(&self.shared.state);
            // Somebody has cut its power meanwhile.
            if !state.is_on(machine) {
                return Ok(());
            }
            state.machine = None;
            state.ssh = None;
            state.tryboot = tryboot;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_may_ask_for_a_trial() {
        let lines =
            |last: &str| ["[   81.1] systemd-shutdown[1]: Rebooting.".to_owned(), last.to_owned()];
        let trial = lines("[   81.2] reboot: Restarting system with command '0 tryboot'");
        assert_eq!(argument(&trial), Some("0 tryboot"));
        assert_eq!(argument(&lines("[   81.2] reboot: Restarting system")), None);
    }
}
