//! Desired state: what a host should look like, what it looks like, and the way from one to the other.
//!
//! A [`Step`] lists [`Resource`]s. [`gather`] asks a host about all of them in one round trip, [`plan()`] compares
//! without touching anything, [`apply()`] changes only what differs, and a second gather proves it. [`run`] is all of
//! that. Nothing is installed on the host: one POSIX shell script goes there per question and per step.
//!
//! Being killed is a normal end. Every change is made in one piece, and what a change still owes (a restart, a
//! `daemon-reload`) is noted on the host before the change is made, so the next run pays it.
//!
//! ```
//! use feeder_plan::{File, Mode, Step, run};
//! use feeder_remote::Local;
//! # let dir = tempfile::tempdir()?;
//! # let root = dir.path().to_str().ok_or("UTF-8")?;
//! # let (user, group) = ("0", "0");
//! let steps = [Step::new("greeting")
//!     .with(File::new(format!("{root}/motd"), "welcome\n").mode(0o644).owner(user, group))];
//! let host = Local::new("here").env("FEEDER_RUN", root);
//! let first = run(&host, &steps, Mode::Apply, &mut |_| {})?;
//! assert_eq!(first.plan.to_change(), 1);
//! let second = run(&host, &steps, Mode::Apply, &mut |_| {})?;
//! assert!(second.plan.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod as_wanted;
mod check;
mod compare;
mod diff;
mod facts;
mod gather;
mod plan;
mod resource;
mod run;
mod show;
mod step;

pub use apply::{Applied, ApplyError, ApplyEvent, Outcome, Phase, StepResult, apply};
pub use as_wanted::as_wanted;
pub use check::StepsError;
pub use facts::{Facts, FactsError, Package, PathFact, PathKind, TaskFact, UnitFact};
pub use gather::{GatherError, Question, gather, script as gather_script};
pub use plan::{Change, HostPlan, Plan, Sign, StepPlan, plan};
pub use resource::{Absent, Content, Directory, File, Hostname, Id, Resource, Symlink, Task, Unit};
pub use run::{Mode, NotAsWanted, Report, RunError, run, run_planned, verify};
pub use step::{Notify, NotifyAction, Step};
