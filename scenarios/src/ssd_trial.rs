//! Before the master moves it starts once from its SSD, and comes back by itself whatever that start is like.

use feeder_scenario::{Lab, Scenario, Steps, Verdict};

use crate::ssd_boot::power_on_beside_ssd;

/// In the table of scenarios.
pub const SSD_TRIAL: Scenario<Lab> = Scenario {
    name: "ssd-trial",
    about: "the master tries its SSD once before it moves there, and comes back from one that cannot be reached",
    run: ssd_trial,
};

/// A system in which nobody can log in when it starts on trial: by a word that only that command line has.
const WITHOUT_SSH: &str = "mkdir -p /etc/systemd/system/ssh.service.d
printf '[Unit]\\nConditionKernelCommandLine=!panic=10\\n' >/etc/systemd/system/ssh.service.d/trial.conf
sync";
const WITH_SSH: &str = "rm -r /etc/systemd/system/ssh.service.d; sync";
/// What only a trial has on the card.
const OF_THE_TRIAL: &str = "cd /boot/firmware && ls tryboot.txt feeder-try.txt 2>/dev/null | wc -l";
/// Where the system runs from.
const ROOT: &str = "case $(findmnt -no SOURCE /) in /dev/sd*) echo SSD ;; *) echo card ;; esac";

fn ssd_trial(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master beside an empty SSD", power_on_beside_ssd)?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    lab.step(
        "nobody can log in on trial: the master comes back from its card, which is told",
        |lab| {
            let words = ["did not start from its SSD on trial", "it came back from its SD card"];
            lab.master().run(WITHOUT_SSH)?;
            // QEMU 10.0 ends with a fault when a machine that it has resumed restarts itself.
            lab.master().cut_power()?.power_on()?.until_ssh()?;
            lab.provision().onto_ssd().on_trial().fails(&words)?;
            let master = lab.master();
            master.until_ssh()?;
            master.says(OF_THE_TRIAL, "0")?;
            // Nothing has been switched: without the SSD it starts as before.
            master.cut_power()?.power_on()?.until_ssh()?;
            master.says(ROOT, "card")
        },
    )?;
    lab.step("a trial that goes well, and the move", |lab| {
        // The copy has it still.
        lab.master().run(WITH_SSH)?;
        lab.master().cut_power()?.power_on()?.until_ssh()?;
        lab.provision().onto_ssd().on_trial().applies_changes()?;
        let master = lab.master();
        master.runs_from_ssd()?;
        master.says(OF_THE_TRIAL, "0")
    })?;
    lab.step("provision again", |lab| lab.provision().onto_ssd().finds_nothing_to_do())
}
