//! The lines of a run, as a recording listener gets them.

use feeder_ui::{Event as Said, Progress, Sink};
use std::sync::{Arc, Mutex};

use super::watch;
use crate::{clock::locked, report::samples};

/// Keeps the last line of every task and all notes, in order.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Sink for Lines {
    fn event(&self, event: Said<'_>) {
        let line = match event {
            Said::Ended { name, outcome, text, .. } => format!("{outcome:?} {name:<10} {text}"),
            Said::Said { text, .. } => format!("…    {text}"),
            Said::Note { text } => text.to_owned(),
            Said::Started { .. } | Said::Moved { .. } => return,
        };
        locked(&self.0).push(line);
    }
}

#[test]
fn a_run_that_passes() {
    let lines = Lines::default();
    samples::show_passed_run(watch(Progress::to(lines.clone())));
    insta::assert_snapshot!(locked(&lines.0).join("\n"));
}

#[test]
fn a_run_that_fails_says_how_far_boots_came() {
    let lines = Lines::default();
    samples::show_failed_run(watch(Progress::to(lines.clone())));
    let text = locked(&lines.0).join("\n");
    assert!(text.contains("Failed step 2     the worker netboots"), "{text}");
    assert!(text.ends_with("NotFinished cluster01  "), "{text}");
    assert!(text.contains("…    power on ▸ OFFER ▸ 2 files, 31.2 MB"), "{text}");
}
