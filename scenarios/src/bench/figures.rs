//! What was measured, as a table.

use std::{collections::BTreeMap, fmt};

use feeder_ui::size;
use serde::{Deserialize, Serialize};

/// How many times as fast as the other way each thing should be.
const GOAL_NOTHING: f64 = 20.0;
const GOAL_WORKER: f64 = 100.0;
/// What a worker may take of the master's disk before it boots, in bytes.
const GOAL_BYTES: u64 = 1 << 20;

/// All that a run of the bench measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Figures {
    pub(crate) nothing_to_do: Nothing,
    pub(crate) one_more_worker: Worker,
}

/// Runs that find nothing to do. Times are in seconds: of provisioning, of the middle one of several runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Nothing {
    pub(crate) runs: usize,
    pub(crate) provision_s: f64,
    /// Of one run, by host.
    pub(crate) round_trips: BTreeMap<String, usize>,
    pub(crate) ansible: Ansible,
}

/// The same with ansible-core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ansible {
    /// It ran.
    Measured {
        /// As it says itself.
        version: String,
        seconds: f64,
    },
    /// It is not to be had here.
    NotMeasured {
        /// Why not.
        because: String,
    },
}

/// One more worker: before it boots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Worker {
    pub(crate) provision_s: f64,
    /// Of it, what stands in the place of a copied root: an image for what the worker writes, and its key.
    pub(crate) root_s: f64,
    /// On the master's disk.
    pub(crate) bytes: u64,
    /// The old guide's copy of a root.
    pub(crate) copy_s: f64,
    pub(crate) copy_bytes: u64,
}

impl Figures {
    /// What a run does for a worker, beside finding that all else is as it should be.
    fn own_s(&self) -> f64 {
        (self.one_more_worker.provision_s - self.nothing_to_do.provision_s).max(0.001)
    }
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nothing_to_do: nothing, one_more_worker: worker } = self;
        let row = |f: &mut fmt::Formatter<'_>, what: &str, figure: &str, note: &str| {
            writeln!(f, "{}", format!("  {what:<44} {figure:>10}  {note}").trim_end())
        };
        let seconds = |seconds: f64| format!("{seconds:.2} s");
        let times = |f: &mut fmt::Formatter<'_>, what: &str, ratio: f64, goal: f64| {
            let note = format!("goal {goal:.0}: {}", verdict(ratio >= goal));
            row(f, what, &format!("{ratio:.1}"), &note)
        };
        writeln!(f, "nothing to do")?;
        let middle = format!("the middle of {}", nothing.runs);
        row(f, "provision", &seconds(nothing.provision_s), &middle)?;
        for (host, trips) in &nothing.round_trips {
            let note = format!("goal 1: {}", verdict(*trips <= 1));
            row(f, &format!("round trips to {host}"), &trips.to_string(), &note)?;
        }
        match &nothing.ansible {
            Ansible::Measured { version, seconds: took } => {
                row(f, &format!("ansible-core {version}"), &seconds(*took), "one run")?;
                times(f, "times as fast", took / nothing.provision_s, GOAL_NOTHING)?;
            }
            Ansible::NotMeasured { because } => row(f, "ansible-core", "–", because)?,
        }
        writeln!(f, "one more worker")?;
        row(f, "provision, all of it", &seconds(worker.provision_s), "")?;
        row(
            f,
            "its part for the worker",
            &seconds(self.own_s()),
            "without what nothing to do takes",
        )?;
        row(f, "its root", &seconds(worker.root_s), "of that, in the place of a copy")?;
        row(f, "the old guide's copy of a root", &seconds(worker.copy_s), "rsync alone")?;
        times(f, "times as fast, all of it", worker.copy_s / worker.provision_s, GOAL_WORKER)?;
        times(f, "times as fast, its part", worker.copy_s / self.own_s(), GOAL_WORKER)?;
        times(f, "times as fast, its root", worker.copy_s / worker.root_s, GOAL_WORKER)?;
        let note = format!("goal under 1 MiB: {}", verdict(worker.bytes < GOAL_BYTES));
        row(f, "disk of the master before it boots", &size(worker.bytes), &note)?;
        row(f, "disk for the copy", &size(worker.copy_bytes), "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ansible: Ansible) -> Figures {
        let round_trips = BTreeMap::from([("cluster00".to_owned(), 1)]);
        Figures {
            nothing_to_do: Nothing { runs: 5, provision_s: 1.5, round_trips, ansible },
            one_more_worker: Worker {
                provision_s: 7.5,
                root_s: 0.75,
                bytes: 524_288,
                copy_s: 300.0,
                copy_bytes: 900_000_000,
            },
        }
    }

    #[test]
    fn ratios_stand_beside_their_goals() {
        let ansible = Ansible::Measured { version: "2.19.1".into(), seconds: 45.0 };
        assert_eq!(
            figures(ansible).to_string(),
            "nothing to do
  provision                                        1.50 s  the middle of 5
  round trips to cluster00                              1  goal 1: reached
  ansible-core 2.19.1                             45.00 s  one run
  times as fast                                      30.0  goal 20: reached
one more worker
  provision, all of it                             7.50 s
  its part for the worker                          6.00 s  without what nothing to do takes
  its root                                         0.75 s  of that, in the place of a copy
  the old guide's copy of a root                 300.00 s  rsync alone
  times as fast, all of it                           40.0  goal 100: missed
  times as fast, its part                            50.0  goal 100: missed
  times as fast, its root                           400.0  goal 100: reached
  disk of the master before it boots             524.3 kB  goal under 1 MiB: reached
  disk for the copy                              900.0 MB
"
        );
    }

    #[test]
    fn what_was_not_measured_says_why() {
        let because = "python3 has no venv".to_owned();
        let figures = figures(Ansible::NotMeasured { because });
        assert!(figures.to_string().contains("–  python3 has no venv\n"), "{figures}");
        let json = serde_json::to_string(&figures).expect("JSON");
        assert_eq!(serde_json::from_str::<Figures>(&json).expect("the same"), figures);
    }
}
