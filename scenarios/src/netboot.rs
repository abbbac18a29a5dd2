//! A worker without a disk boots from its master and keeps what it writes.

use feeder_scenario::{Lab, Node, Scenario, Steps, Verdict};

/// In the table of scenarios.
pub const NETBOOT: Scenario<Lab> = Scenario {
    name: "netboot",
    about: "a worker without a disk boots from its master and keeps what it writes",
    run: netboot,
};

/// What dnsmasq puts into option 43, with the three spaces that the boot ROM of a 3B wants.
const BOOT_TEXT: &str = "Raspberry Pi Boot   ";
/// What provisioning makes of a bare master.
pub(crate) const FIRST: u32 = 1;
const NOTE: &str = "/home/pi/note";

fn netboot(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    lab.step("provision again", |lab| lab.provision().finds_nothing_to_do())?;

    let worker = lab.node("cluster01")?;
    lab.step("the worker netboots", |lab| netboots(lab, &worker))?;
    lab.step("what it writes survives a power cut", |lab| survives_a_power_cut(lab, &worker))?;
    lab.step("it may not write to its generation nor mount another's state", |lab| {
        is_confined(lab, &worker)
    })?;
    lab.step("provision a third time", |lab| lab.provision().finds_nothing_to_do())
}

/// A worker boots from the network, and everything about the boot is as it should be.
pub(crate) fn netboots(lab: &mut Lab, worker: &Node) -> Verdict {
    worker.power_on()?;
    netbooted(lab, worker)
}

/// The same of a worker that has been given power.
pub(crate) fn netbooted(lab: &mut Lab, worker: &Node) -> Verdict {
    worker.heard_offer_with_option_43(BOOT_TEXT)?;
    worker.fetched_generation(lab, FIRST)?;
    // Strict: the only key that is accepted is the one that provisioning recorded.
    worker.until_ssh()?;
    worker.is_diskless_with_an_overlay_root()
}

fn survives_a_power_cut(lab: &mut Lab, worker: &Node) -> Verdict {
    worker.write(NOTE, "still here")?;
    worker.cut_power()?.power_on()?.until_ssh()?;
    worker.reads(NOTE, "still here")?;
    let seen = format!(
        "test -e {}{NOTE} && echo seen || echo unseen",
        lab.layout().generation_root(FIRST)
    );
    lab.master().says(&seen, "unseen")
}

fn is_confined(lab: &mut Lab, worker: &Node) -> Verdict {
    let master = lab.cluster().master.address;
    let generation = lab.layout().generation_root(FIRST);
    let state = lab.layout().base().join("state/cluster02");
    let mount = |what: &str| {
        format!("mkdir -p /mnt/try && mount -t nfs -o vers=3,nolock {master}:{what} /mnt/try")
    };
    worker.refuses(
        "write to its generation",
        &format!(
            "{} || exit; touch /mnt/try/mark; said=$?; umount /mnt/try; exit $said",
            mount(generation.as_str())
        ),
        &["Read-only file system"],
    )?;
    worker.refuses(
        "mount another worker's state",
        &mount(state.as_str()),
        &["access denied by server"],
    )
}
