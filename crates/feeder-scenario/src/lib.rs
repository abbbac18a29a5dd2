//! What a scenario runs on: steps, waits whose deadlines count the guests' progress, one ordered journal of events, a
//! directory of evidence per run, and the reports made from it.
//!
//! ```text
//!  scenario ─► Story ─► steps, waits ─► Journal ─┬─► events.jsonl
//!                 │                              ├─► the terminal
//!                 └─► Guests (CPU time, fate,    └─► report.html, .json, .txt; trace.json, junit.xml
//!                             last words)
//! ```
//!
//! The engine never prints: it emits [`Event`]s, and everything that people or programs read is made from those. What a
//! run has under it (machines, a LAN, a cluster) is a [`Stage`], built and torn down by [`run`].

mod chain;
mod clock;
pub mod crash;
mod event;
mod explain;
mod guests;
mod journal;
mod lab;
mod live;
mod mutation;
mod panics;
mod replay;
mod report;
mod run;
mod run_dir;
mod shell;
pub mod snapshot;
mod stage;
mod story;
mod terminal;
#[cfg(test)]
mod testing;
mod verdict;
mod wait;
mod wire;

pub use clock::{Clock, Reading, RunClock};
pub use event::{Change, Event, Firmware, PowerEnd, Role, UnitState};
pub use explain::{Difference, Explained, Explanation, Kind, Recorded, explain, first_difference};
pub use feeder_cluster::{Cluster, Root};
pub use feeder_lan::{
    Direction, Fault, FaultId, FaultKind, Probability, RogueDhcpConfig, Service, Traffic,
};
pub use feeder_machine::{Io, IoError, IoFault, Times};
pub use guests::{Fate, Guest, Guests};
pub use journal::{Journal, Record};
pub use lab::{
    BootRecord, Copied, Generations, Lab, Mishap, Moment, Node, Provision, Recording, Secret, Took,
    When,
};
pub use mutation::{Mutated, Mutation, Named, Outcome as Noticed, mutate};
pub use replay::{Manifest, Mismatch, Outcome, ReplayError, Replayed, mismatches};
pub use report::{Evidence, NodeReport, Phase, Report, StepReport, Totals, WaitReport};
pub use run::{Options, Ran, Repeats, run};
pub use run_dir::{Freed, RunDir, RunDirError, gc, shown};
pub use shell::{
    Attended, ByHand, ConsoleEnd, Desk, Keyboard, NodeState, NotByHand, Power, by_hand,
};
pub use stage::{Decided, Reuse, Scenario, Stage, StageOptions};
pub use story::{Steps, Story};
pub use terminal::watch;
pub use verdict::{Class, Ending, Failure, OrFail, StepRef, Verdict};
pub use wait::{
    Budget, Deadline, Expiry, IDLE_SHARE, Poll, Progress, STARVED_SHARE, WaitSpec, Waiting,
};
pub use wire::{Answer, Dhcp, Wire};
