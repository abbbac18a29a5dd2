//! What libraries say while they work.

mod bars;
mod ends;
mod plain;
mod record;

use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use record::Record;

use crate::format;

/// Where work is reported. Cheap to clone; a clone reports to the same place.
#[derive(Clone)]
pub struct Progress {
    sink: Arc<dyn Sink>,
}

/// One piece of work that is under way. Ends with [`Task::done`] or [`Task::failed`]; dropped without either (an early
/// return with `?`), it is reported as not finished, with what it said last.
pub struct Task {
    sink: Arc<dyn Sink>,
    id: TaskId,
    name: String,
    started: Instant,
    ended: bool,
}

/// Tells tasks apart: names may repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

/// Takes events. The scenario engine may bring its own, to write them down as evidence.
pub trait Sink: Send + Sync {
    /// Called from any thread, in the order of each task's events.
    fn event(&self, event: Event<'_>);

    /// Keeps these lines below everything else, in place of those before. A sink that cannot redraw shows none.
    fn panel(&self, lines: &[String]) {
        let _shown_nowhere = lines;
    }

    /// Whether [`Sink::panel`] shows anything.
    fn has_panel(&self) -> bool {
        false
    }

    /// While held, nothing moves on the terminal: somebody types there. Lines that stay are still written.
    fn hold(&self, held: bool) {
        let _nothing_moves = held;
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// A task began.
    Started {
        /// Which task.
        task: TaskId,
        /// Its name, which fits ten columns.
        name: &'a str,
    },
    /// What a task is doing now.
    Said {
        /// Which task.
        task: TaskId,
        /// What it does.
        text: &'a str,
    },
    /// How far a task has come.
    Moved {
        /// Which task.
        task: TaskId,
        /// How far.
        position: Position,
    },
    /// A task ended.
    Ended {
        /// Which task.
        task: TaskId,
        /// Its name.
        name: &'a str,
        /// How it ended.
        outcome: Outcome,
        /// The summary, the reason of the failure, or nothing.
        text: &'a str,
        /// How long it took.
        took: Duration,
    },
    /// Something worth a line, outside of any task.
    Note {
        /// The line.
        text: &'a str,
    },
}

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Bytes moved, and how many there will be when that is known.
    Bytes(u64, Option<u64>),
    /// Things done, and how many there will be when that is known.
    Count(u64, Option<u64>),
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With [`Task::done`].
    Done,
    /// With [`Task::failed`].
    Failed,
    /// Dropped on the way: an error is being returned past it.
    NotFinished,
}

impl Progress {
    /// Nobody listens.
    pub fn silent() -> Self {
        Self::to(Silent)
    }

    /// For people, on stderr: spinners and bars on a terminal, plain lines elsewhere.
    pub fn terminal() -> Self {
        let interactive = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        if interactive {
            Self::to(bars::Bars::new())
        } else {
            Self::to(plain::Plain::new(crate::output::talk))
        }
    }

    /// For tests: everything is kept and can be asked for.
    pub fn recording() -> (Self, Record) {
        let record = Record::default();
        (Self::to(record.clone()), record)
    }

    /// Reports to a sink of the caller's own.
    pub fn to(sink: impl Sink + 'static) -> Self {
        Self { sink: Arc::new(sink) }
    }

    /// Begins a piece of work. The name fits ten columns: a node, a stage.
    pub fn task(&self, name: impl Into<String>) -> Task {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (id, name) = (TaskId(NEXT.fetch_add(1, Ordering::Relaxed)), name.into());
        self.sink.event(Event::Started { task: id, name: &name });
        Task { sink: Arc::clone(&self.sink), id, name, started: Instant::now(), ended: false }
    }

    /// Says a line that belongs to no task.
    pub fn note(&self, text: impl AsRef<str>) {
        self.sink.event(Event::Note { text: text.as_ref() });
    }
}

impl Progress {
    /// Keeps these lines below everything else, in place of those before; without any, the panel goes away. Only where
    /// [`Progress::has_panel`] says so does anybody see them.
    pub fn panel(&self, lines: &[String]) {
        self.sink.panel(lines);
    }

    /// Whether there is a place for [`Progress::panel`]: a terminal that can redraw.
    pub fn has_panel(&self) -> bool {
        self.sink.has_panel()
    }

    /// Stops all movement on the terminal for as long as the result lives, because somebody types there.
    pub fn hold(&self) -> Held {
        self.sink.hold(true);
        Held { sink: Arc::clone(&self.sink) }
    }

    /// The same place without what moves: a task is one line when it ends, and nothing before.
    #[must_use]
    pub fn only_ends(&self) -> Self {
        Self::to(ends::OnlyEnds::new(Arc::clone(&self.sink)))
    }
}

/// The terminal belongs to somebody who types. See [`Progress::hold`].
#[must_use]
pub struct Held {
    sink: Arc<dyn Sink>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sink.hold(false);
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl Task {
    /// What the task is doing now. Cheap enough to call for every line of a child's output.
    pub fn say(&self, what: impl AsRef<str>) {
        self.sink.event(Event::Said { task: self.id, text: what.as_ref() });
    }

    /// Bytes moved so far, and how many there will be when that is known.
    pub fn bytes(&self, done: u64, total: Option<u64>) {
        self.sink.event(Event::Moved { task: self.id, position: Position::Bytes(done, total) });
    }

    /// Things done so far, and how many there will be when that is known.
    pub fn count(&self, done: u64, total: Option<u64>) {
        self.sink.event(Event::Moved { task: self.id, position: Position::Count(done, total) });
    }

    /// Ends the task. The summary says what there is now, not what was done.
    pub fn done(mut self, summary: impl AsRef<str>) {
        self.end(Outcome::Done, summary.as_ref());
    }

    /// Ends the task with a reason in a few words; the error that is returned tells the rest.
    pub fn failed(mut self, why: impl AsRef<str>) {
        self.end(Outcome::Failed, why.as_ref());
    }

    fn end(&mut self, outcome: Outcome, text: &str) {
        self.ended = true;
        let took = self.started.elapsed();
        self.sink.event(Event::Ended { task: self.id, name: &self.name, outcome, text, took });
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::NotFinished, "");
        }
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Position {
    /// The share that is done, 0.0 to 1.0, when the whole is known.
    pub(crate) fn share(self) -> Option<f64> {
        let (Self::Bytes(done, total) | Self::Count(done, total)) = self;
        total.filter(|total| *total > 0).map(|total| (done as f64 / total as f64).min(1.0))
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Bytes(done, None) => f.write_str(&format::size(done)),
            Self::Bytes(done, Some(total)) => {
                write!(f, "{} of {}", format::size(done), format::size(total))
            }
            Self::Count(done, None) => write!(f, "{done}"),
            Self::Count(done, Some(total)) => write!(f, "{done} of {total}"),
        }
    }
}

struct Silent;

impl Sink for Silent {
    fn event(&self, _: Event<'_>) {}
}

/// What is known of a task that is under way.
#[derive(Debug, Clone, Default)]
struct Doing {
    text: String,
    position: Option<Position>,
}

impl Doing {
    /// `fetching pool ▸ 31.2 of 80.0 MB`, or either half, or nothing.
    fn text(&self) -> String {
        match (&*self.text, self.position) {
            (text, None) => text.to_owned(),
            ("", Some(position)) => position.to_string(),
            (text, Some(position)) => format!("{text} · {position}"),
        }
    }
}

/// The last line about a task.
fn last_line(name: &str, outcome: Outcome, text: &str, doing: &Doing, took: Duration) -> String {
    let text = match outcome {
        Outcome::Done => text.to_owned(),
        Outcome::Failed => format!("failed: {text}"),
        Outcome::NotFinished if doing.text().is_empty() => "not finished".to_owned(),
        Outcome::NotFinished => format!("not finished: {}", doing.text()),
    };
    format::line(name, &text, (took >= Duration::from_secs(1)).then_some(took))
}
