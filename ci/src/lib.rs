//! The regression gate: what must hold before a change is merged.
//!
//! [`steps()`] is the gate as data; [`run`] works through it, keeps a log per step under `target/ci/` and ends with a table
//! and a line that counts tests. [`tidy`] holds the checks of the repository itself.

mod cargo;
mod count;
mod error;
mod execute;
mod gate;
mod steps;
pub mod tidy;

pub use cargo::{Workspace, cargo_program, package_variables};
pub use count::Count;
pub use error::CiError;
pub use gate::{Outcome, Report, run};
pub use steps::{Counted, Extent, Runner, Step, Tested, Work, steps};
