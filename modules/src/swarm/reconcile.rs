//! What differs between a swarm and a cluster's description. Pure.

use feeder_cluster::{Availability, Cluster, Swarm, Worker};
use feeder_plan::Sign;

use super::seen::{Engine, LocalState, Member, Spec};

/// The label by which nodes are known that provisioning has joined; its value is the cluster's name. Others are left alone.
const LABEL: &str = "feeder.cluster";
pub(super) const MANAGER: &str = "manager";
const WORKER: &str = "worker";

/// Something to be done to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) member: Member,
    pub(super) kind: Kind,
    /// For people.
    pub(super) text: String,
}

/// What is to be done to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// It becomes this.
    Becomes(Spec),
    /// Its entry goes, because its node has another one.
    Forget,
    /// It gives its tasks away and goes, because the cluster has no such node any more.
    Retire,
}

impl Change {
    pub(super) fn sign(&self) -> Sign {
        match self.kind {
            Kind::Becomes(_) => Sign::Change,
            Kind::Forget | Kind::Retire => Sign::Remove,
        }
    }
}

/// The workers of which no living member is known.
pub(super) fn absent<'c>(cluster: &'c Cluster, members: &[Member]) -> Vec<&'c Worker> {
    let alive =
        |worker: &&Worker| members.iter().any(|m| m.ready && m.host == worker.name.as_str());
    cluster.workers.iter().filter(|worker| !alive(worker)).collect()
}

/// Names of members that neither the cluster nor provisioning knows.
pub(super) fn strangers(cluster: &Cluster, members: &[Member]) -> Vec<String> {
    let theirs = |member: &&Member| !is_node(cluster, &member.host) && !is_ours(cluster, member);
    members.iter().filter(theirs).map(|member| member.host.clone()).collect()
}

fn is_node(cluster: &Cluster, name: &str) -> bool {
    cluster.nodes().any(|node| node.name.as_str() == name)
}

fn is_ours(cluster: &Cluster, member: &Member) -> bool {
    member.spec.labels.get(LABEL).is_some_and(|name| name == cluster.name.as_str())
}

/// What is to be done to the members that there are, in the order in which managers can decide all of it: who is lost and counts
/// among those that must agree goes first, and nobody ceases to manage before those do who are to.
pub(super) fn changes(cluster: &Cluster, swarm: &Swarm, members: &[Member]) -> Vec<Change> {
    let mut changes = Vec::new();
    let all_manage = awaited_managers(cluster, swarm, members).is_empty();
    for (number, node) in cluster.nodes().enumerate() {
        let name = node.name.as_str();
        let is_to_manage = number < swarm.managers;
        let entries = || members.iter().filter(move |member| member.host == name);
        let alive = entries().find(|member| member.ready);
        let becomes = |member: &Member, spec: Spec| {
            let text = difference(&member.spec, &spec)?;
            let text = format!("node {name}: {text}");
            Some(Change { member: member.clone(), kind: Kind::Becomes(spec), text })
        };
        if let Some(member) = alive {
            let mut spec = member.spec.clone();
            spec.labels.insert(LABEL.to_owned(), cluster.name.to_string());
            for label in node.labels {
                spec.labels.insert(label.name().to_owned(), label.value().to_owned());
            }
            if is_to_manage {
                MANAGER.clone_into(&mut spec.role);
            } else if all_manage {
                WORKER.clone_into(&mut spec.role);
            }
            if let (0, Some(availability)) = (number, swarm.master) {
                availability.as_str().clone_into(&mut spec.availability);
            }
            changes.extend(becomes(member, spec));
            for stale in entries().filter(|member| !member.ready) {
                let text = format!("node {name}: its former entry {}", short(&stale.id));
                changes.push(Change { member: stale.clone(), kind: Kind::Forget, text });
            }
        } else if all_manage && !is_to_manage {
            let lost = entries().filter_map(|member| becomes(member, demoted(member)?));
            changes.extend(lost);
        }
    }
    for member in members {
        if !is_node(cluster, &member.host) && is_ours(cluster, member) {
            let text =
                format!("node {}: not in cluster.toml any more, drain and remove", member.host);
            changes.push(Change { member: member.clone(), kind: Kind::Retire, text });
        }
    }
    changes.sort_by_key(|change| match (&change.kind, change.member.ready) {
        (Kind::Forget, _) => 0,
        (Kind::Retire, false) => 1,
        (Kind::Becomes(_), false) => 2,
        (Kind::Becomes(spec), true) if spec.role == MANAGER => 3,
        (Kind::Becomes(_), true) => 4,
        (Kind::Retire, true) => 5,
    });
    changes
}

/// The nodes that are to manage and do not yet, or not any more. While there are some, nobody else ceases to.
pub(super) fn awaited_managers<'c>(
    cluster: &'c Cluster,
    swarm: &Swarm,
    members: &[Member],
) -> Vec<&'c str> {
    let manages = |name: &&str| members.iter().any(|m| m.ready && m.manages && m.host == *name);
    let wanted = cluster.nodes().take(swarm.managers).map(|node| node.name.as_str());
    wanted.filter(|name| !manages(name)).collect()
}

/// In words: `worker → manager, disk=ssd`.
fn difference(is: &Spec, wanted: &Spec) -> Option<String> {
    let mut words = Vec::new();
    if is.role != wanted.role {
        words.push(format!("{} → {}", is.role, wanted.role));
    }
    if is.availability != wanted.availability {
        words.push(format!("{} → {}", is.availability, wanted.availability));
    }
    let new = wanted.labels.iter().filter(|(name, value)| is.labels.get(*name) != Some(value));
    words.extend(new.map(|(name, value)| format!("label {name}={value}")));
    (!words.is_empty()).then(|| words.join(", "))
}

/// What a manager's entry must be before it can go.
pub(super) fn demoted(member: &Member) -> Option<Spec> {
    let is_manager = member.spec.role == MANAGER;
    is_manager.then(|| Spec { role: WORKER.to_owned(), ..member.spec.clone() })
}

/// What gives a member's tasks to others.
pub(super) fn drained(member: &Member) -> Option<Spec> {
    let drain = Availability::Drain.as_str();
    let takes = member.spec.availability != drain;
    takes.then(|| Spec { availability: drain.to_owned(), ..member.spec.clone() })
}

fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
}

/// How an engine that answers stands to the swarm, though no living member is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is in no swarm.
    Free,
    /// It is a member and has yet to be heard of.
    Coming,
    /// It is a manager of the swarm that waits for the key to what it keeps.
    Locked,
    /// It was a member; the swarm knows it no more, or its certificate has run out.
    Orphan,
    /// It is in another swarm.
    Elsewhere,
}

/// `root_ca` is of the swarm's own certificate.
pub(super) fn standing(engine: &Engine, members: &[Member], root_ca: Option<&str>) -> Standing {
    let known = members.iter().any(|member| member.id == engine.node);
    let same = root_ca.is_some() && engine.root_ca.as_deref() == root_ca;
    match engine.state {
        LocalState::Inactive => Standing::Free,
        LocalState::Active | LocalState::Pending if known => Standing::Coming,
        // It does not even know its own id.
        LocalState::Locked if same => Standing::Locked,
        // Whatever is wrong with it now, being another node of the same swarm cures it.
        _ if same => Standing::Orphan,
        _ => Standing::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        part::tests::with_sections,
        swarm::seen::{members, tests::node},
    };

    fn told(sections: &str, nodes: serde_json::Value) -> String {
        let members = members(nodes).expect("it is understood");
        let mut lines = Vec::new();
        with_sections(sections, |site| {
            let swarm = site.cluster.swarm.as_ref().expect("it has a swarm");
            lines.extend(
                absent(site.cluster, &members)
                    .iter()
                    .map(|worker| format!("absent {}", worker.name)),
            );
            lines.extend(
                strangers(site.cluster, &members).iter().map(|name| format!("stranger {name}")),
            );
            let changes = changes(site.cluster, swarm, &members);
            lines.extend(changes.iter().map(|change| format!("{} {}", change.sign(), change.text)));
        });
        lines.join("\n")
    }

    #[test]
    fn a_swarm_as_wanted_needs_nothing() {
        let nodes = json!([
            node("m", "cluster00", "ready", "manager"),
            node("a", "cluster01", "ready", "worker"),
            node("b", "cluster02", "ready", "worker"),
        ]);
        assert_eq!(told("[swarm]\n", nodes), "");
    }

    #[test]
    fn a_node_that_has_lost_its_state_loses_its_old_entry_when_it_is_back() {
        let nodes = json!([
            node("m", "cluster00", "ready", "manager"),
            node("old-entry-of-it", "cluster01", "down", "worker"),
            node("b", "cluster02", "down", "worker"),
        ]);
        assert_eq!(told("[swarm]\n", nodes), "absent cluster01\nabsent cluster02");
        let nodes = json!([
            node("m", "cluster00", "ready", "manager"),
            node("old-entry-of-it", "cluster01", "down", "worker"),
            node("a", "cluster01", "ready", "worker"),
            node("b", "cluster02", "ready", "worker"),
        ]);
        assert_eq!(told("[swarm]\n", nodes), "- node cluster01: its former entry old-entry-");
    }

    #[test]
    fn roles_labels_and_the_master_s_availability_follow_the_file() {
        let nodes = json!([
            node("m", "cluster00", "ready", "manager"),
            node("a", "cluster01", "ready", "worker"),
            node("b", "cluster02", "ready", "worker"),
        ]);
        insta::assert_snapshot!(
            told("labels = [\"disk=none\"]\n[swarm]\nmanagers = 3\nmaster = \"drain\"\n", nodes),
            @r"
        ~ node cluster00: active → drain
        ~ node cluster01: worker → manager
        ~ node cluster02: worker → manager, label disk=none
        "
        );
        let nodes = json!([
            node("m", "cluster00", "ready", "manager"),
            node("a", "cluster01", "ready", "manager"),
            node("b", "cluster02", "ready", "manager"),
        ]);
        insta::assert_snapshot!(told("[swarm]\n", nodes), @r"
        ~ node cluster01: manager → worker
        ~ node cluster02: manager → worker
        ");
    }

    #[test]
    fn who_is_not_in_the_file_goes_and_who_was_never_ours_stays() {
        let mut guest = node("g", "desktop", "ready", "worker");
        guest["Spec"]["Labels"] = json!({});
        let nodes = json!([
            node("m", "cluster00", "ready", "manager"),
            node("a", "cluster01", "ready", "worker"),
            node("b", "cluster02", "ready", "worker"),
            node("c", "cluster03", "ready", "worker"),
            guest,
        ]);
        insta::assert_snapshot!(told("[swarm]\n", nodes), @r"
        stranger desktop
        - node cluster03: not in cluster.toml any more, drain and remove
        ");
    }

    #[test]
    fn what_drain_did_to_a_worker_stays() {
        let mut drained = node("a", "cluster01", "ready", "worker");
        drained["Spec"]["Availability"] = json!("drain");
        let nodes = json!([
            node("m", "cluster00", "ready", "manager"),
            drained,
            node("b", "cluster02", "ready", "worker"),
        ]);
        assert_eq!(told("[swarm]\n", nodes), "");
    }

    #[test]
    fn an_engine_s_own_swarm_is_told_from_another() {
        let known = members(json!([node("w1", "cluster01", "down", "worker")])).expect("nodes");
        let engine = |state, id: &str, ca: &str| Engine {
            state,
            node: id.to_owned(),
            manages: false,
            error: String::new(),
            managers: Vec::new(),
            root_ca: Some(ca.to_owned()),
            address: String::new(),
            autolock: false,
            heartbeat: None,
        };
        for (state, id, ca, wanted) in [
            (LocalState::Inactive, "", "other", Standing::Free),
            (LocalState::Active, "w1", "ours", Standing::Coming),
            (LocalState::Pending, "w1", "ours", Standing::Coming),
            (LocalState::Active, "w0", "ours", Standing::Orphan),
            (LocalState::Error, "w1", "ours", Standing::Orphan),
            (LocalState::Error, "w0", "ours", Standing::Orphan),
            (LocalState::Active, "w0", "other", Standing::Elsewhere),
            (LocalState::Error, "w0", "other", Standing::Elsewhere),
            (LocalState::Locked, "", "ours", Standing::Locked),
            (LocalState::Locked, "", "other", Standing::Elsewhere),
        ] {
            let engine = engine(state, id, ca);
            assert_eq!(standing(&engine, &known, Some("ours")), wanted, "{engine:?}");
        }
        assert_eq!(
            standing(&engine(LocalState::Active, "w0", "ours"), &known, None),
            Standing::Elsewhere
        );
    }
}
