//! The one way to run a program: shown, streamed, reaped.
//!
//! ```
//! use feeder_process::Cmd;
//! let out = Cmd::new("printf").args(["%s", "hello"]).run()?;
//! assert_eq!(out.stdout_text(), "hello");
//! # Ok::<(), feeder_process::ProcessError>(())
//! ```
//!
//! - Every child leads its own process group, so a Ctrl-C on the terminal reaches only us and we take things down
//!   in order; killing means the whole group. What a program leaves behind *in its group* is killed when it ends; a
//!   daemon that wants to live starts its own session, as daemons do.
//! - [`Cmd::run`], [`Cmd::output`] and [`Cmd::stream`] wait and notice [`interrupt`]; [`Cmd::spawn`] is for what
//!   runs beside us, and dies with us even when we are killed with SIGKILL.
//! - Standard input is `/dev/null` unless bytes are given: no child can hang on a question nobody sees.
//! - An error carries the command as one would type it, how it ended, and the end of what it said.

mod child;
mod cmd;
mod error;
mod group;
pub mod interrupt;
pub mod lease;
mod run;
mod start;
mod text;

pub use child::Child;
pub use cmd::{Cmd, find_program};
pub use error::{ProcessError, Status};
pub use run::{Output, Stream};
pub use text::quote;
