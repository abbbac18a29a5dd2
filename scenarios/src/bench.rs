//! How fast things go, side by side with how they went before: measured, not judged.

use feeder_scenario::{Class, Failure, Lab, OrFail, Scenario, Steps, Verdict};

/// In the table of scenarios.
pub const BENCH: Scenario<Lab> = Scenario {
    name: "bench",
    about: "what provisioning costs, side by side with the old guide's copy of a root for every worker",
    run: bench,
};

/// Behind the sample's last worker.
const ONE_MORE: &str = "[[worker]]
name    = \"cluster03\"
mac     = \"b8:27:eb:6b:02:d3\"
serial  = \"2c6b02d3\"
address = \"192.168.10.103\"
";
/// What the old guide does for every worker: a copy of the master's root.
const OLD_GUIDE: &str = "mkdir -p /srv/old/cluster03
began=$(date +%s%N)
rsync -xaHAX --exclude=/srv / /srv/old/cluster03/
sync -f /srv
echo $((($(date +%s%N) - began) / 1000000))";
/// In bytes.
const USED: &str = "sync -f /srv; df -B1 --output=used /srv | tail -n 1";
/// Runs of which the middle one counts.
const RUNS: usize = 5;

fn bench(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    lab.step("one more worker, and the old guide's copy of a root for it", one_more_worker)
}

fn one_more_worker(lab: &mut Lab) -> Verdict {
    let mut nothing = Vec::new();
    for _ in 0..RUNS {
        let (changed, within) = lab.provision().takes()?;
        if changed > 0 {
            return Err(Failure::product(format!("it changed {changed} and should not have")));
        }
        nothing.push(within.as_secs_f64());
    }
    nothing.sort_by(f64::total_cmp);
    let nothing = nothing[RUNS / 2];
    lab.story().note(format!("provision with nothing to do: {nothing:.2} s, the middle of {RUNS}"));

    let before = used(lab)?;
    let (changed, within) = lab.provision().with(ONE_MORE).takes()?;
    let (more, more_bytes) = (within.as_secs_f64(), used(lab)?.saturating_sub(before) as f64);
    lab.story().note(format!(
        "provision with one more worker: {changed} changed, {more:.2} s, {:.2} MB of disk",
        more_bytes / 1e6
    ));

    let before = used(lab)?;
    let took: f64 =
        lab.master().run(OLD_GUIDE)?.trim().parse().or_fail(Class::Harness, "no milliseconds")?;
    let (old, old_bytes) = (took / 1e3, used(lab)?.saturating_sub(before) as f64);
    lab.story()
        .note(format!("the old guide's copy: {old:.1} s, {:.1} MB of disk", old_bytes / 1e6));
    // What the run did for the worker, beside finding that all else is as it should be.
    let own = (more - nothing).max(0.001);
    lab.story().summary(format!(
        "the copy takes {:.1} times as long as the whole run, {:.1} times as long as its part for the worker, and {:.0} times the disk",
        old / more,
        old / own,
        old_bytes / more_bytes.max(1.0),
    ));
    Ok(())
}

fn used(lab: &Lab) -> Verdict<u64> {
    lab.master().run(USED)?.trim().parse().or_fail(Class::Harness, "no number of bytes")
}
