//! A lab's nodes under the hands of a person at the prompt.

use super::{Lab, Node};
use crate::{ConsoleEnd, Desk, Failure, NodeState, Power, Verdict};

/// The nodes, the master first.
pub(super) struct LabDesk {
    nodes: Vec<Node>,
}

impl LabDesk {
    pub(super) fn of(lab: &Lab) -> Self {
        let master = lab.bench.cluster.master.name.as_str();
        let mut nodes: Vec<Node> = lab.nodes.values().cloned().collect();
        nodes.sort_by_key(|node| node.name() != master);
        Self { nodes }
    }

    fn node(&self, name: &str) -> Verdict<&Node> {
        let found = self.nodes.iter().find(|node| node.name() == name);
        found.ok_or_else(|| Failure::scenario(format!("the cluster has no node {name}")))
    }
}

impl Desk for LabDesk {
    fn nodes(&self) -> Vec<NodeState> {
        self.nodes.iter().map(Node::seen_by_hand).collect()
    }

    fn ssh(&self, node: &str, command: Option<&str>, keyboard: bool) -> Verdict<Vec<String>> {
        self.node(node)?.ssh_by_hand(command, keyboard)
    }

    fn console(&self, node: &str) -> Verdict<ConsoleEnd> {
        self.node(node)?.console_by_hand()
    }

    fn power(&self, node: &str, what: Power) -> Verdict {
        let node = self.node(node)?;
        match what {
            Power::On => node.power_on().map(drop),
            Power::Off => node.shut_down(),
            Power::Cut => node.cut_power().map(drop),
            Power::Cycle => {
                node.cut_power_if_on();
                node.power_on().map(drop)
            }
        }
    }
}
