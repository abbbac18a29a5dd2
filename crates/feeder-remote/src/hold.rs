//! A script that holds something on a host for as long as we live.

use std::time::Duration;

use feeder_process::{Child, interrupt};

use crate::{Host, RemoteError, Ssh, classify, script::Stdout};

/// What a script says, on a line of its own on standard error, once it holds what it is to hold.
pub const HELD: &str = "feeder-held";
/// How often we look whether the script has said so.
const TICK: Duration = Duration::from_millis(20);

/// Something that a script holds on a host. Dropping it ends the script.
#[derive(Debug)]
pub struct Held {
    _script: Child,
}

impl Ssh {
    /// Starts a script, and returns when it says [`HELD`]. From then on it should write to standard output every few seconds, which
    /// nobody reads: it ends by its next write when this process has ended, in whatever way, or when the connection is lost.
    ///
    /// # Errors
    /// Every [`RemoteError`]; `Script` when the script ends before it holds anything, with what it said.
    pub fn hold(&self, script: &str) -> Result<Held, RemoteError> {
        let child = self
            .shell(script, Stdout::Streamed)
            .spawn()
            .map_err(|source| RemoteError::from_process(self.name(), source))?;
        loop {
            let ended = child.wait_timeout(TICK);
            let said = child.stderr_tail();
            if let Some(status) = ended {
                let host = self.name().to_owned();
                return Err(match classify::verdict(self.options(), status, &said) {
                    Err(error) => error,
                    Ok(stderr_tail) => RemoteError::Script { host, status, stderr_tail },
                });
            }
            if said.lines().any(|line| line == HELD) {
                return Ok(Held { _script: child });
            }
            if interrupt::requested() {
                return Err(RemoteError::Interrupted { host: self.name().to_owned() });
            }
        }
    }
}
