//! `netboot` can fail: what is broken on purpose is found at the right place and called by its name, and `provision` mends it.

use feeder_scenario::{Failure, Lab, Node, Scenario, Steps, Verdict};

use crate::{mutations::on_master, netboot::netboots};

/// In the table of scenarios.
pub const SABOTAGE: Scenario<Lab> = Scenario {
    name: "sabotage",
    about: "what is broken on purpose makes netboot fail with its cause, and provision mends it",
    run: sabotage,
};

/// Something to break on the master.
struct Fault {
    /// As the step is called.
    name: &'static str,
    /// Breaks it, see [`on_master`].
    script: &'static str,
    /// Words that the failure must say.
    says: &'static [&'static str],
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "another text in option 43",
        script: "sed -i 's/Raspberry Pi Boot/Raspberry Pi Foot/' /etc/dnsmasq.d/feeder.conf && systemctl restart dnsmasq",
        says: &["no boot server", "option 43", "Raspberry Pi Foot"],
    },
    Fault {
        name: "no NFS export for the worker",
        script: "sed -i 's/ ADDRESS([^)]*)//' /etc/exports.d/feeder.exports && exportfs -ra",
        says: &["may not mount its root", "no export"],
    },
    Fault {
        name: "a wrong kernel in the worker's boot tree",
        script: "cd TREE && head -c 3000000 kernel8.img > other && mv other kernel8.img",
        says: &["fetched kernel8.img with SHA-256", "but generation 1 holds it with"],
    },
];

fn sabotage(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    let worker = lab.node("cluster01")?;
    for fault in FAULTS {
        lab.step(format!("{}: the worker does not boot", fault.name), |lab| {
            breaks(lab, &worker, fault)
        })?;
        lab.step(format!("{}: provision mends it", fault.name), |lab| {
            lab.provision().applies_changes()
        })?;
    }
    lab.step("the worker netboots after all", |lab| netboots(lab, &worker))
}

/// Breaks it and looks whether a netboot finds out.
fn breaks(lab: &mut Lab, worker: &Node, fault: &Fault) -> Verdict {
    on_master(lab, fault.script)?;
    let outcome = netboots(lab, worker);
    worker.cut_power_if_on();
    let Err(failure) = outcome else {
        return Err(Failure::product(format!(
            "{} boots in spite of {}",
            worker.name(),
            fault.name
        )));
    };
    lab.story().note(format!("as expected: {failure}"));
    match fault.says.iter().find(|words| !failure.message.contains(**words)) {
        None => Ok(()),
        Some(words) => {
            Err(Failure::product(format!("{}: the failure does not say \"{words}\"", fault.name))
                .detail(failure.message))
        }
    }
}
