//! How the commands of this repository talk to people.
//!
//! stdout is data, stderr is talk. [`Progress`] is handed to libraries, which say what they are doing without knowing
//! whether anyone watches; [`Expected`] is an error that somebody foresaw, with a way out of it; [`Exit`] is the
//! published table of exit codes. Nothing else in the workspace prints.
//!
//! Everything is readable without colour: colours come from `anstream`, which honours `NO_COLOR`, pipes and `TERM=dumb`.

mod ask;
mod error;
mod exit;
mod format;
mod output;
mod progress;

pub use ask::{Answer, ask, ask_for, ask_line};
pub use error::{Expected, render, report};
pub use exit::Exit;
pub use format::{elapsed, line, plural, size};
pub use output::{data, talk_raw};
pub use progress::{Event, Held, Outcome, Position, Progress, Record, Sink, Task, TaskId};
