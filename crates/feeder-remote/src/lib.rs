//! Run shell scripts on a host: over the system's `ssh`, or on this machine.
//!
//! A [`Host`] takes POSIX `sh` and gives back what it said. Scripts travel by standard input and never in an argument
//! list, so they may carry secrets and may be long; a script that arrives only in part does not run at all. Nothing is
//! installed on the other side.
//!
//! ```
//! use feeder_remote::{Host, Local};
//! let here = Local::new("here");
//! assert_eq!(here.run("echo $((6 * 7))")?.stdout_text(), "42\n");
//! # Ok::<(), feeder_remote::RemoteError>(())
//! ```
//!
//! [`RemoteError`] tells apart what calls for different action: nobody there yet, a stranger's key, a login that is
//! refused, a connection lost in the middle, a script that failed.

mod argv;
mod classify;
mod control;
mod error;
mod hold;
mod host;
mod local;
mod options;
mod parallel;
mod restart;
mod run;
mod script;
mod ssh;
mod tally;
mod together;
mod wait;
mod write;

pub use argv::ssh_argv;
pub use control::sweep;
pub use error::RemoteError;
pub use hold::{HELD, Held};
pub use host::Host;
pub use local::Local;
pub use options::{
    CONNECT_TIMEOUT, HostKeys, Password, Privilege, SILENCE, SshOptions, UserConfig,
};
pub use parallel::in_parallel;
pub use restart::{POWER_OFF, REBOOT, later, power_off, restart};
pub use ssh::Ssh;
pub use tally::Tally;
pub use together::{apart, together};
pub use wait::wait_until_reachable;
pub use write::{Owner, write_file_script};
