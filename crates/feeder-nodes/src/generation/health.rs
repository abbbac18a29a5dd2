//! What workers say about themselves: which generation they run from, and whether they came up as they should.

use std::{collections::BTreeMap, time::Duration};

use feeder_cluster::Cluster;
use feeder_modules::{Access, generation_of};
use feeder_remote::{Host, Privilege, RemoteError, Ssh, in_parallel};

use crate::{Choice, Target, choose};

/// How long a worker that may be off is waited for.
const GLANCE: Duration = Duration::from_secs(10);

/// What a worker says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    /// The generation that it runs from, if it runs from one.
    pub(super) generation: Option<u32>,
    /// `running`, `degraded`, or how far its start is.
    pub(super) state: String,
    /// Units that failed.
    pub(super) failed: Vec<String>,
}

/// Prints what [`Health`] reads, once the system is up or `seconds` are over.
fn health_script(seconds: u64) -> String {
    format!(
        "cat /proc/cmdline\necho \"state $(timeout {seconds} systemctl is-system-running --wait)\"\n\
         systemctl list-units --failed --plain --no-legend | sed 's/^\\([^ ]*\\).*/failed \\1/'\n"
    )
}

impl Health {
    fn parse(text: &str) -> Self {
        let mut health = Self {
            generation: generation_of(text.lines().next().unwrap_or_default()),
            state: String::new(),
            failed: Vec::new(),
        };
        for line in text.lines().skip(1) {
            match line.split_once(' ') {
                Some(("state", state)) => state.trim().clone_into(&mut health.state),
                Some(("failed", unit)) => health.failed.push(unit.trim().to_owned()),
                _ => {}
            }
        }
        health
    }

    /// Asks a worker, once its system is up or after `patience`. `connect` is how long one attempt to reach it may take.
    pub(super) fn ask(
        target: &Target,
        connect: Option<Duration>,
        patience: Duration,
    ) -> Result<Self, RemoteError> {
        let mut options = target.with(Privilege::User);
        options.connect_timeout = connect.unwrap_or(options.connect_timeout);
        let host = Ssh::connect(options)?;
        Ok(Self::parse(&host.run(&health_script(patience.as_secs().max(1)))?.stdout_text()))
    }

    /// What is wrong with a worker that was moved to a generation; what failed before does not count.
    pub(super) fn ails(&self, number: u32, before: &[String]) -> Option<String> {
        if self.generation != Some(number) {
            return Some(match self.generation {
                Some(other) => format!("it came up from generation {other}"),
                None => "it came up from no generation".to_owned(),
            });
        }
        let new: Vec<&str> =
            self.failed.iter().filter(|unit| !before.contains(unit)).map(String::as_str).collect();
        if !new.is_empty() {
            return Some(format!("{} failed", new.join(", ")));
        }
        match self.state.as_str() {
            "running" | "degraded" => None,
            "" => Some("it does not say whether it has started".to_owned()),
            state => Some(format!("its start did not come to an end: it is `{state}`")),
        }
    }
}

/// Every worker of the cluster with the way to it. Empty when there is none.
pub(super) fn workers(cluster: &Cluster, access: &Access) -> Vec<Target> {
    choose(cluster, access, &Choice { workers: true, ..Choice::default() }).unwrap_or_default()
}

/// What workers say, by name; those that do not answer with what asking them met.
pub(super) fn asked(targets: &[Target]) -> BTreeMap<String, Result<Health, RemoteError>> {
    let said =
        in_parallel(targets, |target| Health::ask(target, Some(GLANCE), Duration::from_secs(1)));
    targets.iter().map(|target| target.name.clone()).zip(said).collect()
}

pub(super) fn running(
    said: &BTreeMap<String, Result<Health, RemoteError>>,
) -> BTreeMap<String, u32> {
    let generation = |health: &Result<Health, RemoteError>| health.as_ref().ok()?.generation;
    said.iter().filter_map(|(name, health)| Some((name.clone(), generation(health)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(text: &str) -> Health {
        Health::parse(text)
    }

    const LINE: &str =
        "console=tty1 nfsroot=192.168.10.100:/srv/feeder/generations/2/root,vers=3 ro";

    #[test]
    fn a_worker_is_healthy_when_nothing_failed_that_had_not_failed_before() {
        let failing =
            health(&format!("{LINE}\nstate degraded\nfailed a.service\nfailed b.mount\n"));
        assert_eq!(failing.generation, Some(2));
        let ails = |health: &Health, before: &[&str]| {
            let before: Vec<String> = before.iter().map(|&unit| unit.to_owned()).collect();
            health.ails(2, &before)
        };
        assert_eq!(ails(&failing, &["b.mount"]).as_deref(), Some("a.service failed"));
        assert_eq!(ails(&failing, &["a.service", "b.mount"]), None);
        assert_eq!(ails(&health(&format!("{LINE}\nstate running\n")), &[]), None);
        let starting = health(&format!("{LINE}\nstate starting\n"));
        assert!(ails(&starting, &[]).is_some_and(|why| why.contains("`starting`")));
        assert!(ails(&health(LINE), &[]).is_some_and(|why| why.contains("does not say")));
        assert_eq!(failing.ails(3, &[]).as_deref(), Some("it came up from generation 2"));
        let other = health("root=/dev/mmcblk0p2\nstate running\n");
        assert_eq!(other.ails(3, &[]).as_deref(), Some("it came up from no generation"));
    }
}
