//! How fast things go, side by side with how they went before: measured, not judged.

mod ansible;
mod figures;

use std::{collections::BTreeMap, time::Duration};

use feeder_scenario::{Class, Failure, Lab, OrFail, Scenario, Steps, Verdict};

use self::ansible::ON_THE_NODE;
pub(crate) use self::figures::Figures;
use self::figures::{Ansible, Nothing, Worker};

/// In the table of scenarios.
pub const BENCH: Scenario<Lab> = Scenario {
    name: "bench",
    about: "what provisioning costs, side by side with ansible-core, and with the old guide's copy of a root for every worker",
    run: bench,
};

/// What was measured, among the evidence of a run.
pub(crate) const FIGURES: &str = "bench.json";

/// Behind the sample's last worker.
const ONE_MORE: &str = "[[worker]]
name    = \"cluster03\"
mac     = \"b8:27:eb:6b:02:d3\"
serial  = \"2c6b02d3\"
address = \"192.168.10.103\"
";
/// What that worker has in the place of a root of its own.
const STATE: &str = "task:state-cluster03";
/// What the old guide does for every worker: a copy of the master's root.
const OLD_GUIDE: &str = "set -e
mkdir -p /srv/old/cluster03
began=$(date +%s%N)
rsync -xaHAX --exclude=/srv / /srv/old/cluster03/
sync -f /srv
echo $((($(date +%s%N) - began) / 1000000))";
/// In bytes. What the system writes meanwhile of its own accord, as into its journal, is elsewhere.
const USED: &str = "sync -f /srv; du -sB1 /srv | cut -f 1";
/// Runs of provisioning, of which the middle one counts.
const RUNS: usize = 5;
/// After so many plays a playbook has nothing to do, or never will.
const PLAYS: usize = 2;
/// For a copy of all, and for packages, in vCPU seconds.
const COPY: u64 = 1200;
const PACKAGES: u64 = 600;

fn bench(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    lab.step("what ansible and the old guide want on the master", |lab| {
        let install = format!(
            "export DEBIAN_FRONTEND=noninteractive; apt-get -q update && apt-get -qy install --no-install-recommends rsync {ON_THE_NODE}"
        );
        lab.master().run_within(PACKAGES, &install).map(drop)
    })?;
    // One step, so that all of it is measured in one run, whatever was taken over from earlier ones.
    lab.step("measure", measure)
}

fn measure(lab: &mut Lab) -> Verdict {
    let (mut times, mut round_trips) = (Vec::new(), BTreeMap::new());
    for _ in 0..RUNS {
        let took = lab.provision().takes()?;
        nothing(took.done.changed)?;
        times.push(took.within);
        round_trips = took.done.round_trips;
    }
    let provision_s = middle(times);
    lab.story().note(format!("provision with nothing to do: {provision_s:.2} s"));
    let ansible = with_ansible(lab)?;
    let nothing_to_do = Nothing { runs: RUNS, provision_s, round_trips, ansible };
    let figures = Figures { nothing_to_do, one_more_worker: one_more_worker(lab)? };

    let file = lab.story().dir().file(FIGURES);
    let text = serde_json::to_vec_pretty(&figures).or_fail(Class::Harness, "no JSON")?;
    fs_err::write(&file, text).or_fail(Class::Host, "cannot keep what was measured")?;
    lab.story().evidence("figures", &file, None);
    for line in figures.to_string().lines() {
        lab.story().note(line);
    }
    Ok(())
}

fn nothing(changed: usize) -> Verdict {
    if changed == 0 {
        return Ok(());
    }
    Err(Failure::product(format!("it changed {changed} and should not have")))
}

fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, Duration::as_secs_f64)
}

/// The playbook, with nothing to do.
fn with_ansible(lab: &mut Lab) -> Verdict<Ansible> {
    let found = match ansible::Ansible::find() {
        Ok(found) => found,
        Err(because) => {
            lab.story().note(format!("ansible-core is not measured: {because}"));
            return Ok(Ansible::NotMeasured { because });
        }
    };
    let master = lab.master();
    let playbook = found.playbook(lab)?;
    // On an emulated master a play takes minutes: the first one that changes nothing counts.
    let mut seconds = None;
    for _ in 0..PLAYS {
        let (changed, within) = playbook.play(&master)?;
        lab.story().note(format!("ansible-core: {changed} changed, {within:.1?}"));
        if changed == 0 {
            seconds = Some(within.as_secs_f64());
            break;
        }
    }
    let seconds = seconds.ok_or_else(|| {
        Failure::scenario("the playbook changes something however often it is played")
    })?;
    drop(playbook);
    // The two agree on what is wanted.
    lab.provision().finds_nothing_to_do()?;
    Ok(Ansible::Measured { version: found.version, seconds })
}

fn one_more_worker(lab: &mut Lab) -> Verdict<Worker> {
    let before = used(lab)?;
    let run = lab.provision().with(ONE_MORE).takes()?;
    let bytes = used(lab)?.saturating_sub(before);
    lab.story().note(format!("one more worker: {:.2} s, {bytes} bytes", run.within.as_secs_f64()));
    for (resource, took) in &run.each {
        lab.story().note(format!("{resource}: {:.2} s", took.as_secs_f64()));
    }
    let root = run
        .each
        .get(STATE)
        .ok_or_else(|| Failure::scenario(format!("one more worker was made without {STATE}")))?;

    let before = used(lab)?;
    let took = lab.master().run_within(COPY, OLD_GUIDE)?;
    let took: u64 = took.trim().parse().or_fail(Class::Harness, "no milliseconds")?;
    Ok(Worker {
        provision_s: run.within.as_secs_f64(),
        root_s: root.as_secs_f64(),
        bytes,
        copy_s: Duration::from_millis(took).as_secs_f64(),
        copy_bytes: used(lab)?.saturating_sub(before),
    })
}

fn used(lab: &Lab) -> Verdict<u64> {
    lab.master().run(USED)?.trim().parse().or_fail(Class::Harness, "no number of bytes")
}
