//! The SSD fails while the master moves to it: it is told what is wrong, and the next run finishes.

use feeder_scenario::{Io, IoError, IoFault, Lab, Moment, Scenario, Steps, Times, Verdict};

use crate::ssd_boot::power_on_beside_ssd;

/// In the table of scenarios.
pub const SSD_FAULTS: Scenario<Lab> = Scenario {
    name: "ssd-faults",
    about: "an SSD that is pulled out or gives errors is named with what to do, and the move goes on",
    run: ssd_faults,
};

fn ssd_faults(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master beside an empty SSD", power_on_beside_ssd)?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    lab.step("the SSD is pulled out in the middle of the copy, which is told", |lab| {
        let words = ["copy of the running system", "went away", "Plug it in again"];
        lab.provision().onto_ssd().loses_ssd(Moment::Copied("task:ssd-copy", 30), &words)?;
        // The master lives on, and starts with the SSD in its place.
        lab.master().until_ssh()?.run("test -e /boot/firmware/start.elf")?;
        lab.master().cut_power()?.replug_ssd()?.power_on()?.until_ssh().map(drop)
    })?;
    lab.step("the SSD takes no more writes, which is told", |lab| {
        let (on, error, times) = (Io::Write, IoError::Medium, Times::Always);
        let broken = vec![IoFault { on, error, sector: None, times }];
        lab.master().cut_power()?.ssd_fails(broken)?.power_on()?.until_ssh()?;
        // A copy that was cut off begins anew.
        let words =
            ["root file system", "cluster00-ssd-0:0 fails", "error, dev sd", "another cable"];
        lab.provision().onto_ssd().fails(&words)?;
        lab.master().cut_power()?.ssd_fails(Vec::new())?.power_on()?.until_ssh().map(drop)
    })?;
    lab.step("provision moves it to the SSD", |lab| {
        lab.provision().onto_ssd().applies_changes()?;
        lab.master().runs_from_ssd()
    })?;
    lab.step("provision again", |lab| lab.provision().onto_ssd().finds_nothing_to_do())
}
