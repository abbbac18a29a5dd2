//! What the command `ssd` asks of a master.

use feeder_cluster::{Cluster, Ssd};

use crate::{
    Access, ProvisionError, SsdStatus,
    provision::connect,
    ssd_boot::{self, MoveState},
};

/// Where the master runs from, and what is left to do of its move to its SSD.
///
/// # Errors
/// [`ProvisionError::Unsuitable`] when the cluster has no SSD; or why the master cannot be asked.
pub fn ssd_status(cluster: &Cluster, access: &Access) -> Result<SsdStatus, ProvisionError> {
    let ssd = configured(cluster)?;
    Ok(ssd_boot::status(&connect(cluster, access)?, cluster, ssd)?)
}

/// Frees the SD card of a master that runs from its SSD, when `agreed` says so to what would be deleted. Gives what there is
/// afterwards; without a card, or without an agreement, nothing is done.
///
/// # Errors
/// [`ProvisionError::Unsuitable`] when the cluster has no SSD or the master does not run from it; or why it cannot be asked.
pub fn ssd_finish(
    cluster: &Cluster,
    access: &Access,
    agreed: &mut dyn FnMut(&SsdStatus) -> bool,
) -> Result<SsdStatus, ProvisionError> {
    let ssd = configured(cluster)?;
    let host = connect(cluster, access)?;
    let found = ssd_boot::status(&host, cluster, ssd)?;
    if found.state != MoveState::Running {
        return Err(ProvisionError::Unsuitable {
            host: found.host,
            why: format!("it does not run from {}, and needs its SD card", ssd.disk.name()),
            remedy: "`cargo xtask ssd status` says what is left to do".into(),
        });
    }
    if !found.card.as_ref().is_some_and(|card| card.kept) || !agreed(&found) {
        return Ok(found);
    }
    ssd_boot::finish(&host, ssd)?;
    Ok(ssd_boot::status(&host, cluster, ssd)?)
}

fn configured(cluster: &Cluster) -> Result<&Ssd, ProvisionError> {
    cluster.master.ssd.as_ref().ok_or_else(|| ProvisionError::Unsuitable {
        host: cluster.master.name.to_string(),
        why: "cluster.toml names no SSD for it".into(),
        remedy: "add [master.ssd] with `disk`, the name of a disk below /dev/disk/by-id".into(),
    })
}
