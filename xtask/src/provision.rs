//! `cargo xtask provision`

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use clap::Args;
use feeder_modules::{Disk, Permits, Provisioned, provision};
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
        };
        let mut shown = Shown { progress: &context.progress, step: None, moving: None };
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

/// Changes as they are made: a task for each step.
struct Shown<'a> {
    progress: &'a Progress,
    step: Option<(String, Task, usize)>,
    /// When a long change first said how far it was, and how far.
    moving: Option<(Instant, u64)>,
}

impl Shown<'_> {
    fn event(&mut self, event: ApplyEvent<'_>) {
        if self.step.as_ref().is_none_or(|(step, _, _)| step != event.step) {
            self.end();
            self.step = Some((event.step.to_owned(), self.progress.task(event.step), 0));
        }
        let Some((_, task, changed)) = &mut self.step else { return };
        match event.phase {
            Phase::Begin => {
                self.moving = None;
                task.say(&event.change.text);
            }
            Phase::Output(line) => task.say(line),
            Phase::Moved(bytes, total) => {
                let (began, first) = *self.moving.get_or_insert_with(|| (Instant::now(), bytes));
                task.say(pace(
                    began.elapsed(),
                    bytes.saturating_sub(first),
                    total.saturating_sub(bytes),
                ));
                task.bytes(bytes.min(total), Some(total));
            }
            Phase::Done => *changed += 1,
            Phase::Failed => {
                if let Some((_, task, _)) = self.step.take() {
                    task.failed(&event.change.text);
                }
            }
        }
    }

    fn end(&mut self) {
        if let Some((_, task, changed)) = self.step.take() {
            task.done(format!("{changed} changed"));
        }
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
    use super::*;

    #[test]
    fn the_pace_is_told_when_it_is_known() {
        assert_eq!(pace(Duration::from_millis(200), 5_000_000, 1), "copying");
        assert_eq!(pace(Duration::from_secs(10), 123_000_000, 615_000_000), "12.3 MB/s, 50 s left");
        assert_eq!(pace(Duration::from_secs(9), 0, 1), "copying");
    }
}
