//! A swarm as its engines tell of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// How an engine stands to a swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Engine {
    pub(super) state: LocalState,
    /// Its node's id; empty when it is in no swarm.
    pub(super) node: String,
    /// Where other nodes are told to find it; empty when it is in no swarm.
    pub(super) address: String,
    /// It manages the swarm.
    pub(super) manages: bool,
    /// What is wrong, in its own words; may be empty.
    pub(super) error: String,
    /// Where it looks for managers.
    pub(super) managers: Vec<String>,
    /// SHA-256 of its swarm's certificate.
    pub(super) root_ca: Option<String>,
    /// The swarm locks its managers; only a manager knows.
    pub(super) autolock: bool,
    /// Seconds from one sign of life of a node to the next; only a manager knows.
    pub(super) heartbeat: Option<u64>,
}

/// In a second, as the interface counts time.
pub(super) const NANOSECONDS: u64 = 1_000_000_000;

/// What an engine is to a swarm, in the words of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LocalState {
    Inactive,
    Pending,
    Active,
    Error,
    Locked,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    swarm: InfoOfSwarm,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InfoOfSwarm {
    #[serde(rename = "NodeID", default)]
    node: String,
    #[serde(default)]
    node_addr: String,
    local_node_state: LocalState,
    #[serde(default)]
    control_available: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    remote_managers: Option<Vec<RemoteManager>>,
    #[serde(default)]
    cluster: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RemoteManager {
    #[serde(default)]
    addr: String,
}

impl Engine {
    /// From the answer to `GET /info`.
    pub(super) fn parse(info: Value, root_ca: Option<String>) -> Option<Self> {
        let Info { swarm } = serde_json::from_value(info).ok()?;
        let managers = swarm.remote_managers.unwrap_or_default();
        let spec = swarm.cluster.map(|cluster| cluster["Spec"].clone()).unwrap_or_default();
        let heartbeat = spec["Dispatcher"]["HeartbeatPeriod"].as_u64();
        Some(Self {
            state: swarm.local_node_state,
            node: swarm.node,
            address: swarm.node_addr,
            manages: swarm.control_available,
            error: swarm.error,
            managers: managers.into_iter().map(|manager| manager.addr).collect(),
            root_ca,
            autolock: spec["EncryptionConfig"]["AutoLockManagers"] == true,
            heartbeat: heartbeat.map(|nanoseconds| nanoseconds / NANOSECONDS),
        })
    }
}

/// A node as the swarm's managers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    /// Of what the managers know of it; an order for another version is refused.
    pub(super) version: u64,
    pub(super) host: String,
    /// It is alive.
    pub(super) ready: bool,
    /// It takes part in the managers' votes, and they reach it. What [`Spec::role`] wants comes to be so a while later.
    pub(super) manages: bool,
    pub(super) spec: Spec,
}

/// What is wanted of a node, as the interface has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Spec {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    pub(super) role: String,
    pub(super) availability: String,
}

#[derive(Deserialize)]
struct NodeEntry {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Version")]
    version: Version,
    #[serde(rename = "Spec")]
    spec: Spec,
    #[serde(rename = "Description", default)]
    description: Description,
    #[serde(rename = "Status", default)]
    status: Status,
    /// Of those alone that take part in the managers' votes.
    #[serde(rename = "ManagerStatus", default)]
    manager: Option<ManagerStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    index: u64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Description {
    #[serde(default)]
    hostname: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Status {
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ManagerStatus {
    #[serde(default)]
    reachability: String,
}

/// The nodes of an answer to `GET /nodes`. One that has just joined and not told its name yet is left out.
pub(super) fn members(nodes: Value) -> Option<Vec<Member>> {
    let nodes: Vec<NodeEntry> = serde_json::from_value(nodes).ok()?;
    let named = nodes.into_iter().filter(|node| !node.description.hostname.is_empty());
    let member = |node: NodeEntry| Member {
        id: node.id,
        version: node.version.index,
        host: node.description.hostname,
        ready: node.status.state == "ready",
        manages: node.manager.is_some_and(|manager| manager.reachability == "reachable"),
        spec: node.spec,
    };
    Some(named.map(member).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(in crate::swarm) fn node(id: &str, host: &str, state: &str, role: &str) -> Value {
        let reachability = if state == "ready" { "reachable" } else { "unreachable" };
        let mut node = json!({
            "ID": id,
            "Version": { "Index": 21 },
            "CreatedAt": "2026-11-29T03:00:00Z",
            "Spec": { "Labels": { "feeder.cluster": "lab" }, "Role": role, "Availability": "active" },
            "Description": { "Hostname": host, "Platform": { "Architecture": "aarch64", "OS": "linux" } },
            "Status": { "State": state, "Addr": "192.168.10.101" },
        });
        if role == "manager" {
            node["ManagerStatus"] =
                json!({ "Reachability": reachability, "Addr": "192.168.10.101:2377" });
        }
        node
    }

    #[test]
    fn nodes_without_a_name_are_left_out() {
        let nodes = json!([
            node("abc", "cluster00", "ready", "manager"),
            { "ID": "new", "Version": { "Index": 3 }, "Spec": { "Role": "worker", "Availability": "active" } },
            node("def", "cluster01", "down", "worker"),
        ]);
        let members = members(nodes).expect("it is understood");
        let seen: Vec<_> = members.iter().map(|m| (m.host.as_str(), m.ready)).collect();
        assert_eq!(seen, [("cluster00", true), ("cluster01", false)]);
        assert_eq!(members[0].version, 21);
    }

    #[test]
    fn an_engine_says_how_it_stands_to_a_swarm() {
        let info = json!({ "ID": "x", "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false,
            "Error": "", "RemoteManagers": null } });
        let engine = Engine::parse(info, None).expect("it is understood");
        assert_eq!((engine.state, engine.manages), (LocalState::Inactive, false));
        let info = json!({ "Swarm": {
            "NodeID": "w1", "NodeAddr": "192.168.10.101", "LocalNodeState": "active", "ControlAvailable": false,
            "Error": "", "RemoteManagers": [{ "NodeID": "m1", "Addr": "192.168.10.7:2377" }] } });
        let engine = Engine::parse(info, Some("abc".to_owned())).expect("it is understood");
        assert_eq!(engine.managers, ["192.168.10.7:2377"]);
        assert!(Engine::parse(json!({ "Swarm": { "LocalNodeState": "asleep" } }), None).is_none());
    }
}
