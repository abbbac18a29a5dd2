//! What a scenario runs on: steps, waits whose deadlines count the guests' progress, one ordered journal of events, a
//! directory of evidence per run, and the reports made from it.
//!
//! ```text
//!  scenario ─► Story ─► steps, waits ─► Journal ─┬─► events.jsonl
//!                 │                              ├─► the terminal
//!                 └─► Guests (CPU time, fate,    └─► report.json, report.txt, junit.xml
//!                             last words)
//! ```
//!
//! The engine never prints: it emits [`Event`]s, and everything that people or programs read is made from those. What a
//! run has under it (machines, a LAN, a cluster) is a [`Stage`], built and torn down by [`run`].

mod chain;
mod clock;
mod event;
mod guests;
mod journal;
mod lab;
mod live;
mod panics;
mod replay;
mod report;
mod run;
mod run_dir;
mod shell;
mod story;
mod terminal;
#[cfg(test)]
mod testing;
mod verdict;
mod wait;

pub use clock::{Clock, Reading, RunClock};
pub use event::{Change, Event, Firmware, PowerEnd};
pub use guests::{Fate, Guest, Guests};
pub use journal::{Journal, Record};
pub use lab::{BootRecord, Lab, Node, Provision};
pub use replay::{Difference, Manifest, Outcome, ReplayError, Replayed, differences};
pub use report::{Evidence, NodeReport, Phase, Report, StepReport, Totals, WaitReport};
pub use run::{Options, Ran, Repeats, Scenario, Stage, StageOptions, run};
pub use run_dir::{Freed, RunDir, RunDirError, gc, shown};
pub use shell::{
    Attended, ByHand, ConsoleEnd, Desk, Keyboard, NodeState, NotByHand, Power, by_hand,
};
pub use story::{Steps, Story};
pub use terminal::watch;
pub use verdict::{Class, Ending, Failure, OrFail, StepRef, Verdict};
pub use wait::{Budget, Deadline, Expiry, IDLE_SHARE, Poll, WaitSpec, Waiting};
