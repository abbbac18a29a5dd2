//! What the master sees at one moment: neighbours, NFS clients, its own services, and the swarm that it manages.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use feeder_cluster::MacAddr;
use serde_json::Value;

use super::{
    Moment,
    health::{HEALTH, Health},
};

/// One look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Look {
    pub(crate) at: Moment,
    /// Who has which address; true when the kernel has heard of it just now.
    pub(crate) neighbours: BTreeMap<Ipv4Addr, (MacAddr, bool)>,
    /// Who has a connection to the NFS server.
    pub(crate) connected: BTreeSet<Ipv4Addr>,
    /// How long ago clients of NFS 4 renewed their lease.
    pub(crate) renewed: BTreeMap<Ipv4Addr, Duration>,
    /// Services without which no worker boots, and their state in systemd's words.
    pub(crate) units: BTreeMap<String, String>,
    /// What it says of itself.
    pub(crate) health: Health,
    /// The swarm that it manages.
    pub(crate) swarm: Option<Result<BTreeMap<String, Member>, String>>,
}

/// A node as the swarm's managers see it.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Member {
    /// `ready`, `down`, `unknown`, `disconnected`.
    pub state: String,
    /// `leader`, `manager` or `worker`; `unreachable manager` of one that was told to manage and that the others do not reach.
    pub role: String,
    /// `active`, `pause` or `drain`.
    pub availability: String,
    /// How many tasks run there.
    pub tasks: usize,
}

/// The script that looks so many times, or for ever; `base` is the folder of all that the master serves.
pub(crate) fn script(interval: Duration, times: Option<u32>, base: &str, swarm: bool) -> String {
    let times = times.map_or("-1".to_owned(), |times| times.to_string());
    let (interval, room) = (interval.as_secs().max(1), feeder_process::quote(base));
    let swarm = if swarm { "yes" } else { "no" };
    format!(
        "interval={interval} times={times} room={room} swarm={swarm}\nhealth() {{\n{HEALTH}}}\n{}",
        include_str!("look.sh")
    )
}

/// Makes looks of the script's lines.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    look: Option<Look>,
    /// The NFS 4 client whose lines these are.
    client: Option<Ipv4Addr>,
    nodes: Option<Value>,
    tasks: Option<Value>,
}

impl Reader {
    /// The next line; the look, when it is the last one of it.
    pub(crate) fn line(&mut self, line: &str) -> Option<Look> {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        if key == "look" {
            *self = Self::default();
            let at = Moment(value.parse().unwrap_or_default());
            self.look = Some(Look { at, ..Look::default() });
            return None;
        }
        let look = self.look.as_mut()?;
        match key {
            "neigh" => look.neighbours.extend(neighbour(value)),
            "nfs" => look.connected.extend(value.parse::<Ipv4Addr>()),
            "client" => self.client = value.parse().ok(),
            "renewed" => {
                let ago = value.parse().ok().map(Duration::from_secs);
                look.renewed.extend(self.client.zip(ago));
            }
            "unit" => {
                let (unit, state) = value.split_once(' ').unwrap_or((value, ""));
                look.units.insert(unit.to_owned(), state.to_owned());
            }
            "json" => {
                let (what, json) = value.split_once(' ')?;
                let json = serde_json::from_str(json).ok();
                if what == "nodes" { self.nodes = json } else { self.tasks = json }
            }
            "end" => {
                let mut look = self.look.take()?;
                look.swarm = self.nodes.as_ref().map(|nodes| members(nodes, self.tasks.as_ref()));
                return Some(look);
            }
            _ => look.health.line(line),
        }
        None
    }
}

/// `192.168.10.101 dev eth0 lladdr b8:27:eb:40:45:36 REACHABLE`
fn neighbour(line: &str) -> Option<(Ipv4Addr, (MacAddr, bool))> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = words.first()?.parse().ok()?;
    let at = words.iter().position(|word| *word == "lladdr")?;
    let mac = words.get(at + 1)?.parse().ok()?;
    Some((address, (mac, words.last() == Some(&"REACHABLE"))))
}

/// What it is, which comes after what it is told to be: it manages when the other managers reach it as one of them.
fn role(node: &Value) -> String {
    let status = &node["ManagerStatus"];
    let told = node["Spec"]["Role"].as_str().unwrap_or_default();
    match (status["Leader"].as_bool(), status["Reachability"].as_str()) {
        (Some(true), _) => "leader".to_owned(),
        (_, Some("reachable")) => "manager".to_owned(),
        _ if told == "manager" => "unreachable manager".to_owned(),
        _ => told.to_owned(),
    }
}

/// The members by host name, or what the engine said in place of them.
fn members(nodes: &Value, tasks: Option<&Value>) -> Result<BTreeMap<String, Member>, String> {
    let Some(nodes) = nodes.as_array() else {
        return Err(nodes["message"].as_str().unwrap_or("it is not understood").to_owned());
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tasks = tasks.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    for node in nodes {
        let host = text(&node["Description"]["Hostname"]);
        let on_it =
            |task: &&Value| task["NodeID"] == node["ID"] && task["Status"]["State"] == "running";
        let member = Member {
            state: text(&node["Status"]["State"]),
            role: role(node),
            availability: text(&node["Spec"]["Availability"]),
            tasks: tasks.iter().filter(on_it).count(),
        };
        // A board that was made anew leaves its old self behind, which is down.
        let dead = members.get(&host).is_none_or(|known| known.state != "ready");
        if dead && !host.is_empty() {
            members.insert(host, member);
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use feeder_remote::{Host, Local};
    use serde_json::json;

    use super::*;

    /// As iproute2 6.1, nfsd of Linux 6.12 and Docker 26 say it.
    const SAID: &str = r#"noise before the first look
look 1795936800
neigh 192.168.10.101 dev eth0 lladdr b8:27:eb:40:45:36 REACHABLE
neigh 192.168.10.102 dev eth0 lladdr b8:27:eb:5a:01:c2 STALE
neigh 192.168.10.7 dev eth0 FAILED
nfs 192.168.10.101
client 192.168.10.101
renewed 12
unit dnsmasq active
unit nfs-server inactive
system degraded
failed a.service
space 8154588 28 8137976
uptime 3600.10 7000.2
engine active
json nodes [{"ID":"a","Spec":{"Role":"manager","Availability":"drain"},"Description":{"Hostname":"cluster00"},"Status":{"State":"ready"},"ManagerStatus":{"Leader":true,"Reachability":"reachable"}},{"ID":"b","Spec":{"Role":"worker","Availability":"active"},"Description":{"Hostname":"cluster01"},"Status":{"State":"ready"}},{"ID":"c","Spec":{"Role":"worker","Availability":"active"},"Description":{"Hostname":"cluster01"},"Status":{"State":"down"}}]
json tasks [{"NodeID":"b","Status":{"State":"running"}},{"NodeID":"b","Status":{"State":"starting"}},{"NodeID":"c","Status":{"State":"running"}}]
end
look 1795936805
"#;

    fn looks(text: &str) -> Vec<Look> {
        let mut reader = Reader::default();
        text.lines().filter_map(|line| reader.line(line)).collect()
    }

    #[test]
    fn a_look_is_whole() {
        insta::assert_debug_snapshot!(looks(SAID));
    }

    #[test]
    fn who_is_told_to_manage_does_so_when_the_others_reach_it() {
        let node =
            |told: &str, status| json!({ "Spec": { "Role": told }, "ManagerStatus": status });
        for (told, status, is) in [
            ("worker", json!(null), "worker"),
            ("manager", json!(null), "unreachable manager"),
            ("manager", json!({ "Reachability": "unreachable" }), "unreachable manager"),
            ("manager", json!({ "Reachability": "reachable" }), "manager"),
            ("worker", json!({ "Reachability": "reachable" }), "manager"),
            ("manager", json!({ "Leader": true, "Reachability": "reachable" }), "leader"),
        ] {
            assert_eq!(role(&node(told, status.clone())), is, "{told} {status}");
        }
    }

    #[test]
    fn a_swarm_without_a_majority_says_so() {
        let said = "look 1\nengine active\njson nodes {\"message\":\"The swarm does not have a leader.\"}\nend\n";
        let swarm = looks(said).remove(0).swarm;
        assert_eq!(swarm, Some(Err("The swarm does not have a leader.".into())));
        assert_eq!(looks("look 1\nengine inactive\nend\n")[0].swarm, None);
    }

    /// Whatever runs this test lacks most of what is asked about.
    #[test]
    fn the_script_comes_to_its_end_everywhere() {
        let script = script(Duration::from_secs(1), Some(2), "/", true);
        let mut reader = Reader::default();
        let mut looks = Vec::new();
        Local::new("here").stream(&script, &mut |line| looks.extend(reader.line(line))).unwrap();
        assert_eq!(looks.len(), 2);
        assert!(
            looks[0].at > Moment(1_700_000_000) && looks[0].health.space.is_some(),
            "{looks:?}"
        );
        assert!(looks[1].at > looks[0].at);
    }
}
