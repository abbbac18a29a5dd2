//! Progress where nobody can redraw: a log file, a CI service.
//!
//! A task that is over quickly is one line. One that takes longer says so after two seconds, then at most every ten
//! seconds where it is, so that a log shows life without drowning in it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::{Doing, Event, Sink, TaskId, last_line};
use crate::format;

const FIRST: Duration = Duration::from_secs(2);
const THEN: Duration = Duration::from_secs(10);

pub(super) struct Plain {
    shared: Arc<Shared>,
}

struct Shared {
    log: Mutex<Log>,
    changed: Condvar,
    write: Box<dyn Fn(&str) + Send + Sync>,
    epoch: Instant,
}

impl Plain {
    pub(super) fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            log: Mutex::default(),
            changed: Condvar::new(),
            write: Box::new(write),
            epoch: Instant::now(),
        });
        let ticker = Arc::downgrade(&shared);
        // Nobody joins it: it ends within one interval of the last Progress.
        let spawned =
            std::thread::Builder::new().name("progress".into()).spawn(move || tick(&ticker));
        // Without the thread, slow tasks are announced late, at their next event; nothing else is lost.
        drop(spawned);
        Self { shared }
    }
}

impl Sink for Plain {
    fn event(&self, event: Event<'_>) {
        let Shared { log, changed, write, epoch } = &*self.shared;
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        // Written under the lock, so that lines keep the order of events.
        log.take(event, epoch.elapsed()).iter().for_each(|line| write(line));
        changed.notify_all();
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.shared.changed.notify_all();
    }
}

fn tick(shared: &Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let mut log = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.due(shared.epoch.elapsed()).iter().for_each(|line| (shared.write)(line));
        // Bounded even when nothing is open, so that the thread notices that its Progress is gone.
        let wait = log.next_due().map_or(FIRST, |due| due.saturating_sub(shared.epoch.elapsed()));
        drop(shared.changed.wait_timeout(log, wait.clamp(Duration::from_millis(10), FIRST)));
    }
}

/// The decisions, with an explicit clock.
#[derive(Default)]
struct Log {
    open: BTreeMap<TaskId, Open>,
}

struct Open {
    name: String,
    started: Duration,
    due: Duration,
    doing: Doing,
    /// What was said last time, so that a task which stands still is not repeated word for word but for its time.
    printed: Option<String>,
}

impl Log {
    /// Takes an event in; gives the lines to print now.
    fn take(&mut self, event: Event<'_>, now: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        match event {
            Event::Started { task, name } => {
                let doing = Doing::default();
                let open = Open {
                    name: name.to_owned(),
                    started: now,
                    due: now + FIRST,
                    doing,
                    printed: None,
                };
                self.open.insert(task, open);
            }
            Event::Said { task, text } => {
                if let Some(open) = self.open.get_mut(&task) {
                    text.clone_into(&mut open.doing.text);
                }
            }
            Event::Moved { task, position } => {
                if let Some(open) = self.open.get_mut(&task) {
                    open.doing.position = Some(position);
                }
            }
            Event::Ended { task, name, outcome, text, took } => {
                let doing = self.open.remove(&task).map(|open| open.doing).unwrap_or_default();
                lines.push(last_line(name, outcome, text, &doing, took));
            }
            Event::Note { text } => lines.push(text.to_owned()),
        }
        lines.extend(self.due(now));
        lines
    }

    /// The lines of tasks that have been silent for long enough.
    fn due(&mut self, now: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        for open in self.open.values_mut().filter(|open| open.due <= now) {
            open.due = now + THEN;
            let text = format!("{} …", open.doing.text());
            let text = text.trim_start();
            // A task that stands still is worth a line a minute: the log lives, and the reader sees what hangs.
            let still = open.printed.as_deref() == Some(text);
            if still {
                open.due = now + 6 * THEN;
            }
            lines.push(format::line(
                &open.name,
                text,
                open.printed.is_some().then(|| now - open.started),
            ));
            open.printed = Some(text.to_owned());
        }
        lines
    }

    fn next_due(&self) -> Option<Duration> {
        self.open.values().map(|open| open.due).min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{Outcome, Position, Progress};

    const TASK: TaskId = TaskId(7);

    fn at(log: &mut Log, seconds: u64) -> Vec<String> {
        log.due(Duration::from_secs(seconds))
    }

    fn take(log: &mut Log, event: Event<'_>, seconds: u64) -> Vec<String> {
        log.take(event, Duration::from_secs(seconds))
    }

    fn ended(seconds: u64) -> Event<'static> {
        let took = Duration::from_secs(seconds);
        Event::Ended { task: TASK, name: "image", outcome: Outcome::Done, text: "built", took }
    }

    #[test]
    fn a_quick_task_is_one_line() {
        let mut log = Log::default();
        assert!(take(&mut log, Event::Started { task: TASK, name: "image" }, 0).is_empty());
        assert!(take(&mut log, Event::Said { task: TASK, text: "unpacking" }, 0).is_empty());
        assert!(at(&mut log, 1).is_empty());
        assert_eq!(take(&mut log, ended(0), 1), ["  image      built"]);
        assert!(at(&mut log, 100).is_empty(), "an ended task says nothing more");
    }

    #[test]
    fn a_slow_task_is_announced_and_then_told_of_every_ten_seconds() {
        let mut log = Log::default();
        take(&mut log, Event::Started { task: TASK, name: "image" }, 0);
        assert_eq!(at(&mut log, 2), ["  image      …"]);
        let position = Position::Count(3, Some(9));
        assert!(take(&mut log, Event::Moved { task: TASK, position }, 5).is_empty());
        let told = take(&mut log, Event::Said { task: TASK, text: "unpacking" }, 12);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("  image      unpacking · 3 of 9 …") && told[0].ends_with(" 12 s"),
            "{told:?}"
        );
        assert!(at(&mut log, 21).is_empty());
        assert_eq!(at(&mut log, 22).len(), 1, "the same again, once");
        assert!(at(&mut log, 81).is_empty(), "standing still is told of once a minute");
        assert_eq!(at(&mut log, 82).len(), 1);
        assert!(take(&mut log, ended(90), 90)[0].ends_with(" 90 s"));
    }

    #[test]
    fn a_task_that_says_nothing_is_announced_by_the_clock() {
        let (sender, lines) = mpsc::channel();
        let sender = Mutex::new(sender);
        let progress = Progress::to(Plain::new(move |line: &str| {
            sender
                .lock()
                .expect("no test thread panics")
                .send(line.to_owned())
                .expect("the test listens");
        }));
        let task = progress.task("image");
        let line = lines
            .recv_timeout(Duration::from_secs(60))
            .expect("announced without any further event");
        assert_eq!(line, "  image      …");
        drop(task);
        let line = lines.recv_timeout(Duration::from_secs(60)).expect("ends with a line");
        assert!(line.starts_with("  image      not finished"), "{line}");
    }
}
