//! The prompt at which a person handles the machines of a run that stands still: after a failure, before a step, at the
//! end.
//!
//! It opens between steps only, when nobody waits for a machine: no deadline runs while somebody thinks. The machines run
//! on. It speaks on stderr, as all talk; what a remote command prints stays on stdout.

mod by_hand;
mod command;
mod console;
mod desk;
mod events;
mod keyboard;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use feeder_process::{Cmd, quote};
use feeder_ui::Progress;

pub(crate) use self::desk::NoMachines;
pub use self::{
    by_hand::{ByHand, NotByHand, by_hand},
    desk::{ConsoleEnd, Desk, NodeState, Power},
    keyboard::Keyboard,
};
use self::{
    command::{Command, parse},
    keyboard::Typed,
};
use crate::{Class, Failure, StepRef, Story, Verdict, clock::locked};

/// What is shown where commands are typed.
const PROMPT: &str = "scenario> ";

/// Whether somebody is there while a scenario runs, and when the prompt opens for them.
#[derive(Debug, Clone, Default)]
pub enum Attended {
    /// Nobody.
    #[default]
    No,
    /// Somebody who wants to look when it fails.
    OnFailure(Keyboard),
    /// Somebody who wants to be asked before a step, or at the end when there is no such step; and when it fails.
    Until {
        /// The step's number, or a part of its sentence. Without it, the end.
        step: Option<String>,
        /// Where they type.
        keyboard: Keyboard,
    },
}

/// The prompt of one run.
pub(crate) struct Shell {
    keyboard: Keyboard,
    desk: Arc<dyn Desk>,
    progress: Progress,
    plan: Mutex<Plan>,
    opened: AtomicBool,
}

/// When the prompt opens next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    /// When the run fails.
    Failure,
    /// At the end, passed or failed.
    End,
    /// Before a step that a person named; at the end when it does not come.
    Step(String),
    /// Before the next step that is not inside of this one.
    Next(StepRef),
    /// Never: nobody is there any more.
    Never,
}

/// How the prompt was left.
enum Left {
    /// To play on.
    On(Plan),
    /// To end the run.
    Quit,
    /// By a signal.
    Stopped,
}

impl Shell {
    /// The prompt for whoever attends, if anybody does.
    pub(crate) fn of(
        attended: &Attended,
        desk: Arc<dyn Desk>,
        progress: &Progress,
    ) -> Option<Self> {
        let (keyboard, plan) = match attended {
            Attended::No => return None,
            Attended::OnFailure(keyboard) => (keyboard, Plan::Failure),
            Attended::Until { step: None, keyboard } => (keyboard, Plan::End),
            Attended::Until { step: Some(step), keyboard } => (keyboard, Plan::Step(step.clone())),
        };
        let (keyboard, progress) = (keyboard.clone(), progress.clone());
        Some(Self {
            keyboard,
            desk,
            progress,
            plan: Mutex::new(plan),
            opened: AtomicBool::new(false),
        })
    }

    /// Whether it is to open before this step.
    pub(crate) fn opens_before(&self, step: &StepRef) -> bool {
        match &*locked(&self.plan) {
            Plan::Step(wanted) => is_meant(wanted, step),
            Plan::Next(last) => !is_inside(step, last),
            Plan::Failure | Plan::End | Plan::Never => false,
        }
    }

    /// Whether it is to open at the end of a story that was told so.
    pub(crate) fn opens_at_the_end(&self, story: &Story, told: &Verdict) -> bool {
        let plan = locked(&self.plan);
        match told {
            _ if *plan == Plan::Never || story.interrupted() => false,
            Err(failure) => failure.class != Class::Interrupted,
            Ok(()) => *plan != Plan::Failure,
        }
    }

    /// Whether it has opened yet: a person may have done anything to the machines.
    pub(crate) fn has_opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
    }

    /// Opens before a step if it is to open there.
    ///
    /// # Errors
    /// The person ended the run, or somebody interrupted it.
    pub(crate) fn before_step(&self, story: &Story, step: &StepRef) -> Verdict {
        if !self.opens_before(step) {
            return Ok(());
        }
        match self.open(story, &format!("before {step}"), Some(step)) {
            Left::On(plan) => *locked(&self.plan) = plan,
            Left::Quit => {
                *locked(&self.plan) = Plan::Never;
                return Err(Failure::interrupted(format!(
                    "the run was ended at the prompt before {step}"
                )));
            }
            Left::Stopped => {
                return Err(Failure::interrupted(format!("interrupted before {step}")));
            }
        }
        Ok(())
    }

    /// Opens at the end of the story, while the machines still run, if it is to open there. However it is left, the run
    /// ends; its verdict is that of the story.
    pub(crate) fn at_the_end(&self, story: &Story, told: &Verdict) {
        if !self.opens_at_the_end(story, told) {
            return;
        }
        let why = match told {
            Err(failure) => {
                let place = failure.step.as_ref().map(|step| format!(" at {step}"));
                self.say(&format!("failed{}: {failure}", place.unwrap_or_default()));
                failure.details.iter().for_each(|line| self.say(&format!("  {line}")));
                "after the failure"
            }
            Ok(()) => {
                if let Plan::Step(wanted) = &*locked(&self.plan) {
                    self.say(&format!("no step was {wanted}"));
                }
                "after the last step"
            }
        };
        self.open(story, why, None);
        *locked(&self.plan) = Plan::Never;
    }

    /// The dialogue.
    fn open(&self, story: &Story, place: &str, step: Option<&StepRef>) -> Left {
        story.note(format!("the prompt opens {place}; the machines run on"));
        self.opened.store(true, Ordering::Relaxed);
        let _held = self.progress.hold();
        let left = loop {
            if self.keyboard.is_terminal() {
                feeder_ui::talk_raw(PROMPT);
            }
            let line = match self.keyboard.line(&|| story.interrupted()) {
                Typed::Line(line) => line,
                Typed::End => break Left::On(Plan::Never),
                Typed::Stopped => break Left::Stopped,
            };
            let names: Vec<String> = self.desk.nodes().into_iter().map(|node| node.name).collect();
            match parse(&line, &names) {
                Err(misunderstood) => self.say(&misunderstood.to_string()),
                Ok(None) => {}
                Ok(Some(Command::Quit)) => break Left::Quit,
                Ok(Some(Command::Step)) => {
                    break Left::On(step.cloned().map_or(Plan::End, Plan::Next));
                }
                Ok(Some(Command::Continue { until })) => {
                    break Left::On(until.map_or(Plan::End, Plan::Step));
                }
                Ok(Some(command)) => {
                    if let Err(failure) = self.obey(story, &command) {
                        self.say(&failure.to_string());
                        failure.details.iter().for_each(|line| self.say(&format!("  {line}")));
                    }
                }
            }
        };
        if self.keyboard.is_terminal()
            && !matches!(left, Left::On(ref plan) if *plan != Plan::Never)
        {
            // The prompt's line is still open: neither Ctrl-D nor Ctrl-C end it.
            feeder_ui::talk_raw("\n");
        }
        left
    }

    /// Does what leaves the prompt open.
    fn obey(&self, story: &Story, command: &Command) -> Verdict {
        match command {
            Command::Help => self.say(&command::help()),
            Command::Nodes => {
                for node in self.desk.nodes() {
                    let (at, address) = (&node.at, &node.address);
                    self.say(&format!("{:<12} {address:<16} {at:<22} {}", node.name, node.state));
                }
            }
            Command::Ssh { node, command } => self.ssh(story, node, command.as_deref())?,
            Command::Console { node } => {
                let end = self.desk.console(node)?;
                story.note(format!("prompt: console of {node}"));
                self.say("Ctrl-] comes back");
                console::sit_at(end, &self.keyboard, &feeder_ui::talk_raw, &|| story.interrupted())
                    .map_err(|error| Failure::host(format!("cannot show the console: {error}")))?;
                self.say("");
            }
            Command::Power { node, what } => {
                story.note(format!("prompt: power {node} {}", what.name()));
                self.desk.power(node, *what)?;
            }
            Command::Qemu { node } => match by_hand(story.dir().path(), node) {
                Ok(by_hand) => self.say(&by_hand.command),
                Err(error) => self.say(&error.to_string()),
            },
            Command::Log { node, lines } => {
                let path = story.dir().path().join(node).join("console.timed.log");
                let text = fs_err::read(&path).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                let all: Vec<&str> = text.lines().collect();
                if all.is_empty() {
                    self.say(&format!("the console of {node} has said nothing"));
                }
                all[all.len().saturating_sub(*lines)..].iter().for_each(|line| self.say(line));
            }
            Command::Events { node, count } => {
                let records = story.journal().records();
                let about = |record: &&crate::Record| node.is_none() || record.node == *node;
                let matching: Vec<_> = records.iter().filter(about).collect();
                let skip = matching.len().saturating_sub(*count);
                matching[skip..].iter().for_each(|record| self.say(&events::line(record)));
            }
            Command::Step | Command::Continue { .. } | Command::Quit => {}
        }
        Ok(())
    }

    /// The system's ssh, on our terminal.
    fn ssh(&self, story: &Story, node: &str, command: Option<&str>) -> Verdict {
        let keyboard = self.keyboard.is_terminal();
        if command.is_none() && !keyboard {
            return Err(Failure::scenario(
                "a login needs a terminal; here, ssh NODE COMMAND... works",
            ));
        }
        let argv = self.desk.ssh(node, command, keyboard)?;
        let words: Vec<_> = argv.iter().map(|word| quote(word)).collect();
        self.say(&words.join(" "));
        let asked = command.map_or_else(String::new, |command| format!(": {command}"));
        story.note(format!("prompt: ssh to {node}{asked}"));
        let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
        match Cmd::new(program).args(arguments).interactive() {
            Ok(status) if status.success() => {}
            Ok(status) => self.say(&format!("it ended with {status}")),
            Err(error) => return Err(Failure::host(format!("cannot start ssh: {error}"))),
        }
        Ok(())
    }

    fn say(&self, text: &str) {
        self.progress.note(text);
    }
}

/// Whether a person means this step: by its number, or by a part of its sentence.
fn is_meant(wanted: &str, step: &StepRef) -> bool {
    let wanted = wanted.trim();
    let is_number = wanted.chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_number {
        step.number == wanted
    } else {
        step.name.to_lowercase().contains(&wanted.to_lowercase())
    }
}

/// Whether a step belongs to another, at whatever depth.
fn is_inside(step: &StepRef, outer: &StepRef) -> bool {
    step.number.strip_prefix(&outer.number).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
