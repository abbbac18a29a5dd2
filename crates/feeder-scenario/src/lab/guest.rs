//! A machine as waits see it, and the points of its boot that its console tells.

use std::{sync::Arc, time::Duration};

use feeder_machine::{Machine, State, StopReason};

use super::{node::restart, unit};
use crate::{Class, Event, Fate, Guest, Story};

/// Lines that a failure may quote.
const LAST_LINES: usize = 12;

/// What a console line means: a part of it, and the point of the boot that it is.
const MILESTONES: &[(&str, &str)] = &[
    ("Booting Linux on physical CPU", "kernel"),
    ("Run /init as init process", "initramfs"),
    ("root is an overlay over", "overlay on nfs"),
    ("root is its own copy at", "copy on nfs"),
    ("running in system mode", "systemd"),
];

/// Lines after which a boot stands still until somebody helps: a part of the line, and what it means. The last words on a
/// console name the cause; waiting on would only hide it.
const DEAD_ENDS: &[(&str, &str)] = &[
    (
        "server replied: Permission denied",
        "may not mount its root: the server has no export for it",
    ),
    ("access denied by server", "may not mount its state: the server has no export for it"),
    ("Give root password for maintenance", "is in emergency mode"),
    ("You are in emergency mode", "is in emergency mode"),
    ("(initramfs) ", "stands at the prompt of its initramfs: it did not find its root"),
];

/// How a Debian initramfs begins when it cannot start the first process of the real root. It goes on with another, such as
/// `/sbin/init`, and what comes up then is not what was wanted (initramfs-tools, `init`; klibc, `run-init`).
const RUN_INIT: &str = "run-init: ";

/// What Linux says when it gives up (kernel/panic.c).
const PANIC: &str = "Kernel panic - not syncing";

pub(crate) struct MachineGuest(pub(crate) Arc<Machine>);

impl Guest for MachineGuest {
    fn cpu_time(&self) -> Option<Duration> {
        self.0.cpu_time().ok()
    }

    fn starved(&self) -> Duration {
        self.0.starved()
    }

    fn fate(&self) -> Option<Fate> {
        if let Some(words) = self.0.console().panicked() {
            return Some(Fate::product(format!("panicked: {words}")));
        }
        if restart::is_under_way(&self.0) {
            return None;
        }
        if let State::Stopped(reason) = self.0.state() {
            let class = match reason {
                StopReason::Crashed { .. } => Class::Harness,
                _ => Class::Product,
            };
            return Some(Fate { class, what: format!("stopped: {reason}") });
        }
        let lines = self.0.console().last_lines(LAST_LINES);
        DEAD_ENDS.iter().find_map(|(part, meaning)| {
            let line = lines.iter().rev().find(|line| line.contains(part))?;
            Some(Fate::product(format!("{meaning} ({})", line.trim())))
        })
    }

    fn last_lines(&self) -> Vec<String> {
        self.0.console().last_lines(LAST_LINES)
    }
}

/// What a line says that ends a machine's boot for good.
fn last_words(line: &str) -> Option<String> {
    if let Some(found) = line.find(PANIC) {
        return Some(line[found..].trim().to_owned());
    }
    let (_, meaning) = DEAD_ENDS.iter().find(|(part, _)| line.contains(part))?;
    Some(format!("{meaning} ({})", line.trim()))
}

/// Tells the points of a machine's boot, and what its first process says, until its console ends.
pub(crate) fn watch_console(story: &Story, node: &str, machine: &Machine) {
    let lines = machine.console().lines();
    let (story, node) = (story.clone(), node.to_owned());
    // Ends with the console, whose sender the machine owns.
    drop(std::thread::Builder::new().name(format!("console-{node}")).spawn(move || {
        let mut ended = false;
        for line in lines {
            story.clock().ring();
            if let Some((_, name)) = MILESTONES.iter().find(|(part, _)| line.text.contains(part)) {
                story.milestone(&node, *name, None);
            } else if let Some((_, words)) = line.text.split_once("feeder: ") {
                story.milestone(&node, "worker-init", Some(words.trim().to_owned()));
            } else if let Some(words) = line.text.strip_prefix(RUN_INIT) {
                story.milestone(&node, "run-init", Some(words.trim().to_owned()));
            } else if let Some((unit, state)) = unit::parse(&line.text) {
                story.emit(Some(&node), Event::Unit { unit, state });
            } else if let Some(words) = last_words(&line.text).filter(|_| !ended) {
                ended = true;
                story.emit(Some(&node), Event::DeadEnd { words });
            }
        }
    }));
}
