//! Restarting the master and finding it again.

use std::time::{Duration, Instant};

use feeder_cluster::Cluster;
use feeder_process::interrupt;
use feeder_remote::{Host, RemoteError, Ssh, wait_until_reachable};

use crate::Access;

/// From one look at a master that has not gone down yet to the next.
const PACE: Duration = Duration::from_secs(1);

/// A script by which a host does that to itself; the connection it came by ends in good order before.
pub(crate) fn later(verb: &str) -> String {
    format!("systemd-run --quiet --collect sh -c 'sleep 1; systemctl {verb}'")
}

/// The verb of an ordinary restart.
pub(crate) const REBOOT: &str = "reboot";
/// One restart by which the firmware reads `tryboot.txt` in place of `config.txt`.
pub(crate) const TRYBOOT: &str = "reboot --reboot-argument=\"0 tryboot\"";

/// Restarts the master by a verb of systemctl, and comes back with a connection to the system that came up.
///
/// # Errors
/// What the last attempt met when [`Access::patience`] ended, or what time does not cure.
pub(crate) fn restart(
    host: Ssh,
    verb: &str,
    cluster: &Cluster,
    access: &Access,
) -> Result<Ssh, RemoteError> {
    let before = boot_id(&host)?;
    host.run(&later(verb))?;
    drop(host);
    let options = access.master(cluster);
    let began = Instant::now();
    loop {
        let host = wait_until_reachable(&options, &mut || (access.patience)(began.elapsed()))?;
        match boot_id(&host) {
            Ok(now) if now != before => return Ok(host),
            // It is on its way down.
            Ok(_) => {}
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
        let host = cluster.master.name.to_string();
        if !(access.patience)(began.elapsed()) {
            return Err(RemoteError::GaveUp { host, last: "it did not go down".into() });
        }
        if interrupt::wait_timeout(PACE) {
            return Err(RemoteError::Interrupted { host });
        }
    }
}

/// Another one for every start of a system.
fn boot_id(host: &dyn Host) -> Result<String, RemoteError> {
    Ok(host.run("cat /proc/sys/kernel/random/boot_id")?.stdout_text())
}
