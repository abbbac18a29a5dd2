//! `watch` and `discover` in a scenario: the same library calls as on the command line, over SSH through the LAN.

use feeder_ui::{Expected, Progress};
use feeder_watch::{Add, DiscoverError, NodeState, Snapshot, Stage};
use serde_json::{Value, json};

use super::{Lab, Node, prefix};
use crate::{Failure, Verdict};

/// A login to the master, one look, and a login to each worker that answers, in vCPU seconds.
const LOOK: u64 = 120;

impl Lab {
    /// `cargo xtask watch --once --format json` says that a worker is up, well, and runs from this generation.
    ///
    /// # Errors
    /// It says something else, or cannot be had.
    pub fn watch_says_it_is_up(&mut self, worker: &Node, generation: u32) -> Verdict {
        self.prefix.uses(prefix::MODULES);
        let (access, cluster) = (self.bench().access(), self.cluster().clone());
        let seen = worker
            .in_guest("watching", LOOK, || feeder_watch::snapshot(&cluster, &access))?
            .map_err(|error| Failure::expected("watching failed", &error))?;
        let said = state_of(&seen, worker.name());
        let wanted = json!({ "stage": Stage::Up, "well": true, "generation": generation });
        let is = |key: &str| said.get(key) == wanted.get(key);
        if ["stage", "well", "generation"].into_iter().all(is) {
            return Ok(());
        }
        Err(Failure::product(format!("watch does not say that {} is up", worker.name()))
            .on(worker.name())
            .detail(format!("{said:#}")))
    }

    /// `cargo xtask watch --once --format json`, of a cluster whose file has these sections, says this of a node: JSON pointers and
    /// the JSON at them.
    ///
    /// # Errors
    /// It says something else, or cannot be had.
    pub fn watch_says(
        &mut self,
        sections: &'static str,
        node: &Node,
        wanted: &[(&str, Value)],
    ) -> Verdict {
        let cluster = self.provision().with(sections).cluster()?;
        let access = self.bench().access();
        let seen = node
            .in_guest("watching", LOOK, || feeder_watch::snapshot(&cluster, &access))?
            .map_err(|error| Failure::expected("watching failed", &error))?;
        let said = state_of(&seen, node.name());
        match wanted.iter().find(|(at, value)| said.pointer(at) != Some(value)) {
            None => Ok(()),
            Some((at, value)) => {
                let what = format!("watch does not say {value} at {at} of {}", node.name());
                Err(Failure::product(what).on(node.name()).detail(format!("{said:#}")))
            }
        }
    }

    /// `cargo xtask discover` says what a master lacks that cannot listen, and what to do.
    ///
    /// # Errors
    /// It does not.
    pub fn discover_says_what_it_lacks(&mut self) -> Verdict {
        self.prefix.uses(prefix::MODULES);
        let (access, cluster) = (self.bench().access(), self.cluster().clone());
        let nobody = &mut |_: &str| feeder_ui::Answer::NoTerminal;
        let file = "cluster.toml".into();
        let seen = self.master().in_guest("listening", LOOK, || {
            feeder_watch::discover(
                (file, &cluster),
                &access,
                Some(1),
                Add::Nothing,
                nobody,
                &Progress::silent(),
            )
        })?;
        match seen {
            Err(error @ DiscoverError::NoTcpdump { .. }) if error.hint().is_some() => Ok(()),
            Err(error) => Err(Failure::expected("listening failed in another way", &error)),
            Ok(seen) => Err(Failure::product(format!("the master listens, on {}", seen.interface))),
        }
    }
}

/// What is said of a node, as scripts read it.
fn state_of(seen: &Snapshot, name: &str) -> Value {
    let node: Option<&NodeState> = seen.nodes.iter().find(|node| node.name == name);
    serde_json::to_value(node).unwrap_or_default()
}
