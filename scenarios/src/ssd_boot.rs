//! The master moves from its SD card to an SSD, boots from one of the two whenever its power fails, and serves as before.

use std::time::Duration;

use feeder_scenario::{Class, Copied, Lab, Moment, OrFail, Scenario, Steps, Verdict};

use crate::netboot::netboots;

/// In the table of scenarios.
pub const SSD_BOOT: Scenario<Lab> = Scenario {
    name: "ssd-boot",
    about: "the master moves to an SSD, whenever its power fails on the way, and workers boot from it",
    run: ssd_boot,
};

/// The SSD, in bytes: more than the card.
const SSD: u64 = 8 << 30;
/// When the power fails, in the order in which these moments come.
const POWER_FAILS: &[Moment] = &[
    Moment::Done("task:ssd-partitions"),
    Moment::Begins("task:ssd-copy"),
    Moment::Copied("task:ssd-copy", 90),
    Moment::Begins("task:ssd-move"),
    Moment::Copied("task:ssd-move", 50),
];

fn ssd_boot(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master beside an empty SSD", power_on_beside_ssd)?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    for moment in POWER_FAILS {
        lab.step(format!("the power fails {moment} and the master boots all the same"), |lab| {
            let copied = lab.provision().onto_ssd().loses_power(*moment)?;
            lab.master().power_on()?.until_ssh()?;
            if let Moment::Copied("task:ssd-copy", _) = moment {
                beside_dd(lab, copied)
            } else {
                Ok(())
            }
        })?;
    }
    lab.step("provision moves it to the SSD", |lab| {
        lab.provision().onto_ssd().applies_changes()?;
        lab.master().runs_from_ssd()
    })?;
    lab.step("provision again", |lab| lab.provision().onto_ssd().finds_nothing_to_do())?;
    lab.step("it boots without its SD card", |lab| {
        let master = lab.master();
        master.cut_power()?.pull_sd_card()?.power_on()?.until_ssh()?;
        master.runs_from_ssd()
    })?;
    let worker = lab.node("cluster01")?;
    lab.step("a worker netboots from the SSD", |lab| netboots(lab, &worker))?;
    lab.step("provision a third time", |lab| lab.provision().onto_ssd().finds_nothing_to_do())
}

/// Every move begins so.
pub(crate) fn power_on_beside_ssd(lab: &mut Lab) -> Verdict {
    // It is the master that this is about.
    lab.put_master_on_machine();
    let master = lab.master();
    lab.plug_ssd(&master, SSD)?;
    lab.power_on_bare_master().map(drop)
}

/// Says how the copy compares with what dd gets between the same partitions for as many bytes, of which neither waited for the
/// medium. The copy was cut off and is made anew, so that nothing is lost.
fn beside_dd(lab: &mut Lab, copied: Copied) -> Verdict {
    let took = lab.master().run(&format!(
        "set -e\necho 3 >/proc/sys/vm/drop_caches\nto=$(readlink -e /dev/disk/by-id/usb-*-ssd-0:0-part2)\nbegan=$(date +%s%N)\n\
         dd if=\"$(findmnt -no SOURCE /)\" of=\"$to\" bs=1M count={} status=none\n\
         echo $((($(date +%s%N) - began) / 1000000))\ndd if=/dev/zero of=\"$to\" bs=1M count=1 conv=fsync status=none",
        copied.bytes >> 20
    ))?;
    let took =
        Duration::from_millis(took.trim().parse().or_fail(Class::Harness, "no milliseconds")?);
    let rate = |time: Duration| copied.bytes as f64 / 1e6 / time.as_secs_f64();
    let (copy, dd) = (rate(copied.within), rate(took));
    lab.story()
        .summary(format!("copied {copy:.1} MB/s, dd {dd:.1} MB/s: {:.0} %", 100.0 * copy / dd));
    Ok(())
}
