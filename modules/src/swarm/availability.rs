//! Taking nodes out of service and back, by command.

use feeder_cluster::{Availability, Cluster, Swarm};
use feeder_remote::{Host, RemoteError};

use super::{
    Pass, Reach, Settled, SwarmError,
    seen::{Member, Spec},
};
use crate::{Access, Patience, ProvisionError, Scope, provision::connect};

/// Makes nodes take tasks or not, in the swarm that the cluster's master manages. Of drained ones, waits until no task runs there
/// any more. One result for each name: whether that was a change.
///
/// # Errors
/// The cluster has no swarm, or its master cannot be asked.
pub fn set_availability(
    cluster: &Cluster,
    access: &Access,
    names: &[String],
    wanted: Availability,
) -> Result<Vec<Result<bool, SwarmError>>, ProvisionError> {
    let Some(swarm) = &cluster.swarm else {
        return Err(SwarmError::NoSwarm { host: cluster.master.name.to_string() }.into());
    };
    let master = connect(cluster, access)?;
    Ok(set(cluster, swarm, &master, &access.patience, names, wanted)?)
}

/// The same on a master that is connected.
pub(super) fn set(
    cluster: &Cluster,
    swarm: &Swarm,
    master: &dyn Host,
    patience: &Patience,
    names: &[String],
    wanted: Availability,
) -> Result<Vec<Result<bool, SwarmError>>, SwarmError> {
    let worker = |worker: &feeder_cluster::Worker| {
        let (host, last) = (worker.name.to_string(), "it is not asked".to_owned());
        Err(RemoteError::GaveUp { host, last })
    };
    let scope = &Scope::default();
    let reach = Reach { scope, master, worker: &worker, patience };
    let pass =
        Pass { cluster, swarm, reach: &reach, events: &mut |_| {}, settled: Settled::default() };
    let Some(view) = pass.look()? else {
        return Err(SwarmError::NoSwarm { host: master.name().to_owned() });
    };
    let find = |name: &String| {
        let of_that_name = |dead: bool| {
            view.members.iter().find(|member| member.host == *name && (member.ready || dead))
        };
        of_that_name(false)
            .or_else(|| of_that_name(true))
            .ok_or_else(|| SwarmError::NotMember { host: name.clone() })
    };
    // All are told before one is waited for: else its tasks would move to the next, and from there once more.
    let tell = |name: &String| {
        let member = find(name)?;
        let differs = member.spec.availability != wanted.as_str();
        if differs {
            let availability = wanted.as_str().to_owned();
            pass.become_so(member, &Spec { availability, ..member.spec.clone() })?;
        }
        Ok((member, differs))
    };
    let told: Vec<Result<_, SwarmError>> = names.iter().map(tell).collect();
    let wait = |told: Result<(&Member, bool), SwarmError>| {
        let (member, differs) = told?;
        if wanted == Availability::Drain && member.ready {
            pass.until_idle(member)?;
        }
        Ok(differs)
    };
    Ok(told.into_iter().map(wait).collect())
}
