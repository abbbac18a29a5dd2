//! Waiting for a host that boots.

use std::time::{Duration, Instant};

use feeder_process::interrupt;

use crate::{Host, RemoteError, Ssh, SshOptions, classify};

/// How often we ask whether to keep waiting.
const TICK: Duration = Duration::from_millis(100);
/// From the beginning of one attempt to that of the next. An attempt at a closed port takes no time at all.
const PACE: Duration = Duration::from_secs(1);

/// Tries to connect until it works, until an attempt fails for a reason that time does not cure (a changed or unknown
/// host key, a refused login, no sudo), or until `keep_waiting` says no. That is asked about ten times a second, also
/// while an attempt is under way.
///
/// # Errors
/// `GaveUp` with what the last attempt met when `keep_waiting` said no; otherwise what the last attempt met.
pub fn wait_until_reachable(
    options: &SshOptions,
    keep_waiting: &mut dyn FnMut() -> bool,
) -> Result<Ssh, RemoteError> {
    let host = options.host_key_alias.clone();
    let mut last = "no attempt came to an end".to_owned();
    loop {
        let begun = Instant::now();
        let ssh = Ssh::unconnected(options.clone())?;
        // The attempt makes the shared connection, so what follows does not shake hands again.
        match attempt(&ssh, keep_waiting)?.and_then(|()| ssh.run(":").map(drop)) {
            Ok(()) => return Ok(ssh),
            Err(RemoteError::GaveUp { .. }) => return Err(RemoteError::GaveUp { host, last }),
            Err(error) if error.is_transient() => last = error.to_string(),
            Err(error) => return Err(error),
        }
        while begun.elapsed() < PACE {
            if !keep_waiting() {
                return Err(RemoteError::GaveUp { host, last });
            }
            tick(&host)?;
        }
    }
}

/// One login that does nothing. The outer error ends the waiting.
fn attempt(
    ssh: &Ssh,
    keep_waiting: &mut dyn FnMut() -> bool,
) -> Result<Result<(), RemoteError>, RemoteError> {
    let host = ssh.name();
    let child =
        ssh.command().arg(":").spawn().map_err(|err| RemoteError::from_process(host, err))?;
    loop {
        if let Some(status) = child.wait_timeout(TICK) {
            return Ok(if status.success() {
                Ok(())
            } else {
                Err(classify::before_login(ssh.options(), &child.stderr_tail()))
            });
        }
        if !keep_waiting() {
            // Dropping the child ends the attempt.
            return Ok(Err(RemoteError::GaveUp { host: host.to_owned(), last: String::new() }));
        }
        if interrupt::requested() {
            return Err(RemoteError::Interrupted { host: host.to_owned() });
        }
    }
}

fn tick(host: &str) -> Result<(), RemoteError> {
    if interrupt::wait_timeout(TICK) {
        return Err(RemoteError::Interrupted { host: host.to_owned() });
    }
    Ok(())
}
