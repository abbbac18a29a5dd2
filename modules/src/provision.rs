//! From a board with an address to a master that serves its workers.

use std::time::Instant;

use feeder_cluster::Cluster;
use feeder_plan::{ApplyEvent, HostPlan, Mode, Report, Step, gather, plan, run};
use feeder_remote::{Host, Ssh, wait_until_reachable};

use crate::{Access, Layout, MODULES, Part, ProvisionError, Site, Survey, known_hosts, network};

/// The step that installs what all modules need.
const PACKAGES: &str = "packages";

/// What provisioning found and did.
#[derive(Debug)]
pub struct Provisioned {
    /// What differed when it began.
    pub plan: HostPlan,
    /// Changes made.
    pub changed: usize,
}

/// All modules' steps, in order.
#[must_use]
pub fn steps(site: &Site<'_>) -> Vec<Step> {
    let parts: Vec<Part> = MODULES.iter().map(|module| module(site)).collect();
    let mut packages = Step::new(PACKAGES).title("what the modules need");
    let mut steps = Vec::new();
    for part in &parts {
        steps.extend(part.before_packages.iter().cloned());
        packages = packages.packages(part.packages.iter().copied());
    }
    for step in &steps {
        packages = packages.after(&step.name);
    }
    steps.push(packages);
    for mut step in parts.into_iter().flat_map(|part| part.steps) {
        // Addresses come before packages are fetched; everything else needs them.
        if step.name == network::NAME {
            steps.insert(0, step);
        } else {
            step.after.push(PACKAGES.to_owned());
            steps.push(step);
        }
    }
    steps
}

/// Compares the master with the cluster and, with [`Mode::Apply`], changes what differs and verifies it.
///
/// The master is tried at [`Access::first_contact`] if there is one, then at its own address. Its address is changed under a dead man's
/// switch: unless it is reached at the new one, it takes the old one back.
///
/// # Errors
/// Every [`ProvisionError`]. What was changed before an error stays; a next run goes on from there.
pub fn provision(
    cluster: &Cluster,
    access: &Access,
    mode: Mode,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Provisioned, ProvisionError> {
    let layout = Layout::default();
    let mut host = connect(cluster, access)?;
    let survey = Survey::take(&host)?;
    suitable(cluster, &survey)?;
    let site = Site { cluster, survey: &survey, layout: &layout };
    let steps = steps(&site);

    let first = plan(&steps, &gather(&host, &steps).map_err(feeder_plan::RunError::from)?)
        .about(format!("master, {}", cluster.master.address));
    if mode == Mode::Plan {
        return Ok(Provisioned { plan: first, changed: 0 });
    }
    if first.is_empty() {
        // The user's file may be new even when the master is not.
        record_keys(&host, &site, access)?;
        return Ok(Provisioned { plan: first, changed: 0 });
    }
    let mut changed = 0;
    if first.changes().any(|(_, change)| change.id.as_str() == network::ADDRESS_TASK) {
        host = change_address(host, &site, access)?;
        changed += 1;
    }
    let Report { plan: _, applied } = run(&host, &steps, Mode::Apply, events)?;
    changed += applied.iter().map(feeder_plan::Applied::changed).sum::<usize>();
    record_keys(&host, &site, access)?;
    Ok(Provisioned { plan: first, changed })
}

fn connect(cluster: &Cluster, access: &Access) -> Result<Ssh, ProvisionError> {
    let mut at_home = access.master(cluster);
    at_home.host_keys = access.host_keys;
    let mut first = None;
    // Who names another address expects it there; nobody answering takes long to find out.
    if let Some(elsewhere) = access.first_contact(cluster) {
        match Ssh::connect(elsewhere) {
            Ok(ssh) => return Ok(ssh),
            Err(error) if error.is_transient() => first = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ssh::connect(at_home)
        .map_err(|source| ProvisionError::Unreachable { source: source.into(), elsewhere: first })
}

fn suitable(cluster: &Cluster, survey: &Survey) -> Result<(), ProvisionError> {
    let unsuitable = |why: String, remedy: &str| ProvisionError::Unsuitable {
        host: cluster.master.name.to_string(),
        why,
        remedy: remedy.to_owned(),
    };
    if let Some(manager) = &survey.foreign_manager {
        return Err(unsuitable(
            format!("{manager} manages its network, and two managers never run side by side"),
            "switch it to systemd-networkd first; changing managers over SSH is not supported yet",
        ));
    }
    if !survey.networkd {
        return Err(unsuitable(
            "systemd-networkd does not manage its network".into(),
            "enable systemd-networkd and switch off what manages the network now, then try again",
        ));
    }
    if !survey.firmware_mounted {
        return Err(unsuitable(
            format!("/boot/firmware/kernel8.img is not there ({})", survey.system),
            "a 64-bit Raspberry Pi OS of bookworm or later is needed, with its boot partition mounted on /boot/firmware",
        ));
    }
    Ok(())
}

/// Moves the master to its address and comes back with a connection there.
fn change_address(host: Ssh, site: &Site<'_>, access: &Access) -> Result<Ssh, ProvisionError> {
    host.run(&network::switch_script(site))?;
    drop(host);
    let options = access.master(site.cluster);
    let began = Instant::now();
    let host = wait_until_reachable(&options, &mut || (access.patience)(began.elapsed())).map_err(
        |source| ProvisionError::NewAddress { host: site.cluster.master.name.to_string(), source },
    )?;
    host.run(&network::confirm_script())?;
    Ok(host)
}

/// Fetches the workers' public host keys and records them for the user.
fn record_keys(host: &dyn Host, site: &Site<'_>, access: &Access) -> Result<(), ProvisionError> {
    let workers = &site.cluster.workers;
    if workers.is_empty() {
        return Ok(());
    }
    let script: String = workers
        .iter()
        .map(|worker| {
            // Written by the master, in a folder that the worker can write to: no link is followed.
            let key = site.layout.host_key(worker);
            format!("[ ! -L {key}.pub ] && printf '%s ' {} && cat {key}.pub\n", worker.name)
        })
        .collect();
    let text = host.run(&format!("set -e\n{script}"))?.stdout_text();
    let keys: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, key)| (name.to_owned(), key.to_owned()))
        .collect();
    known_hosts::record(&access.known_hosts, &keys)
        .map_err(|source| ProvisionError::KnownHosts { path: access.known_hosts.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::steps;
    use crate::part::tests::with_site;

    #[test]
    fn steps_are_in_an_order_that_can_be_applied() {
        with_site(|site| {
            let steps = steps(site);
            let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            insta::assert_snapshot!(names.join("\n"));
            for (at, step) in steps.iter().enumerate() {
                for before in &step.after {
                    assert!(
                        names[..at].contains(&before.as_str()),
                        "{} comes before {before}",
                        step.name
                    );
                }
            }
        });
    }
}
