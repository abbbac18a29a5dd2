//! Who runs from which generation, as far as that can be known.

use std::collections::{BTreeMap, BTreeSet};

use feeder_cluster::Cluster;
use serde::Serialize;

/// Why a generation is needed by a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// The worker says that it runs from it.
    Runs,
    /// The worker cannot be asked, and mounted it at some time. It may hang there until its network is back.
    MayRun,
    /// The worker's boot files are those of it.
    Boots,
}

/// What a master knows about its workers' generations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uses {
    /// By boot directory.
    trees: BTreeMap<String, u32>,
    /// Addresses, and what they mounted at some time: the mount daemon's list forgets nobody who loses power.
    mounted: BTreeSet<(String, u32)>,
    /// Addresses with a connection to the NFS server.
    connected: BTreeSet<String>,
}

impl Uses {
    /// From the lines of a survey.
    pub(crate) fn parse(text: &str) -> Self {
        let mut uses = Self::default();
        for line in text.lines() {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                ["tree", tree, number] => {
                    uses.trees.extend(number.parse().map(|number| (tree.to_owned(), number)));
                }
                ["mounted", address, number] => {
                    uses.mounted.extend(number.parse().map(|number| (address.to_owned(), number)));
                }
                ["connected", address] => drop(uses.connected.insert(address.to_owned())),
                _ => {}
            }
        }
        uses
    }

    /// Whether a worker has a connection to the master's NFS server: it runs, even if it does not answer.
    #[must_use]
    pub fn is_connected(&self, cluster: &Cluster, worker: &str) -> bool {
        cluster
            .worker(worker)
            .is_some_and(|worker| self.connected.contains(&worker.address.to_string()))
    }

    /// The workers, by name, that have a boot directory.
    #[must_use]
    pub fn enrolled<'c>(&self, cluster: &'c Cluster) -> Vec<&'c str> {
        let has_tree = |tree: &String| self.trees.contains_key(tree);
        let workers = cluster.workers.iter();
        let enrolled = workers.filter(|worker| worker.boot_directory_names().iter().any(has_tree));
        enrolled.map(|worker| worker.name.as_str()).collect()
    }

    /// Which generations are needed by whom and why, given what workers that could be asked say they run. Only workers of the
    /// cluster count: what is not in its description any more needs nothing.
    #[must_use]
    pub fn of(
        &self,
        cluster: &Cluster,
        running: &BTreeMap<String, u32>,
    ) -> BTreeMap<u32, BTreeMap<String, Use>> {
        let mut uses: BTreeMap<u32, BTreeMap<String, Use>> = BTreeMap::new();
        for worker in &cluster.workers {
            let name = worker.name.to_string();
            let mut needs = |number: u32, why: Use| {
                let of = uses.entry(number).or_default().entry(name.clone()).or_insert(why);
                *of = why.min(*of);
            };
            for tree in worker.boot_directory_names() {
                if let Some(number) = self.trees.get(&tree) {
                    needs(*number, Use::Boots);
                }
            }
            if let Some(number) = running.get(&name) {
                needs(*number, Use::Runs);
                continue;
            }
            let address = worker.address.to_string();
            for (_, number) in self.mounted.iter().filter(|(mounted, _)| *mounted == address) {
                needs(*number, Use::MayRun);
            }
        }
        uses
    }
}

/// The generation that a kernel command line names as root.
#[must_use]
pub fn generation_of(command_line: &str) -> Option<u32> {
    let root = command_line.split_whitespace().find_map(|word| word.strip_prefix("nfsroot="))?;
    let (_, below) = root.rsplit_once("/generations/")?;
    below.split_once("/root")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_answers_is_believed_and_one_that_does_not_keeps_what_it_mounted() {
        let text = include_str!("../../../fixtures/clusters/lab.toml");
        let cluster = feeder_cluster::parse(text, "lab.toml").expect("the sample is valid").cluster;
        let names: Vec<String> =
            cluster.workers.iter().map(|it| it.boot_directory_names().remove(0)).collect();
        let said = format!(
            "tree {} 2\ntree {} 2\ntree stranger 1\nmounted 192.168.10.101 1\nmounted 192.168.10.101 2\n\
             mounted 192.168.10.102 1\nmounted 192.168.10.77 1\nconnected 192.168.10.102\nnonsense\n",
            names[0], names[1]
        );
        let uses = Uses::parse(&said);
        let running = BTreeMap::from([("cluster01".to_owned(), 3)]);
        insta::assert_debug_snapshot!("uses", uses.of(&cluster, &running));
        assert_eq!(uses.enrolled(&cluster), ["cluster01", "cluster02"]);
        assert!(uses.is_connected(&cluster, "cluster02"));
        assert!(!uses.is_connected(&cluster, "cluster01"));
    }

    #[test]
    fn the_root_is_read_off_the_command_line() {
        let line = "console=tty1 root=/dev/nfs nfsroot=192.168.10.100:/srv/feeder/generations/12/root,vers=3,tcp ro";
        assert_eq!(generation_of(line), Some(12));
        let own =
            "nfsroot=192.168.10.100:/srv/feeder/copies/generations/generations/7/root,vers=3 rw";
        assert_eq!(generation_of(own), Some(7));
        assert_eq!(generation_of("root=/dev/mmcblk0p2"), None);
        assert_eq!(generation_of("nfsroot=10.0.0.1:/srv/nfs/worker,vers=3"), None);
    }
}
