//! Progress that is kept, for tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Event, Outcome, Sink, TaskId};

/// What was reported, as lines without durations.
#[derive(Debug, Clone, Default)]
pub struct Record {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    names: BTreeMap<TaskId, String>,
    lines: Vec<String>,
}

impl Record {
    /// Everything so far, in order: `name: started`, `name: what it said`, `name: 3 of 4`, `name: done, summary`,
    /// `name: failed, why`, `name: not finished`, and notes as they are.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Whether any line contains `text`.
    pub fn contains(&self, text: &str) -> bool {
        self.lock().lines.iter().any(|line| line.contains(text))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Record {
    fn event(&self, event: Event<'_>) {
        let mut kept = self.lock();
        let name = |task| kept.names.get(&task).cloned().unwrap_or_default();
        let line = match event {
            Event::Started { task, name } => {
                kept.names.insert(task, name.to_owned());
                format!("{name}: started")
            }
            Event::Said { task, text } => format!("{}: {text}", name(task)),
            Event::Moved { task, position } => format!("{}: {position}", name(task)),
            Event::Ended { name, outcome: Outcome::Done, text, .. } => {
                format!("{name}: done, {text}")
            }
            Event::Ended { name, outcome: Outcome::Failed, text, .. } => {
                format!("{name}: failed, {text}")
            }
            Event::Ended { name, outcome: Outcome::NotFinished, .. } => {
                format!("{name}: not finished")
            }
            Event::Note { text } => text.to_owned(),
        };
        kept.lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use crate::Progress;

    #[test]
    fn everything_is_kept_in_order() {
        let (progress, record) = Progress::recording();
        let fetch = progress.task("packages");
        fetch.say("fetching");
        fetch.bytes(31_200_000, Some(80_000_000));
        progress.note("the mirror is slow");
        let image = progress.clone().task("image");
        image.failed("no space");
        drop(progress.task("lost"));
        fetch.done("214 from store");
        assert_eq!(
            record.lines(),
            [
                "packages: started",
                "packages: fetching",
                "packages: 31.2 MB of 80.0 MB",
                "the mirror is slow",
                "image: started",
                "image: failed, no space",
                "lost: started",
                "lost: not finished",
                "packages: done, 214 from store",
            ]
        );
        assert!(record.contains("slow") && !record.contains("fast"));
    }
}
