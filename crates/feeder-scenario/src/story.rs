//! What a scenario tells: its steps and waits, and what happens in between.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use camino::Utf8Path;

use crate::{
    Class, Clock, Ending, Event, Evidence, Failure, Firmware, Guest, Guests, Journal, Poll,
    PowerEnd, Progress, Reading, RunDir, StepRef, Verdict, WaitSpec, Waiting, clock::locked,
    panics::caught, shell::Shell,
};

/// One run as seen by everything that takes part in it. Cheap to clone; a clone is the same story. Steps are taken by one
/// thread; everything else may be called from any.
#[derive(Clone)]
pub struct Story {
    shared: Arc<Shared>,
}

struct Shared {
    dir: RunDir,
    clock: Arc<dyn Clock>,
    guests: Guests,
    journal: Journal,
    interrupted: Box<dyn Fn() -> bool + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Vec<OpenStep>,
    /// Steps on the outermost level so far.
    steps: usize,
    /// The first failure; what comes after it is not believed.
    failure: Option<Failure>,
    evidence: Vec<Evidence>,
    versions: BTreeMap<String, String>,
    /// The prompt, when somebody attends.
    shell: Option<Arc<Shell>>,
}

struct OpenStep {
    step: StepRef,
    start: Reading,
    steps: usize,
    summary: Option<String>,
}

impl State {
    /// The number of the step that would open now.
    fn next_number(&self) -> String {
        match self.open.last() {
            Some(outer) => format!("{}.{}", outer.step.number, outer.steps + 1),
            None => (self.steps + 1).to_string(),
        }
    }
}

/// Something that has a story, and can hand itself to a step: a lab.
pub trait Steps: Sized {
    /// The run that it takes part in.
    fn story(&self) -> &Story;

    /// One step of the scenario. See [`Story::step`].
    ///
    /// Its result is the state of the cluster and nothing else, since it need not run where an earlier run's result can be
    /// taken: hence no value, and a body that changes nothing it has captured.
    ///
    /// # Errors
    /// What the body gives, a panic in it, or an earlier failure.
    #[track_caller]
    fn step(&mut self, name: impl Into<String>, body: impl Fn(&mut Self) -> Verdict) -> Verdict {
        let story = self.story().clone();
        story.step(name, || body(self))
    }
}

impl Story {
    pub(crate) fn new(
        dir: RunDir,
        clock: Arc<dyn Clock>,
        interrupted: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let guests = Guests::default();
        let journal = Journal::new(clock.clone(), guests.clone());
        let (interrupted, state) = (Box::new(interrupted), Mutex::default());
        Self { shared: Arc::new(Shared { dir, clock, guests, journal, interrupted, state }) }
    }

    /// The run's directory.
    pub fn dir(&self) -> &RunDir {
        &self.shared.dir
    }

    /// The run's wall clock, and the bell by which waits are woken.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// The machines.
    pub fn guests(&self) -> &Guests {
        &self.shared.guests
    }

    /// The ordered log.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Both clocks, the guests' for all machines together.
    pub fn now(&self) -> Reading {
        self.journal().now()
    }

    /// Both clocks, the guests' for these machines.
    pub fn reading_of(&self, machines: &[String]) -> Reading {
        Reading { wall: self.clock().now(), guest: self.guests().cpu_time_of(machines) }
    }

    /// What the deadline of a wait on these machines looks at.
    pub fn progress_of(&self, machines: &[String]) -> Progress {
        Progress { clocks: self.reading_of(machines), starved: self.guests().starved_of(machines) }
    }

    /// Whether somebody wants the run to end.
    pub fn interrupted(&self) -> bool {
        (self.shared.interrupted)()
    }

    /// Writes an event down.
    pub fn emit(&self, node: Option<&str>, event: Event) {
        self.journal().emit(node, event);
    }

    /// Writes a line down.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(None, Event::Note { text: text.into() });
    }

    /// Something that the machines need is there.
    pub fn prepared(&self, what: impl Into<String>, summary: impl Into<String>) {
        self.emit(None, Event::Prepared { what: what.into(), summary: summary.into() });
    }

    /// A machine was given power; its boot firmware comes first.
    pub fn power_on(&self, node: &str, profile: impl Into<String>) {
        self.emit(Some(node), Event::PowerOn { profile: profile.into() });
    }

    /// A machine's processor runs. From now on its work is counted, and waits that watch it end when it is lost.
    pub fn guest(&self, node: &str, guest: Arc<dyn Guest>) {
        self.guests().power_on(node, guest);
    }

    /// A machine lost its power.
    pub fn power_off(&self, node: &str, end: PowerEnd, why: Option<String>) {
        self.guests().power_off(node);
        self.emit(Some(node), Event::PowerOff { end, why });
    }

    /// The boot firmware of a machine did something.
    pub fn firmware(&self, node: &str, firmware: Firmware) {
        self.emit(Some(node), Event::Firmware(firmware));
    }

    /// A machine came to a named point of its boot.
    pub fn milestone(&self, node: &str, name: impl Into<String>, detail: Option<String>) {
        self.emit(Some(node), Event::Milestone { name: name.into(), detail });
    }

    /// A machine can be used.
    pub fn ready(&self, node: &str, by: impl Into<String>) {
        self.emit(Some(node), Event::Ready { name: by.into() });
    }

    /// Something to look at afterwards, as a file of the run's directory.
    pub fn evidence(&self, what: impl Into<String>, file: &Utf8Path, note: Option<String>) {
        let file = file.strip_prefix(self.dir().path()).unwrap_or(file).to_owned();
        locked(&self.shared.state).evidence.push(Evidence { what: what.into(), file, note });
    }

    /// What the run depends on: a program or an image, and its version or digest.
    pub fn version(&self, of: impl Into<String>, version: impl Into<String>) {
        locked(&self.shared.state).versions.insert(of.into(), version.into());
    }

    /// Says in a few words what came out of the innermost open step: "47 changed".
    pub fn summary(&self, text: impl Into<String>) {
        if let Some(open) = locked(&self.shared.state).open.last_mut() {
            open.summary = Some(text.into());
        }
    }

    /// The innermost step that is open.
    pub fn current_step(&self) -> Option<StepRef> {
        locked(&self.shared.state).open.last().map(|open| open.step.clone())
    }

    /// The first failure of the run, whatever was made of it later.
    pub fn failure(&self) -> Option<Failure> {
        locked(&self.shared.state).failure.clone()
    }

    /// One step of the scenario: timed by both clocks, and told. Steps may lie inside steps. The first failure is the run's:
    /// later steps do not run, even when the scenario drops the error. What a scenario expects to fail is therefore asked for
    /// inside a step, not by a step.
    ///
    /// # Errors
    /// What the body gives, a panic in it (class harness), or an earlier failure.
    pub fn step<T>(
        &self,
        name: impl Into<String>,
        body: impl FnOnce() -> Verdict<T>,
    ) -> Verdict<T> {
        let step = self.open_step(name.into())?;
        let verdict = self.judged(caught(body)).map_err(|failure| failure.in_step(step));
        self.close_step(&verdict);
        verdict
    }

    /// Waits until a look at the world gives something. See [`crate::wait`] for the law of deadlines.
    ///
    /// # Errors
    /// It did not come: the failure names machine, step, what was awaited and what was last seen.
    pub fn wait<'a, T>(&'a self, spec: WaitSpec<'a>, look: impl FnMut() -> Poll<T>) -> Verdict<T> {
        Waiting::start(self, spec).poll(look)
    }

    /// Waits in a call that blocks by itself, and that gives up with `None` soon after [`Waiting::go_on`] says no:
    /// `|waiting| console.expect(pattern, &mut || waiting.go_on()).ok()`.
    ///
    /// # Errors
    /// As [`Story::wait`].
    pub fn wait_in<'a, T>(
        &'a self,
        spec: WaitSpec<'a>,
        block: impl FnOnce(&mut Waiting<'a>) -> Option<T>,
    ) -> Verdict<T> {
        let mut waiting = Waiting::start(self, spec);
        let came = block(&mut waiting).map(Ok);
        waiting.end(came)
    }

    /// What is to be believed of a verdict: an earlier failure counts more, and after an interrupt everything fails.
    pub(crate) fn judged<T>(&self, verdict: Verdict<T>) -> Verdict<T> {
        if let Some(first) = self.failure() {
            return Err(first);
        }
        verdict.map_err(|failure| {
            if failure.class == Class::Interrupted || !self.interrupted() {
                return failure;
            }
            let mut interrupted = Failure::interrupted("the run was interrupted");
            interrupted.details = vec![failure.message];
            interrupted
        })
    }

    /// Takes a step over from an earlier run: its records, and how long it took there.
    pub(crate) fn reuse(&self, records: &[crate::Record], took: Reading) {
        locked(&self.shared.state).steps += 1;
        self.journal().reuse(records, took);
    }

    pub(crate) fn take_evidence(&self) -> (Vec<Evidence>, BTreeMap<String, String>) {
        let mut state = locked(&self.shared.state);
        (std::mem::take(&mut state.evidence), std::mem::take(&mut state.versions))
    }

    /// What the run depends on, as far as it is known.
    pub(crate) fn versions(&self) -> BTreeMap<String, String> {
        locked(&self.shared.state).versions.clone()
    }

    /// Somebody attends from now on.
    pub(crate) fn attend(&self, shell: Shell) {
        locked(&self.shared.state).shell = Some(Arc::new(shell));
    }

    fn shell(&self) -> Option<Arc<Shell>> {
        locked(&self.shared.state).shell.clone()
    }

    /// Whether the prompt is to open before a step that would begin now.
    pub(crate) fn pauses_before(&self, name: &str) -> bool {
        let number = locked(&self.shared.state).next_number();
        let step = StepRef { number, name: name.to_owned() };
        self.shell().is_some_and(|shell| shell.opens_before(&step))
    }

    /// Whether the prompt is to open at the end of the story.
    pub(crate) fn pauses_at_the_end(&self, told: &Verdict) -> bool {
        self.shell().is_some_and(|shell| shell.opens_at_the_end(self, told))
    }

    /// Whether a person was at the machines.
    pub(crate) fn touched(&self) -> bool {
        self.shell().is_some_and(|shell| shell.has_opened())
    }

    /// The story is told: the prompt opens for the last time, if it is to, and lets go of the machines.
    pub(crate) fn dismiss(&self, told: &Verdict) {
        let shell = locked(&self.shared.state).shell.take();
        if let Some(shell) = shell {
            shell.at_the_end(self, told);
        }
    }

    /// Lets somebody who attends look before a step. Ending the run there is its first failure.
    fn attended(&self, name: &str) -> Verdict {
        let Some(shell) = self.shell() else { return Ok(()) };
        let number = locked(&self.shared.state).next_number();
        let step = StepRef { number, name: name.to_owned() };
        shell.before_step(self, &step).inspect_err(|failure| {
            locked(&self.shared.state).failure.get_or_insert_with(|| failure.clone());
        })
    }

    fn open_step(&self, name: String) -> Verdict<StepRef> {
        if self.interrupted() {
            self.judged(Err(Failure::interrupted(format!("interrupted before \"{name}\""))))?;
        }
        if let Some(first) = self.failure() {
            return Err(first);
        }
        self.attended(&name)?;
        let start = self.now();
        let mut state = locked(&self.shared.state);
        let number = state.next_number();
        match state.open.last_mut() {
            Some(outer) => outer.steps += 1,
            None => state.steps += 1,
        }
        let step = StepRef { number, name };
        state.open.push(OpenStep { step: step.clone(), start, steps: 0, summary: None });
        drop(state);
        let StepRef { number, name } = step.clone();
        self.emit(None, Event::StepStarted { number, name });
        Ok(step)
    }

    fn close_step<T>(&self, verdict: &Verdict<T>) {
        let now = self.now();
        let mut state = locked(&self.shared.state);
        if let Err(failure) = verdict {
            state.failure.get_or_insert_with(|| failure.clone());
        }
        let Some(OpenStep { step, start, summary, .. }) = state.open.pop() else { return };
        drop(state);
        let StepRef { number, name } = step;
        let (ending, took) = (Ending::of(verdict), now.since(start));
        self.emit(None, Event::StepFinished { number, name, ending, summary, took });
    }
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Story").field("dir", self.dir()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
