//! From a board with an address to a master that serves its workers.

use std::collections::BTreeMap;

use feeder_cluster::{Cluster, Ssd, Worker};
use feeder_plan::{
    ApplyEvent, Change, HostPlan, Mode, Phase, Report, RunError, Sign, Step, StepPlan, apply, plan,
    run, run_planned,
};
use feeder_process::Output;
use feeder_remote::{
    Host, POWER_OFF, REBOOT, RemoteError, Ssh, Tally, later, wait_until_reachable,
};

use crate::{
    Access, Awaited, Disk, Disks, Layout, MODULES, Module, ProvisionError, Scope, Secrets, Site,
    Survey, base, docker, generation,
    lock::Lock,
    look::{Blueprint, Memory, last_look, look, record_keys},
    network, registry,
    ssd_boot::{self, Script, Way},
    swarm, workers,
};

/// The verb of one restart by which the firmware reads `tryboot.txt` in place of `config.txt`.
const TRYBOOT: &str = "reboot --reboot-argument=\"0 tryboot\"";

/// What whoever finds the master locked is told that the other one does.
const COMMAND: &str = "provision";

/// The step that installs what all modules need.
const PACKAGES: &str = "packages";

/// What provisioning found and did.
#[derive(Debug)]
pub struct Provisioned {
    /// What differed when it began.
    pub plan: HostPlan,
    /// Changes made.
    pub changed: usize,
    /// What whoever does this should know, each a sentence or two.
    pub notes: Vec<String>,
    /// The scripts that it took, by host: each is one round trip, and the first one connects.
    pub round_trips: BTreeMap<String, usize>,
}

/// What was agreed to beforehand of what cannot be undone, and how carefully the move to an SSD is made.
pub struct Permits<'a> {
    /// The disk that may be destroyed, by its name below `/dev/disk/by-id` or with that path.
    pub erase: Option<String>,
    /// Asked about a disk that may not, by its name; true when whoever is asked agrees.
    pub confirm: &'a mut dyn FnMut(&str, &Disk) -> bool,
    /// The boot ROM may be told, for ever, to look at USB.
    pub program_usb_boot: bool,
    /// The master shall start once from its SSD, by `tryboot`, before the card changes.
    pub trial: bool,
    /// What may be changed at all; nothing else is looked at.
    pub scope: Scope,
}

impl std::fmt::Debug for Permits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permits").field("erase", &self.erase).finish_non_exhaustive()
    }
}

/// All modules' steps, in order.
#[must_use]
pub fn steps(site: &Site<'_>) -> Vec<Step> {
    let parts = site.parts();
    let mut packages = Step::new(PACKAGES).title("what the modules need");
    let mut steps = Vec::new();
    for part in &parts {
        steps.extend(part.before_packages.iter().cloned());
        packages = packages.packages(part.packages.iter().cloned());
    }
    for step in &steps {
        packages = packages.after(&step.name);
    }
    steps.push(packages);
    let all: Vec<Step> = parts.into_iter().flat_map(|part| part.steps).collect();
    let has_base = all.iter().any(|step| step.name == base::NAME);
    for mut step in all {
        // What workers run is a clone of a master that has what all nodes have in common.
        if has_base && step.name == generation::NAME {
            step.after.push(base::NAME.to_owned());
        }
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

/// Compares the cluster with its description and, with [`Mode::Apply`], changes what differs and verifies it: the master, and then
/// the swarm that it forms with those workers that answer.
///
/// The master is tried at [`Access::first_contact`] if there is one, then at its own address. Its address is changed under a dead man's
/// switch: unless it is reached at the new one, it takes the old one back. A move to an SSD comes last and restarts it.
///
/// # Errors
/// Every [`ProvisionError`]. What was changed before an error stays; a next run goes on from there.
pub fn provision(
    cluster: &Cluster,
    access: &Access,
    mode: Mode,
    permits: &mut Permits<'_>,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Provisioned, ProvisionError> {
    provision_with(MODULES, cluster, access, mode, permits, events)
}

/// The same with other modules than [`MODULES`]: these and some of one's own, as a rule.
///
/// # Errors
/// As [`provision()`]; also when two modules want different things of one file, unit or name.
pub fn provision_with(
    modules: &[Module],
    cluster: &Cluster,
    access: &Access,
    mode: Mode,
    permits: &mut Permits<'_>,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Provisioned, ProvisionError> {
    // Once sudo asks for a password, nothing more could be done without it.
    let mut access = access.clone().with_sudo_password(cluster)?;
    access.tally = Tally::default();
    // What holds the lock holds it to the end.
    let (host, mut lock, mut done) =
        provision_master(modules, cluster, &access, mode, permits, events)?;
    if let Some(wanted) = permits.scope.swarm(cluster) {
        let worker = |worker: &Worker| swarm::over_ssh(cluster, &access, worker);
        let (scope, patience) = (&permits.scope, &access.patience);
        let reach = swarm::Reach { scope, master: &host, worker: &worker, patience };
        let mut settle = |mode| swarm::settle(cluster, wanted, &reach, mode, events);
        // Who finds nothing to do needs no lock. Of a swarm that cannot be asked at once it is not known.
        let settled = match (mode == Mode::Apply && lock.is_none()).then(|| settle(Mode::Plan)) {
            Some(Ok(planned)) if planned.is_as_wanted() => planned,
            Some(_) => {
                lock = Some(Lock::take(&host, COMMAND)?);
                settle(Mode::Apply)?
            }
            None => settle(mode)?,
        };
        if mode == Mode::Apply {
            done.changed += settled.changes.len();
        }
        done.plan.as_wanted += settled.as_wanted;
        done.plan.steps.push(StepPlan::elsewhere(swarm::NAME, settled.changes));
        done.notes.extend(settled.notes);
    }
    drop(lock);
    done.round_trips = access.tally.by_host();
    Ok(done)
}

/// Everything but the swarm; the connection leads to where the master is in the end.
fn provision_master(
    modules: &[Module],
    cluster: &Cluster,
    access: &Access,
    mode: Mode,
    permits: &mut Permits<'_>,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<(Ssh, Option<Lock>, Provisioned), ProvisionError> {
    let secrets = Secrets::of(cluster, access.sudo_password.as_ref())?;
    let layout = Layout::default();
    let blueprint = &Blueprint { cluster, secrets: &secrets, layout: &layout, modules };
    let memory = Memory::of(access, cluster);
    let (mut host, mut survey, mut answers) =
        look(blueprint, memory.recall().as_deref(), |script| {
            connect_with(cluster, access, script)
        })?;
    let moves = permits.scope.has(ssd_boot::NAME, cluster.master.name.as_str());
    let mut lock = None;
    let (site, steps, facts, mut first, notes) = loop {
        let site = blueprint.site(&survey);
        if moves {
            movable(&site)?;
        }
        if permits.scope.has_module(workers::NAME) {
            growable(&site)?;
        }
        let mut notes = ssd_boot::notes(&site);
        notes.extend(network::note(&survey));
        notes.extend(docker::note(&site));
        notes.extend(registry::note(&site));
        let all = steps(&site);
        permits.scope.check(cluster, &all)?;
        let said = answers.said.clone();
        let (facts, keys) = answers.about(&all, blueprint, &host)?;
        let steps = permits.scope.narrow(cluster, all, &facts)?;
        let first = plan(&steps, &facts)
            .map_err(RunError::from)?
            .about(format!("master, {}", cluster.master.address));
        if mode == Mode::Plan || first.is_empty() {
            memory.keep(&said);
            if mode == Mode::Apply {
                // The user's file may be new even when the master is not.
                record_keys(keys, access, &permits.scope)?;
            }
            return Ok((host, lock, Provisioned::new(first, 0, notes)));
        }
        if lock.is_some() {
            break (site, steps, facts, first, notes);
        }
        // What was found before may be the work of another run, half done.
        lock = Some(Lock::take(&host, COMMAND)?);
        ((), survey, answers) = look(blueprint, Some(&said), |script| Ok(((), host.run(script)?)))?;
    };
    if moves {
        agreed(&site, permits)?;
    }
    let mut changed = 0;
    if first.changes().any(|(_, change)| change.id.as_str() == network::ADDRESS_TASK) {
        // A connection to the old address would keep it.
        drop(lock.take());
        host = change_address(host, &site, access)?;
        lock.replace(Lock::take(&host, COMMAND)?);
        changed += 1;
    }
    let must_program = |(ssd, disks): (&Ssd, &Disks)| ssd_boot::must_program(disks, ssd);
    if moves && ssd_boot::wanted(&site).is_some_and(must_program) {
        host = program_usb_boot(host, &site, access)?;
        lock.replace(Lock::take(&host, COMMAND)?);
        changed += 1;
    }
    changed += retire(&host, cluster, access, &permits.scope, &mut first, events)?;
    let before_move: Vec<Step> =
        steps.iter().filter(|step| step.name != ssd_boot::MOVE).cloned().collect();
    changed += applied(if changed == 0 {
        // Since the lock was taken, nobody changes anything but us.
        let planned = plan(&before_move, &facts).map_err(RunError::from)?;
        run_planned(&host, &before_move, planned, events)?
    } else {
        run(&host, &before_move, Mode::Apply, events)?
    });
    last_look(&host, blueprint, access, &permits.scope)?;
    if first.changes().any(|(_, change)| change.id.as_str() == ssd_boot::MOVE_TASK) {
        if permits.trial {
            host = try_ssd(host, &site, access, events)?;
            lock.replace(Lock::take(&host, COMMAND)?);
            changed += 1;
        }
        host = move_to_ssd(host, &site, access, events)?;
        lock.replace(Lock::take(&host, COMMAND)?);
        changed += 1 + applied(run(&host, &steps, Mode::Apply, events)?);
    }
    Ok((host, lock, Provisioned::new(first, changed, notes)))
}

impl Provisioned {
    fn new(plan: HostPlan, changed: usize, notes: Vec<String>) -> Self {
        Self { plan, changed, notes, round_trips: BTreeMap::new() }
    }
}

/// Has workers leave the swarm that are not in the cluster any more, while they still have what the master serves them: without it
/// they could not give their tasks away. How many.
fn retire(
    host: &Ssh,
    cluster: &Cluster,
    access: &Access,
    scope: &Scope,
    plan: &mut HostPlan,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<usize, ProvisionError> {
    let Some(wanted) = scope.swarm(cluster) else { return Ok(0) };
    let worker = |worker: &Worker| swarm::over_ssh(cluster, access, worker);
    let reach = swarm::Reach { scope, master: host, worker: &worker, patience: &access.patience };
    let retired = swarm::retire(cluster, wanted, &reach, events)?;
    let number = retired.len();
    if number > 0 {
        plan.steps.push(StepPlan::elsewhere(swarm::NAME, retired));
    }
    Ok(number)
}

/// What a master is, when it can be provisioned at all.
pub(crate) fn looked_at(host: &dyn Host, cluster: &Cluster) -> Result<Survey, ProvisionError> {
    let survey = Survey::take(host, cluster.master.ssd.as_ref())?;
    suitable(cluster, &survey)?;
    Ok(survey)
}

fn applied(report: Report) -> usize {
    report.applied.iter().map(feeder_plan::Applied::changed).sum()
}

/// Whether the master can move to its SSD, if it is to have one.
fn movable(site: &Site<'_>) -> Result<(), ProvisionError> {
    match ssd_boot::refusal(site) {
        None => Ok(()),
        Some(ssd_boot::Refusal { why, remedy }) => Err(ProvisionError::Unsuitable {
            host: site.cluster.master.name.to_string(),
            why,
            remedy,
        }),
    }
}

/// Whether workers' state images can become as large as the cluster says.
fn growable(site: &Site<'_>) -> Result<(), ProvisionError> {
    let Some((why, remedy)) = workers::refusal(site) else { return Ok(()) };
    Err(ProvisionError::Unsuitable { host: site.cluster.master.name.to_string(), why, remedy })
}

/// Whether somebody agreed to what cannot be undone. Nothing has been changed before.
fn agreed(site: &Site<'_>, permits: &mut Permits<'_>) -> Result<(), ProvisionError> {
    let host = site.cluster.master.name.to_string();
    if let Some((ssd, disks)) = ssd_boot::wanted(site) {
        let id = ssd.disk.name();
        if let Some(given) = &permits.erase
            && given.trim_start_matches("/dev/disk/by-id/") != id
        {
            return Err(ProvisionError::AgreedToAnother {
                given: given.clone(),
                id: id.to_owned(),
            });
        }
        if ssd_boot::must_program(disks, ssd) && !permits.program_usb_boot {
            return Err(ProvisionError::RomNotProgrammed { host, row: disks.otp.unwrap_or(0) });
        }
    }
    if let Some((id, disk)) = ssd_boot::to_be_erased(site)
        && permits.erase.is_none()
        && !(permits.confirm)(id, disk)
    {
        return Err(ProvisionError::NotAgreed {
            host,
            disk: format!("{id} ({})", disk.describe()),
            holds: disk.holds(),
            id: id.to_owned(),
        });
    }
    Ok(())
}

/// Tells the boot ROM to look at USB, restarts the master, and looks whether it does.
fn program_usb_boot(host: Ssh, site: &Site<'_>, access: &Access) -> Result<Ssh, ProvisionError> {
    let name = || site.cluster.master.name.to_string();
    host.run(&ssd_boot::program_usb_boot())?;
    let host = restart(host, REBOOT, site.cluster, access)
        .map_err(|source| ProvisionError::NotBack { host: name(), from_ssd: false, source })?;
    host.run(&ssd_boot::usb_boot_was_programmed())?;
    let now = Survey::take(&host, site.cluster.master.ssd.as_ref())?;
    let now = Site { survey: &now, ..*site };
    match ssd_boot::wanted(&now) {
        Some((ssd, disks)) if ssd_boot::must_program(disks, ssd) => {
            Err(ProvisionError::RomNotTaken { host: name(), row: disks.otp.unwrap_or(0) })
        }
        _ => Ok(host),
    }
}

/// One start with the root on the SSD, and back to the card: what the trial wrote is overwritten by the last copy.
fn try_ssd(
    host: Ssh,
    site: &Site<'_>,
    access: &Access,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Ssh, ProvisionError> {
    let Some((ssd, disks)) = ssd_boot::wanted(site) else { return Ok(host) };
    let text = format!("one start with the root on {}, and back to the card", ssd.disk.name());
    let change = Change::elsewhere("ssd-trial", Sign::Change, text);
    let name = site.cluster.master.name.as_str();
    let mut tell =
        |phase| events(ApplyEvent { host: name, step: ssd_boot::NAME, change: &change, phase });
    tell(Phase::Begin);
    let tried = once_from_ssd(host, &Script::on_master(site, ssd, disks), site, access);
    tell(if tried.is_ok() { Phase::Done } else { Phase::Failed });
    tried
}

fn once_from_ssd(
    host: Ssh,
    script: &Script,
    site: &Site<'_>,
    access: &Access,
) -> Result<Ssh, ProvisionError> {
    let name = || site.cluster.master.name.to_string();
    let runs_here = |host: &Ssh| -> Result<bool, ProvisionError> {
        Ok(host.run(&script.runs_here())?.stdout_text().trim() == "yes")
    };
    let failed = |source| ProvisionError::Trial { host: name(), source: Some(source) };
    host.run(&script.trial())?;
    let host = restart(host, TRYBOOT, site.cluster, access).map_err(failed)?;
    if !runs_here(&host)? {
        host.run(&ssd_boot::after_trial())?;
        return Err(ProvisionError::Trial { host: name(), source: None });
    }
    let host = restart(host, REBOOT, site.cluster, access)
        .map_err(|source| ProvisionError::NotBack { host: name(), from_ssd: false, source })?;
    host.run(&ssd_boot::after_trial())?;
    Ok(host)
}

/// Restarts the master, and comes back with a connection to the system that came up.
fn restart(host: Ssh, verb: &str, cluster: &Cluster, access: &Access) -> Result<Ssh, RemoteError> {
    let mut keep_waiting = (access.patience)(Awaited::Restart);
    feeder_remote::restart(host, verb, &access.master(cluster), &mut *keep_waiting)
}

/// The last copy and the switch; then the master comes back from its SSD, or did not move.
///
/// By itself and not with the other steps: from the last copy on, what writes stays stopped.
fn move_to_ssd(
    host: Ssh,
    site: &Site<'_>,
    access: &Access,
    events: &mut dyn FnMut(ApplyEvent<'_>),
) -> Result<Ssh, ProvisionError> {
    let (Some(step), Some((ssd, disks))) = (ssd_boot::move_step(site), ssd_boot::wanted(site))
    else {
        return Ok(host);
    };
    let name = || site.cluster.master.name.to_string();
    let steps = [step];
    let this = run(&host, &steps, Mode::Plan, events)?.plan;
    apply(&host, &this, events).map_err(RunError::from)?;
    if ssd_boot::way(disks, ssd) == Way::Removed {
        host.run(&later(POWER_OFF))?;
        return Err(ProvisionError::TakeCardOut { host: name() });
    }
    let host = restart(host, REBOOT, site.cluster, access)
        .map_err(|source| ProvisionError::NotBack { host: name(), from_ssd: true, source })?;
    let left = run(&host, &steps, Mode::Plan, events)?.plan;
    if !left.is_empty() {
        return Err(ProvisionError::StillOnCard { host: name(), id: ssd.disk.name().to_owned() });
    }
    Ok(host)
}

/// Connects to the master: at [`Access::first_contact`] if there is one, then at its own address.
///
/// # Errors
/// It does not answer at either, or not as it should.
pub fn connect(cluster: &Cluster, access: &Access) -> Result<Ssh, ProvisionError> {
    connect_with(cluster, access, ":").map(|(host, _)| host)
}

/// The same with a first script, and what it said.
fn connect_with(
    cluster: &Cluster,
    access: &Access,
    script: &str,
) -> Result<(Ssh, Output), ProvisionError> {
    let mut at_home = access.master(cluster);
    at_home.host_keys = access.host_keys;
    let mut first = None;
    // Who names another address expects it there; nobody answering takes long to find out.
    if let Some(elsewhere) = access.first_contact(cluster) {
        match Ssh::connect_with(elsewhere, script) {
            Ok(connected) => return Ok(connected),
            Err(error) if error.is_transient() => first = Some(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ssh::connect_with(at_home, script).map_err(|error| match error {
        // It was reached.
        RemoteError::Script { .. } => error.into(),
        source => ProvisionError::Unreachable { source: source.into(), elsewhere: first },
    })
}

pub(crate) fn suitable(cluster: &Cluster, survey: &Survey) -> Result<(), ProvisionError> {
    let unsuitable = |why: String, remedy: &str| ProvisionError::Unsuitable {
        host: cluster.master.name.to_string(),
        why,
        remedy: remedy.to_owned(),
    };
    match &survey.foreign_manager {
        Some(manager) if network::steps_aside(manager) => {}
        Some(manager) => {
            return Err(unsuitable(
                format!("{manager} manages its network, and how to take over from it is not known"),
                "switch it to systemd-networkd, NetworkManager or dhcpcd first",
            ));
        }
        None if survey.networkd => {}
        None => {
            return Err(unsuitable(
                "systemd-networkd does not manage its network".into(),
                "enable systemd-networkd and switch off what manages the network now, then try again",
            ));
        }
    }
    if let Some(by) = &survey.first_boot {
        return Err(unsuitable(
            format!("its first boot is not over: {by} still works on it"),
            "wait until it has, which may take minutes and a restart, then try again",
        ));
    }
    if survey.user_failed {
        return Err(unsuitable(
            "it refused the user of its imager's userconf.txt, and asks for one on its screen"
                .into(),
            "/boot/firmware/failed_userconf.txt says why; answer on its screen, then remove that file",
        ));
    }
    if !survey.firmware_mounted {
        return Err(unsuitable(
            format!("/boot/firmware/kernel8.img is not there ({})", survey.system),
            "a 64-bit Raspberry Pi OS of bookworm or later is needed, with its boot partition mounted on /boot/firmware; if it is one, `mount /boot/firmware` says why it is not",
        ));
    }
    Ok(())
}

/// Moves the master to its address and comes back with a connection there.
fn change_address(host: Ssh, site: &Site<'_>, access: &Access) -> Result<Ssh, ProvisionError> {
    host.run(&network::switch_script(site))?;
    drop(host);
    let options = access.master(site.cluster);
    let mut keep_waiting = (access.patience)(Awaited::NewAddress);
    let host = wait_until_reachable(&options, &mut *keep_waiting).map_err(|source| {
        ProvisionError::NewAddress { host: site.cluster.master.name.to_string(), source }
    })?;
    host.run(&network::confirm_script())?;
    Ok(host)
}

#[cfg(test)]
mod tests {
    use feeder_ui::Expected;

    use super::*;
    use crate::{MoveState, part::tests::with_site, ssd_boot::tests::with_ssd};

    const T5: &str = "usb-Samsung_Portable_SSD_T5_1234567-0:0";

    fn in_order(steps: &[Step]) -> String {
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        for (at, step) in steps.iter().enumerate() {
            for before in &step.after {
                assert!(
                    names[..at].contains(&before.as_str()),
                    "{} comes before {before}",
                    step.name
                );
            }
        }
        names.join("\n")
    }

    #[test]
    fn steps_are_in_an_order_that_can_be_applied() {
        with_site(|site| insta::assert_snapshot!(in_order(&steps(site))));
    }

    #[test]
    fn the_move_to_an_ssd_comes_last() {
        with_ssd(|site| assert!(in_order(&steps(site)).ends_with("\nssd-boot\nssd-move")));
    }

    /// What [`agreed`] says to these options.
    fn asked(site: &Site<'_>, erase: Option<&str>, typed: bool) -> (String, u32) {
        let mut questions = 0;
        let mut permits = Permits {
            erase: erase.map(str::to_owned),
            confirm: &mut |id, disk| {
                assert_eq!((id, disk.path.as_str()), (T5, "/dev/sda"));
                questions += 1;
                typed
            },
            program_usb_boot: false,
            trial: false,
            scope: Scope::default(),
        };
        let said = match agreed(site, &mut permits) {
            Ok(()) => "agreed".to_owned(),
            Err(error) => format!("{error}\n→ {}", error.hint().unwrap_or_default()),
        };
        (said, questions)
    }

    #[test]
    fn nothing_is_destroyed_without_a_word() {
        with_ssd(|site| {
            assert_eq!(asked(site, Some(T5), false), ("agreed".into(), 0));
            let path = format!("/dev/disk/by-id/{T5}");
            assert_eq!(asked(site, Some(&path), false), ("agreed".into(), 0));
            assert_eq!(asked(site, None, true), ("agreed".into(), 1));
            let (refused, questions) = asked(site, None, false);
            assert_eq!(questions, 1);
            let (another, questions) = asked(site, Some("usb-WDC_WD10_WD-1-0:0"), true);
            assert_eq!(questions, 0);
            insta::assert_snapshot!("not_agreed", format!("{refused}\n\n{another}"));
        });
    }

    #[test]
    fn who_agreed_once_is_not_asked_when_it_goes_on() {
        with_ssd(|site| {
            for state in [MoveState::Made, MoveState::Copied, MoveState::Sealed, MoveState::Running]
            {
                let disks = site.survey.disks.clone().map(|disks| crate::Disks { state, ..disks });
                let survey = Survey { disks, ..site.survey.clone() };
                let site = Site { survey: &survey, ..*site };
                assert_eq!(asked(&site, None, false), ("agreed".into(), 0), "{state:?}");
            }
        });
    }
}
