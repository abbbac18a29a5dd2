//! Progress of which only the ends are shown: what is under way is told elsewhere.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Event, Outcome, Sink, TaskId};

pub(super) struct OnlyEnds {
    inner: Arc<dyn Sink>,
    /// What each open task said last, which is told when it does not come to its end.
    said: Mutex<BTreeMap<TaskId, String>>,
}

impl OnlyEnds {
    pub(super) fn new(inner: Arc<dyn Sink>) -> Self {
        Self { inner, said: Mutex::default() }
    }
}

impl Sink for OnlyEnds {
    fn event(&self, event: Event<'_>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Said { task, text } => {
                said.insert(task, text.to_owned());
            }
            Event::Ended { task, name, outcome, .. } => {
                let last = said.remove(&task);
                self.inner.event(Event::Started { task, name });
                if let (Outcome::NotFinished, Some(text)) = (outcome, &last) {
                    self.inner.event(Event::Said { task, text });
                }
                self.inner.event(event);
            }
            Event::Note { .. } => self.inner.event(event),
            Event::Started { .. } | Event::Moved { .. } => {}
        }
    }

    fn panel(&self, lines: &[String]) {
        self.inner.panel(lines);
    }

    fn has_panel(&self) -> bool {
        self.inner.has_panel()
    }

    fn hold(&self, held: bool) {
        self.inner.hold(held);
    }
}

#[cfg(test)]
mod tests {
    use crate::Progress;

    #[test]
    fn a_task_is_told_at_its_end_with_what_it_said_last_when_it_was_dropped() {
        let (progress, record) = Progress::recording();
        let progress = progress.only_ends();
        let boot = progress.task("cluster01");
        boot.say("power on");
        boot.say("power on ▸ OFFER");
        let step = progress.task("step 1");
        step.say("the worker netboots");
        assert!(record.lines().is_empty());
        step.done("the worker netboots");
        drop(boot);
        assert_eq!(
            record.lines(),
            [
                "step 1: started",
                "step 1: done, the worker netboots",
                "cluster01: started",
                "cluster01: power on ▸ OFFER",
                "cluster01: not finished",
            ]
        );
    }
}
