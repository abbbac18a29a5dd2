//! What goes wrong while a master is provisioned is told, and the next run goes on from there.

use feeder_scenario::{Lab, Moment, Node, Scenario, Steps, Verdict};

/// In the table of scenarios.
pub const PROVISION_FAULTS: Scenario<Lab> = Scenario {
    name: "provision-faults",
    about: "a full disk and a mirror that goes away are told with what to do, and provisioning goes on",
    run: provision_faults,
};

/// All but a few MB of the master's disk: less than any package needs.
const FILL: &str =
    "fallocate -l $(($(df -B1 --output=avail / | tail -n 1) - 4000000)) /srv/full && sync";
const EMPTY: &str = "rm /srv/full";

fn provision_faults(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("its disk is full, which is told", |lab| {
        lab.master().run(FILL)?;
        lab.provision().fails(&["packages", "You don't have enough free space", "left undone"])?;
        lab.master().until_ssh()?.run(EMPTY).map(drop)
    })?;
    lab.step("the mirror goes away while packages are fetched, which is told", |lab| {
        let words = ["packages", "Failed to fetch", "left undone"];
        lab.provision().loses_mirror(Moment::Begins("package:dnsmasq"), &words)
    })?;
    lab.step("its disk fills up with the system for workers, which is told", |lab| {
        let words = ["generation", "No space left on device", "left undone"];
        let fill = |master: &Node| master.until_ssh()?.run(FILL).map(drop);
        lab.provision().fails_when(Moment::Begins("task:generation-1"), fill, &words)?;
        lab.master().until_ssh()?.run(EMPTY).map(drop)
    })?;
    lab.step("provision goes on from there", |lab| lab.provision().applies_changes())?;
    lab.step("provision again", |lab| lab.provision().finds_nothing_to_do())
}
