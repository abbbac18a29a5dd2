//! The one way to wait: with a deadline that counts what the guests have done.
//!
//! # The law
//!
//! A wait has a [`Budget`] of vCPU time. With *cpu* the vCPU time that the watched machines have used together since the
//! wait began, *wall* the wall-clock time since then, and *starved* how much of it the host kept them from working (their
//! threads were ready to run and got no processor, summed over them), what is spent is
//!
//! ```text
//! spent = max(cpu, (wall - starved) / 4, wall / 16)
//! ```
//!
//! and the wait is over when `spent >= budget`. So
//!
//! - a guest that is busy with the wrong thing fails after exactly its budget of work, however loaded the host is;
//! - a guest that idles, and so uses hardly any CPU, still fails: when it has idled for four times the budget;
//! - a host that gives the guests little time only makes the wait longer: what is spent is the same as on a host that has
//!   nothing else to do. This holds as long as each second of the guests takes less than sixteen of the host, so that every
//!   wait ends. What ends then, with nothing known about the guests, is the host's fault;
//! - how often somebody looks makes no difference: only the totals count.
//!
//! Several threads that wait for a processor at the same time count several times. That, too, only makes the wait longer. A
//! host that does not tell how long threads wait (Linux without `CONFIG_SCHED_INFO`) never starves anybody.
//!
//! The wall clock does not run while the host is suspended. Before the deadline, a wait ends when a watched machine is lost
//! ([`crate::Guest::fate`]), when a condition of [`WaitSpec::doomed_if`] holds, or when somebody interrupts the run.

use std::time::Duration;

use feeder_ui::elapsed;

use crate::{Class, Event, Failure, Fate, Reading, Story, Verdict};

/// An idle second of the wall clock counts as one part in so many of a second of work.
pub const IDLE_SHARE: u32 = 4;
/// A second of the wall clock in which the host keeps the guests from working counts as one part in so many.
pub const STARVED_SHARE: u32 = 16;
/// How long nobody looks when nothing rings the bell.
const TICK: Duration = Duration::from_millis(200);
/// Starvation is told when it is more than one part in so many of the time.
const WORTH_TELLING: u32 = 10;
/// Console lines in a failure.
const LAST_LINES: usize = 6;

/// How much work of the guests something may take, in vCPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Budget(pub Duration);

impl Budget {
    /// A budget in seconds of vCPU time.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of guest work", elapsed(self.0))
    }
}

/// What a deadline looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Both clocks, the guests' of the watched machines.
    pub clocks: Reading,
    /// How long the host kept the watched machines from working, summed over their threads.
    pub starved: Duration,
}

impl Progress {
    /// What has come since an earlier look.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            clocks: self.clocks.since(earlier.clocks),
            starved: self.starved.saturating_sub(earlier.starved),
        }
    }
}

/// The law, without a clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    start: Progress,
    budget: Budget,
}

/// How a budget was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The guests worked all of it.
    Worked,
    /// The guests idled for [`IDLE_SHARE`] times as long.
    Idled,
    /// The host hardly let the guests run for [`STARVED_SHARE`] times as long.
    Starved,
}

impl Deadline {
    /// A deadline that begins to count at `start`.
    pub fn new(start: Progress, budget: Budget) -> Self {
        Self { start, budget }
    }

    /// How much of the budget is spent.
    pub fn spent(&self, now: Progress) -> Duration {
        let Progress { clocks: Reading { wall, guest }, starved } = now.since(self.start);
        guest.max(wall.saturating_sub(starved) / IDLE_SHARE).max(wall / STARVED_SHARE)
    }

    /// Whether the budget is used up, and how.
    pub fn expired(&self, now: Progress) -> Option<Expiry> {
        let Progress { clocks: Reading { wall, guest }, starved } = now.since(self.start);
        if guest >= self.budget.0 {
            Some(Expiry::Worked)
        } else if wall.saturating_sub(starved) / IDLE_SHARE >= self.budget.0 {
            Some(Expiry::Idled)
        } else if self.spent(now) >= self.budget.0 {
            Some(Expiry::Starved)
        } else {
            None
        }
    }
}

/// What a look at the world gives.
#[derive(Debug)]
pub enum Poll<T> {
    /// It came.
    Ready(T),
    /// Not yet, and there is nothing to tell.
    Pending,
    /// Not yet, but this was seen. The last of these is told when the wait fails.
    Seen(String),
    /// It will never come.
    Failed(Failure),
}

/// What is awaited, where, and how long.
pub struct WaitSpec<'a> {
    machine: String,
    awaited: String,
    budget: Budget,
    watched: Vec<String>,
    doom: Vec<Box<dyn FnMut() -> Option<Fate> + 'a>>,
    class: Class,
    hint: Option<String>,
}

impl<'a> WaitSpec<'a> {
    /// Waits for something on a machine, which is said as a noun: "an SSH banner", "dnsmasq.service". The machine's own
    /// work is counted.
    pub fn new(machine: impl Into<String>, awaited: impl Into<String>, budget: Budget) -> Self {
        let machine = machine.into();
        Self {
            watched: vec![machine.clone()],
            machine,
            awaited: awaited.into(),
            budget,
            doom: Vec::new(),
            class: Class::Product,
            hint: None,
        }
    }

    /// Watches other machines too: their work is counted, and the wait ends when one of them is lost. A worker's boot
    /// needs its master.
    #[must_use]
    pub fn watching(mut self, machines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        for machine in machines {
            let machine = machine.into();
            if !self.watched.contains(&machine) {
                self.watched.push(machine);
            }
        }
        self
    }

    /// Ends early when the condition gives a fate: the unit that would bring it has failed.
    #[must_use]
    pub fn doomed_if(mut self, condition: impl FnMut() -> Option<Fate> + 'a) -> Self {
        self.doom.push(Box::new(condition));
        self
    }

    /// Whose fault it is when the budget is used up; the product's, unless this says otherwise.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// What the reader can do when it does not come.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A wait that is under way, for code that blocks by itself: it asks [`Waiting::go_on`] now and then.
pub struct Waiting<'a> {
    story: &'a Story,
    spec: WaitSpec<'a>,
    began: Progress,
    deadline: Deadline,
    last_seen: Option<String>,
    stop: Option<Stop>,
}

enum Stop {
    Interrupted,
    Lost(String, Fate),
    Expired(Expiry),
}

impl<'a> Waiting<'a> {
    pub(crate) fn start(story: &'a Story, spec: WaitSpec<'a>) -> Self {
        let (awaited, budget) = (spec.awaited.clone(), spec.budget.0);
        story.emit(Some(&spec.machine), Event::WaitStarted { awaited, budget });
        let start = story.progress_of(&spec.watched);
        let deadline = Deadline::new(start, spec.budget);
        Self { story, spec, began: start, deadline, last_seen: None, stop: None }
    }

    /// Whether to wait on. Once it says no, it says no for ever.
    pub fn go_on(&mut self) -> bool {
        if self.stop.is_none() {
            self.stop = self.stop_now();
        }
        self.stop.is_none()
    }

    /// What is awaited comes in many parts, and another one came: the budget is for what is left until the next.
    pub fn got_on(&mut self) {
        self.deadline = Deadline::new(self.story.progress_of(&self.spec.watched), self.spec.budget);
    }

    /// Remembers what was seen, to be told when it does not come.
    pub fn saw(&mut self, what: impl Into<String>) {
        self.last_seen = Some(what.into());
    }

    fn stop_now(&mut self) -> Option<Stop> {
        if self.story.interrupted() {
            return Some(Stop::Interrupted);
        }
        if let Some((machine, fate)) = self.story.guests().fate_of(&self.spec.watched) {
            return Some(Stop::Lost(machine, fate));
        }
        if let Some(fate) = self.spec.doom.iter_mut().find_map(|condition| condition()) {
            return Some(Stop::Lost(self.spec.machine.clone(), fate));
        }
        self.deadline.expired(self.story.progress_of(&self.spec.watched)).map(Stop::Expired)
    }

    /// Looks until it comes or nothing is to be expected any more.
    pub(crate) fn poll<T>(mut self, mut look: impl FnMut() -> Poll<T>) -> Verdict<T> {
        let clock = self.story.clock().clone();
        loop {
            let rung = clock.rung();
            // Asked before looking, so that the last look is younger than the reason to stop: whoever waits for a machine's
            // end, or for something it did with its last breath, gets it.
            let go_on = self.go_on();
            if matches!(self.stop, Some(Stop::Interrupted)) {
                return self.end(None);
            }
            match look() {
                Poll::Ready(value) => return self.end(Some(Ok(value))),
                Poll::Failed(failure) => return self.end(Some(Err(failure))),
                Poll::Seen(what) => self.saw(what),
                Poll::Pending => {}
            }
            if !go_on {
                return self.end(None);
            }
            clock.pause(rung, TICK);
        }
    }

    /// Ends the wait: with what came, or with the reason why nothing did.
    pub(crate) fn end<T>(self, came: Option<Verdict<T>>) -> Verdict<T> {
        let verdict = came.unwrap_or_else(|| Err(self.failure()));
        let event = Event::WaitEnded {
            awaited: self.spec.awaited.clone(),
            reached: verdict.is_ok(),
            last_seen: self.last_seen.clone(),
            took: self.story.progress_of(&self.spec.watched).since(self.began).clocks,
        };
        self.story.emit(Some(&self.spec.machine), event);
        verdict
    }

    /// Since the budget began to count.
    fn passed(&self) -> Progress {
        self.story.progress_of(&self.spec.watched).since(self.deadline.start)
    }

    fn failure(&self) -> Failure {
        let spec = &self.spec;
        let place =
            self.story.current_step().map_or_else(String::new, |step| format!(" in {step}"));
        let waited = format!("waited for {} on {}{place}", spec.awaited, spec.machine);
        let Progress { clocks: passed, starved } = self.passed();
        let (class, node, why) = match &self.stop {
            Some(Stop::Lost(machine, fate)) => {
                (fate.class, machine, format!("{machine} {}", fate.what))
            }
            Some(Stop::Interrupted) => {
                (Class::Interrupted, &spec.machine, "the run was interrupted".to_owned())
            }
            Some(Stop::Expired(Expiry::Idled)) => {
                (spec.class, &spec.machine, format!("it did not come, and {} idle", self.are()))
            }
            Some(Stop::Expired(Expiry::Starved)) => (
                Class::Host,
                &spec.machine,
                format!("it did not come, and the host hardly let {} run", self.them()),
            ),
            Some(Stop::Expired(Expiry::Worked)) => {
                (spec.class, &spec.machine, format!("it did not come within {}", spec.budget))
            }
            None => (
                Class::Harness,
                &spec.machine,
                "the wait was given up before its deadline".to_owned(),
            ),
        };
        let mut failure = Failure::new(class, format!("{waited}: {why}")).on(node);
        failure.details.push(format!(
            "waited {}, in which {} used {} of vCPU time, of a budget of {}",
            elapsed(passed.wall),
            spec.watched.join(" and "),
            elapsed(passed.guest),
            elapsed(spec.budget.0),
        ));
        if starved > passed.wall / WORTH_TELLING {
            let told = elapsed(starved);
            failure.details.push(format!("ready to work, but without a processor, for {told}"));
        }
        if let Some(seen) = &self.last_seen {
            failure.details.push(format!("last seen: {seen}"));
        }
        self.last_words(&spec.machine, &mut failure.details);
        if node != &spec.machine {
            self.last_words(node, &mut failure.details);
        }
        failure.hint.clone_from(&spec.hint);
        failure
    }

    fn them(&self) -> &'static str {
        if self.spec.watched.len() == 1 { "the guest" } else { "the guests" }
    }

    fn are(&self) -> &'static str {
        if self.spec.watched.len() == 1 { "the guest was" } else { "the guests were" }
    }

    /// The last event of a machine's boot and the last lines of its console.
    fn last_words(&self, machine: &str, details: &mut Vec<String>) {
        let now = self.story.now();
        if let Some((at, line)) = self.story.journal().last_about(machine, Event::boot_line) {
            let ago = elapsed(now.since(at).wall);
            details.push(format!("last event on {machine}, {ago} ago: {line}"));
        }
        let lines = self.story.guests().last_lines(machine);
        if lines.is_empty() {
            details.push(format!("the console of {machine} has said nothing"));
        } else {
            details.push(format!("last on the console of {machine}:"));
            let skip = lines.len().saturating_sub(LAST_LINES);
            details.extend(lines[skip..].iter().map(|line| format!("  | {}", line.trim_end())));
        }
    }
}

#[cfg(test)]
mod tests;
