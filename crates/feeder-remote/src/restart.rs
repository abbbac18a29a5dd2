//! Restarting a host and finding it again, or switching it off.

use std::time::Duration;

use feeder_process::interrupt;

use crate::{Host, RemoteError, Ssh, SshOptions, wait_until_reachable};

/// From one look at a host that has not gone down yet to the next.
const PACE: Duration = Duration::from_secs(1);

/// The verb of an ordinary restart.
pub const REBOOT: &str = "reboot";
/// The verb that switches a host off.
pub const POWER_OFF: &str = "poweroff";

/// A script by which a host does to itself what a verb of systemctl says; the connection it came by ends in good order
/// before. Needs root.
#[must_use]
pub fn later(verb: &str) -> String {
    format!("systemd-run --quiet --collect sh -c 'sleep 1; systemctl {verb}'")
}

/// Restarts a host by a verb of systemctl, and comes back with a connection to the system that came up at `home`, which
/// may be another address than that of `host`. `keep_waiting` is asked about ten times a second.
///
/// # Errors
/// What the last attempt met when `keep_waiting` said no, or what time does not cure.
pub fn restart(
    host: Ssh,
    verb: &str,
    home: &SshOptions,
    keep_waiting: &mut dyn FnMut() -> bool,
) -> Result<Ssh, RemoteError> {
    let before = boot_id(&host)?;
    host.run(&later(verb))?;
    drop(host);
    loop {
        let host = wait_until_reachable(home, keep_waiting)?;
        match boot_id(&host) {
            Ok(now) if now != before => return Ok(host),
            // It is on its way down.
            Ok(_) => {}
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
        pause(home, keep_waiting, "it did not go down")?;
    }
}

/// Switches a host off, and returns when nothing answers there any more. Whether its lamp is out cannot be seen from here.
///
/// # Errors
/// `GaveUp` when it still answers as `keep_waiting` says no, or what the attempt to tell it met.
pub fn power_off(host: Ssh, keep_waiting: &mut dyn FnMut() -> bool) -> Result<(), RemoteError> {
    host.run(&later(POWER_OFF))?;
    let home = host.options().clone();
    drop(host);
    loop {
        match Ssh::connect(home.clone()) {
            Err(RemoteError::Unreachable { .. } | RemoteError::Refused { .. }) => return Ok(()),
            // A system that goes down turns logins away before it stops to listen.
            Ok(_) | Err(_) => pause(&home, keep_waiting, "it did not go down")?,
        }
    }
}

fn pause(
    home: &SshOptions,
    keep_waiting: &mut dyn FnMut() -> bool,
    otherwise: &str,
) -> Result<(), RemoteError> {
    let host = home.host_key_alias.clone();
    if !keep_waiting() {
        return Err(RemoteError::GaveUp { host, last: otherwise.into() });
    }
    if interrupt::wait_timeout(PACE) {
        return Err(RemoteError::Interrupted { host });
    }
    Ok(())
}

/// Another one for every start of a system.
fn boot_id(host: &dyn Host) -> Result<String, RemoteError> {
    Ok(host.run("cat /proc/sys/kernel/random/boot_id")?.stdout_text())
}
