//! A worker whose root is a copy of its own, in place of one that all share.

use feeder_scenario::{Cluster, Lab, Node, Root, Scenario, Steps, Verdict};

use crate::{generations::COMMON, netboot::FIRST};

/// In the table of scenarios.
pub const ROOT_COPY: Scenario<Lab> = Scenario {
    name: "root-copy",
    about: "a worker's root is a copy of its own, which it writes to, anew with each generation",
    run: root_copy,
};

const SECOND: u32 = 2;
const NOTE: &str = "/home/pi/note";
/// What is mounted as root, whether it may be written to, and what failed.
const ROOT: &str = "findmnt -nro FSTYPE,SOURCE /
findmnt -no OPTIONS / | tr , '\\n' | grep -x -e ro -e rw
systemctl --failed --no-legend --plain | cut -d ' ' -f 1";

fn root_copy(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    lab.step("a worker gets a root of its own", |lab| {
        lab.provision().changing(copied).applies_changes()?;
        lab.provision().changing(copied).finds_nothing_to_do()
    })?;
    let worker = lab.node("cluster01")?;
    lab.step("it boots from it", |lab| {
        worker.power_on()?;
        worker.fetched_generation(lab, FIRST)?;
        worker.until_ssh()?;
        has_own_root(lab, &worker, FIRST)
    })?;
    lab.step("what it writes is in its copy, and survives a power cut", |lab| {
        worker.write(NOTE, "still here")?;
        worker.cut_power()?.power_on()?.until_ssh()?;
        worker.reads(NOTE, "still here")?;
        lab.master()
            .says(&format!("cat {}{NOTE}", copy_root(lab, &worker, FIRST)), "still here")?;
        let shared = lab.layout().generation_root(FIRST);
        lab.master().says(&format!("ls {shared}{NOTE} 2>/dev/null || :"), "")
    })?;
    lab.step("another generation begins with another copy", |lab| {
        lab.provision().with(COMMON).changing(copied).applies_changes()?;
        has_own_root(lab, &worker, FIRST)?;
        worker.cut_power()?.power_on()?.until_ssh()?;
        has_own_root(lab, &worker, SECOND)?;
        worker.says(&format!("ls {NOTE} 2>/dev/null || :"), "")?;
        lab.provision().with(COMMON).changing(copied).finds_nothing_to_do()
    })?;
    lab.step("it shares its root again", |lab| {
        lab.provision().with(COMMON).applies_changes()?;
        // What it runs from stays exported.
        worker.run("echo 3 >/proc/sys/vm/drop_caches; find /usr/lib -type f | wc -l")?;
        worker.cut_power()?;
        worker.power_on()?.until_ssh()?;
        worker.runs_from_generation(SECOND)?;
        worker.is_diskless_with_an_overlay_root()?;
        lab.provision().with(COMMON).finds_nothing_to_do()
    })
}

fn copied(cluster: &mut Cluster) {
    if let Some(worker) = cluster.workers.first_mut() {
        worker.root = Root::Copy;
    }
}

fn copy_root(lab: &Lab, worker: &Node, number: u32) -> String {
    let path = lab.cluster().worker(worker.name()).map(|it| lab.layout().copy_root(it, number));
    path.unwrap_or_default().into_string()
}

fn has_own_root(lab: &Lab, worker: &Node, number: u32) -> Verdict {
    worker.runs_from_generation(number)?;
    let (master, root) = (lab.cluster().master.address, copy_root(lab, worker, number));
    worker.says(ROOT, &format!("nfs {master}:{root}\nrw"))
}
