//! `cargo xtask provision`

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use clap::Args;
use feeder_modules::{Disk, Permits, Provisioned, Scope, provision};
use feeder_plan::{ApplyEvent, HostPlan, Mode, Phase};
use feeder_ui::{Exit, Progress, Task, ask_for, elapsed, plural, size};
use serde::Serialize;

use crate::{Context, Outcome, Run, format::Format, reach::Reach};

/// Bring a cluster to what cluster.toml says, over SSH
///
/// Asks the master about everything that should be, shows the difference, changes only that and verifies it. A second run
/// finds nothing to do; an interrupted one goes on where it stopped. Workers get what they need from the master when they
/// boot. The workers' host keys are recorded in the known_hosts file.
///
/// On first contact the master has whatever address your router gave it: say `--at NAME=ADDRESS --accept-new`.
#[derive(Debug, Args)]
pub(crate) struct Provision {
    /// Show what would change, and change nothing; exits with 1 when there is something to change
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    reach: Reach,
    /// The disk of [master.ssd], by its name below /dev/disk/by-id: all that is on it may be destroyed. Without this, a
    /// question on the terminal asks for the name
    #[arg(long, value_name = "ID")]
    erase: Option<String>,
    /// Let the boot ROM of a 3B look at USB, when its SD card is to be removed. This can never be undone
    #[arg(long)]
    program_usb_boot: bool,
    /// Before the master moves, start it once with its root on the SSD (by the firmware's tryboot); it goes back to its SD card
    /// by itself when that does not come up
    #[arg(long)]
    trial: bool,
    /// Only these modules, by the names that the plan shows; what they need first must be as it should be
    #[arg(long, value_name = "MODULE", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these nodes: the master, or workers with what the master keeps for them
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    host: Vec<String>,
    /// The form of the plan on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    plan: &'a HostPlan,
    changed: usize,
    notes: &'a [String],
    round_trips: &'a BTreeMap<String, usize>,
}

impl Run for Provision {
    fn run(self, context: &Context) -> Outcome {
        let (cluster, access) = self.reach.prepare(context)?;
        let mode = if self.plan { Mode::Plan } else { Mode::Apply };
        let mut permits = Permits {
            erase: self.erase,
            confirm: &mut |id, disk| agrees(&context.progress, id, disk),
            program_usb_boot: self.program_usb_boot,
            trial: self.trial,
            scope: Scope { modules: self.only, hosts: self.host },
        };
        let master = cluster.master.name.as_str();
        let mut shown = Shown { progress: &context.progress, master, hosts: Vec::new() };
        let provisioned =
            provision(&cluster, &access, mode, &mut permits, &mut |event| shown.event(event))?;
        shown.end();
        for note in &provisioned.notes {
            context.progress.note(note);
        }
        let Provisioned { plan, changed, notes, round_trips } = &provisioned;
        let answer = Answer { plan, changed: *changed, notes, round_trips };
        self.format.print(&answer, |_| text(mode, &provisioned))?;
        Ok(if mode == Mode::Plan && !provisioned.plan.is_empty() {
            Exit::NotAsWanted
        } else {
            Exit::Ok
        })
    }
}

/// Asks on the terminal whether all that is on a disk may be destroyed.
fn agrees(progress: &Progress, id: &str, disk: &Disk) -> bool {
    let _held = progress.hold();
    let question = format!("{} holds {}. All of that is destroyed.", disk.describe(), disk.holds());
    ask_for(&question, id, &feeder_process::interrupt::requested) == feeder_ui::Answer::Yes
}

fn text(mode: Mode, Provisioned { plan, changed, round_trips, .. }: &Provisioned) -> String {
    let asked = plural(round_trips.get(&plan.host).copied().unwrap_or_default(), "round trip");
    match mode {
        Mode::Plan if plan.is_empty() => plan.to_string(),
        Mode::Plan => {
            format!("{plan}nothing has been changed. run `cargo xtask provision` to apply.\n")
        }
        Mode::Apply if *changed == 0 => format!("{plan}nothing to do ({asked})\n"),
        Mode::Apply => format!("{plan}{} made and verified\n", plural(*changed, "change")),
    }
}

/// Changes as they are made: a task for each step of the master, and for each other node at which something is done.
struct Shown<'a> {
    progress: &'a Progress,
    master: &'a str,
    hosts: Vec<AtHost>,
}

/// What is being done at a host.
struct AtHost {
    host: String,
    step: String,
    task: Task,
    changed: usize,
    /// When a long change first said how far it was, and how far.
    moving: Option<(Instant, u64)>,
}

impl Shown<'_> {
    fn event(&mut self, event: ApplyEvent<'_>) {
        let here = self.hosts.iter().position(|at| at.host == event.host);
        let here = match here {
            Some(here) if self.hosts[here].step == event.step => here,
            other => {
                if let Some(before) = other {
                    self.hosts.remove(before).end();
                }
                self.hosts.push(self.begin(event.host, event.step));
                self.hosts.len() - 1
            }
        };
        if event.phase == Phase::Failed {
            self.hosts.remove(here).task.failed(&event.change.text);
        } else {
            self.hosts[here].event(event);
        }
    }

    fn begin(&self, host: &str, step: &str) -> AtHost {
        let name = if host == self.master { step } else { host };
        let (host, step) = (host.to_owned(), step.to_owned());
        AtHost { host, step, task: self.progress.task(name), changed: 0, moving: None }
    }

    fn end(&mut self) {
        self.hosts.drain(..).for_each(AtHost::end);
    }
}

impl AtHost {
    fn event(&mut self, event: ApplyEvent<'_>) {
        match event.phase {
            Phase::Begin => {
                self.moving = None;
                self.task.say(&event.change.text);
            }
            Phase::Output(line) => self.task.say(line),
            Phase::Moved(bytes, total) => {
                let (began, first) = *self.moving.get_or_insert_with(|| (Instant::now(), bytes));
                self.task.say(pace(
                    began.elapsed(),
                    bytes.saturating_sub(first),
                    total.saturating_sub(bytes),
                ));
                self.task.bytes(bytes.min(total), Some(total));
            }
            Phase::Done => self.changed += 1,
            Phase::Failed => {}
        }
    }

    fn end(self) {
        self.task.done(format!("{} changed", self.changed));
    }
}

/// `12.3 MB/s, 38 s left`, from what was moved in that time and what is left; nothing as long as it would be a guess.
fn pace(took: Duration, moved: u64, left: u64) -> String {
    let seconds = took.as_secs_f64();
    if seconds < 1.0 || moved == 0 {
        return "copying".to_owned();
    }
    let rate = moved as f64 / seconds;
    let left = Duration::from_secs_f64(left as f64 / rate);
    format!("{}/s, {} left", size(rate as u64), elapsed(left))
}

#[cfg(test)]
mod tests {
    use feeder_plan::{Change, Sign};

    use super::*;

    #[test]
    fn the_pace_is_told_when_it_is_known() {
        assert_eq!(pace(Duration::from_millis(200), 5_000_000, 1), "copying");
        assert_eq!(pace(Duration::from_secs(10), 123_000_000, 615_000_000), "12.3 MB/s, 50 s left");
        assert_eq!(pace(Duration::from_secs(9), 0, 1), "copying");
    }

    #[test]
    fn every_node_has_a_line_of_its_own() {
        let (progress, record) = Progress::recording();
        let change = |text: &str| Change::elsewhere(text, Sign::Add, text);
        let mut shown = Shown { progress: &progress, master: "cluster00", hosts: Vec::new() };
        for (host, step, text, phase) in [
            ("cluster00", "nfs", "package nfs", Phase::Begin),
            ("cluster00", "nfs", "package nfs", Phase::Done),
            ("cluster01", "swarm", "cluster01: joins", Phase::Begin),
            ("cluster02", "swarm", "cluster02: joins", Phase::Begin),
            ("cluster01", "swarm", "cluster01: joins", Phase::Done),
            ("cluster02", "swarm", "cluster02: joins", Phase::Failed),
            ("cluster00", "swarm", "label", Phase::Begin),
            ("cluster00", "swarm", "label", Phase::Done),
        ] {
            shown.event(ApplyEvent { host, step, change: &change(text), phase });
        }
        shown.end();
        insta::assert_snapshot!(record.lines().join("\n"));
    }
}
