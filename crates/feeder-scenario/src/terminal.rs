//! What people see of a run while it goes on, and at its end.

use std::collections::BTreeMap;

use feeder_ui::{Progress, Task};

use crate::{
    Ending, Event, PowerEnd, Record,
    chain::{Chain, Point},
};

/// The column in which the summary of a step begins, counted from its name.
const SUMMARY: usize = 43;

/// A listener for [`crate::Journal::subscribe`] that shows one line per machine's boot and per step.
pub fn watch(progress: Progress) -> impl FnMut(&Record) + Send {
    let mut terminal = Terminal { progress, boots: BTreeMap::new(), steps: Vec::new() };
    move |record| terminal.see(record)
}

struct Terminal {
    progress: Progress,
    boots: BTreeMap<String, (Chain, Task)>,
    steps: Vec<Task>,
}

impl Terminal {
    fn see(&mut self, record: &Record) {
        if record.reused {
            self.see_reused(&record.event);
            return;
        }
        if let Some(node) = &record.node {
            self.see_machine(node, &record.event);
        }
        match &record.event {
            Event::StepStarted { number, name } => {
                let task = self.progress.task(format!("step {number}"));
                task.say(name);
                self.steps.push(task);
            }
            Event::StepFinished { name, ending, summary, .. } => {
                let Some(task) = self.steps.pop() else { return };
                match (ending, summary) {
                    (Ending::Passed, None) => task.done(name),
                    (Ending::Passed, Some(summary)) => {
                        task.done(format!("{name:<SUMMARY$} {summary}"));
                    }
                    (Ending::Failed | Ending::Interrupted, _) => task.failed(name),
                }
            }
            Event::Prepared { what, summary } => self.progress.task(what).done(summary),
            Event::Note { text } => self.progress.note(text),
            Event::Fault { text } => self.progress.task("fault").done(text),
            // A boot that is under way then says how far it came.
            Event::RunFinished { .. } => self.boots.clear(),
            _ => {}
        }
    }

    /// Of steps that are taken over, only that they are.
    fn see_reused(&self, event: &Event) {
        if let Event::StepFinished { number, name, .. } = event
            && !number.contains('.')
        {
            let task = self.progress.task(format!("step {number}"));
            task.done(format!("{name:<SUMMARY$} reused"));
        }
    }

    fn see_machine(&mut self, node: &str, event: &Event) {
        let Some(point) = Point::of(event) else { return };
        if point == Point::On {
            self.boots.insert(node.to_owned(), (Chain::default(), self.progress.task(node)));
        }
        let last = matches!(point, Point::Up(_) | Point::Off);
        let ended = match event {
            Event::PowerOff { .. } => event.boot_line(),
            _ => None,
        };
        let Some((chain, task)) = self.boots.get_mut(node) else {
            // It had been up: its end is a line of its own.
            if let Some(how) = ended {
                self.progress.task(node).done(how);
            }
            return;
        };
        chain.push(point);
        if !last {
            task.say(chain.to_string());
            return;
        }
        let Some((chain, task)) = self.boots.remove(node) else { return };
        match (event, ended) {
            (Event::PowerOff { end: PowerEnd::Died, .. }, Some(how)) => {
                task.failed(format!("{chain} ▸ {how}"));
            }
            (_, Some(how)) => task.done(format!("{chain} ▸ {how}")),
            (_, None) => task.done(chain.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
