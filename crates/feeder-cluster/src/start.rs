//! A `cluster.toml` to start from.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::model::free_address;
use crate::{Cluster, Diagnostics, parse};

/// What a file says that somebody starts from, as text: [`Start::cluster`] says whether it can be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// What the cluster is called.
    pub name: String,
    /// The addresses of the segment.
    subnet: String,
    /// The router.
    gateway: String,
    /// Who hands out addresses.
    pub dhcp: String,
    /// The master's host name.
    pub master: String,
    /// Its address.
    pub address: String,
    /// Who logs in.
    pub user: String,
    /// MAC addresses of the workers that are known yet.
    pub workers: Vec<String>,
    /// Public keys that open all nodes.
    pub keys: Vec<String>,
    /// Addresses that are somebody's already.
    taken: BTreeSet<Ipv4Addr>,
}

/// A master's place in its subnet, where that is free: what routers hand out begins elsewhere, as a rule.
const PLACE_OF_MASTER: u32 = 100;

impl Start {
    /// A cluster `lab` in a segment, with its router and whoever else is known to be there.
    #[must_use]
    pub fn in_segment(subnet: Ipv4Net, gateway: Ipv4Addr, others: &[Ipv4Addr]) -> Self {
        let mut this = Self {
            name: "lab".to_owned(),
            subnet: subnet.to_string(),
            gateway: gateway.to_string(),
            dhcp: "proxy".to_owned(),
            master: "cluster00".to_owned(),
            address: String::new(),
            user: "pi".to_owned(),
            workers: Vec::new(),
            keys: Vec::new(),
            taken: others.iter().copied().collect(),
        };
        this.guess_address();
        this
    }

    /// The addresses of the segment.
    #[must_use]
    pub fn subnet(&self) -> &str {
        &self.subnet
    }

    /// The router's address.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Another segment; router and master get addresses in it.
    pub fn set_subnet(&mut self, subnet: &str) {
        if subnet == self.subnet {
            return;
        }
        subnet.clone_into(&mut self.subnet);
        if let Ok(subnet) = subnet.parse::<Ipv4Net>() {
            let first = subnet.hosts().next().unwrap_or(subnet.network());
            self.gateway = first.to_string();
        }
        self.guess_address();
    }

    /// Another router; the master gets an address that is not that one.
    pub fn set_gateway(&mut self, gateway: &str) {
        gateway.clone_into(&mut self.gateway);
        self.guess_address();
    }

    /// The master gets an address that nobody has, as far as can be told.
    fn guess_address(&mut self) {
        let Ok(subnet) = self.subnet.parse::<Ipv4Net>() else { return };
        let mut taken = self.taken.clone();
        taken.extend(self.gateway.parse::<Ipv4Addr>());
        let before =
            Ipv4Addr::from(u32::from(subnet.network()).saturating_add(PLACE_OF_MASTER - 1));
        if let Some(free) = free_address(subnet, &taken, Some(before)) {
            self.address = free.to_string();
        }
    }

    /// What the reader makes of [`Start::text`].
    ///
    /// # Errors
    /// What cannot be so; `file` is the name that the messages show.
    pub fn cluster(&self, file: &str) -> Result<Cluster, Diagnostics> {
        parse(&self.text(), file).map(|parsed| parsed.cluster)
    }

    /// The file, with comments that say what else can be said.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { name, subnet, gateway, dhcp, master, address, user, .. } = self;
        let [name, subnet, gateway, dhcp, master, address, user] =
            [name, subnet, gateway, dhcp, master, address, user].map(|text| quoted(text));
        let mut text = format!(
            "\
# What this cluster is made of. docs/cluster.toml.md describes every key.
# `cargo xtask provision --plan` shows what it would change, and changes nothing.

[cluster]
name = {name}

[network]
subnet  = {subnet}
gateway = {gateway}
# dns   = [{gateway}]
# The router goes on handing out addresses: reserve those of the workers there.
dhcp    = {dhcp}

[master]
name    = {master}
# It sets this address itself: keep the router from handing it out.
address = {address}
board   = \"3b+\"
user    = {user}
"
        );
        text.push_str(&self.workers_text());
        text.push_str("\n[system]\n");
        if self.keys.is_empty() {
            text.push_str("# authorized-keys = [\"ssh-ed25519 AAAA… me@here\"]\n");
        } else {
            let keys: Vec<String> =
                self.keys.iter().map(|key| format!("  {},\n", quoted(key))).collect();
            text.push_str(&format!("authorized-keys = [\n{}]\n", keys.concat()));
        }
        text.push_str(SYSTEM);
        text
    }

    fn workers_text(&self) -> String {
        let mut text = "\n# A board without a disk, one section for each. It shows its MAC address with `cat /sys/class/net/eth0/address`, and\n\
                        # its serial number at the end of /proc/cpuinfo. They may be found later.\n"
            .to_owned();
        let subnet = self.subnet.parse::<Ipv4Net>().ok();
        let master = self.address.parse::<Ipv4Addr>().ok();
        let mut taken = self.taken.clone();
        taken.extend(self.gateway.parse::<Ipv4Addr>());
        taken.extend(master);
        let mut free = || {
            let free = free_address(subnet?, &taken, master)?;
            taken.insert(free);
            Some(free.to_string())
        };
        for (number, mac) in self.workers.iter().enumerate() {
            let address = free().unwrap_or_default();
            text.push_str(&format!(
                "[[worker]]\nname    = {}\nmac     = {}\n# serial  = \"9f404536\"\naddress = {}\n\n",
                quoted(&self.worker_name(number)),
                quoted(mac),
                quoted(&address),
            ));
        }
        if self.workers.is_empty() {
            let address = free().unwrap_or_default();
            text.push_str(&format!(
                "# [[worker]]\n# name    = {}\n# mac     = \"b8:27:eb:40:45:36\"\n# serial  = \"9f404536\"\n# address = {}\n",
                quoted(&self.worker_name(0)),
                quoted(&address),
            ));
        } else {
            text.pop();
        }
        text
    }

    /// `cluster01` after a master `cluster00`, `pi-01` after `pi`.
    #[must_use]
    pub fn worker_name(&self, number: usize) -> String {
        let stem = self.master.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &self.master[stem.len()..];
        match digits.parse::<usize>() {
            Ok(first) if !stem.is_empty() && first < 1_000_000 => {
                format!("{stem}{:0width$}", first + number + 1, width = digits.len())
            }
            _ => format!("{}-{:02}", self.master, number + 1),
        }
    }
}

/// What nodes can have in common.
const SYSTEM: &str = "\
# time-zone = \"Europe/Berlin\"
# packages  = [\"vim\", \"htop\"]
# The hash of the user's password, as `mkpasswd --method=yescrypt` prints it, in a file that nobody else can read.
# password  = \"file:secrets/pi.hash\"
# password-login = false

# Docker on all nodes, and a swarm of them.
# [swarm]
";

/// A string in TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlOVLmDiCJHTEhTFkUUlMYQPQ9FQwQyDn0VI0zVdVvL me@here";

    fn start() -> Start {
        let subnet = "192.168.10.0/24".parse().expect("a subnet");
        Start::in_segment(subnet, Ipv4Addr::new(192, 168, 10, 1), &[])
    }

    #[test]
    fn defaults_make_a_cluster_that_says_what_else_there_is() {
        insta::assert_snapshot!("defaults", start().text());
        let cluster = start().cluster("cluster.toml").expect("it is valid");
        assert_eq!(
            (cluster.master.address, cluster.workers.len()),
            ([192, 168, 10, 100].into(), 0)
        );
    }

    #[test]
    fn answers_are_in_it() {
        let mut start = start();
        start.set_subnet("10.0.0.0/28");
        start.master = "pi".into();
        start.workers = vec!["b8:27:eb:40:45:36".into(), "b8:27:eb:5a:01:c2".into()];
        start.keys = vec![KEY.into(), "ssh-rsa AAAA \"quoted\\".into()];
        insta::assert_snapshot!("answers", start.text());
        let cluster = start.cluster("cluster.toml").expect("it is valid");
        assert_eq!(cluster.system.authorized_keys, start.keys);
        assert_eq!(cluster.workers[1].name.as_str(), "pi-02");
    }

    #[test]
    fn what_it_says_in_comments_can_be_said() {
        let text = start().text();
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(key) if key.contains(" = ") || key.starts_with('[') => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let uncommented = uncommented.replace('…', "");
        let cluster = parse(&uncommented, "cluster.toml").map_err(|wrong| wrong.to_string());
        let cluster = cluster.expect("it is valid").cluster;
        assert_eq!(cluster.workers[0].address, Ipv4Addr::new(192, 168, 10, 101));
        assert!(cluster.swarm.is_some() && cluster.system.password.is_some());
    }

    proptest! {
        #[test]
        fn every_segment_gives_a_cluster(base: u32, prefix in 8..=29u8, place: u32, own: u32) {
            let subnet = Ipv4Net::new(Ipv4Addr::from((base & 0x00ff_ffff) | (10 << 24)), prefix).expect("a net").trunc();
            let hosts = (1u32 << (32 - prefix)) - 2;
            let host = |place: u32| Ipv4Addr::from(u32::from(subnet.network()) + 1 + place % hosts);
            let start = Start::in_segment(subnet, host(place), &[host(own)]);
            let cluster = start.cluster("cluster.toml").map_err(|wrong| TestCaseError::fail(wrong.to_string()))?;
            prop_assert_ne!(cluster.master.address, host(own));
        }

        #[test]
        fn any_answer_is_read_as_it_is_or_refused(answers in prop::collection::vec("\\PC{0,20}|[a-z0-9.:/-]{0,20}", 9)) {
            let mut start = start();
            start.name.clone_from(&answers[0]);
            start.set_subnet(&answers[1]);
            start.set_gateway(&answers[2]);
            start.master.clone_from(&answers[3]);
            start.address.clone_from(&answers[4]);
            start.user.clone_from(&answers[5]);
            start.dhcp.clone_from(&answers[6]);
            start.workers = vec![answers[7].clone()];
            start.keys = vec![answers[8].clone()];
            if let Ok(cluster) = start.cluster("cluster.toml") {
                prop_assert_eq!(cluster.name.as_str(), &answers[0]);
            }
            // Whatever was answered, what stands around it is TOML.
            prop_assert!(start.text().parse::<toml::Table>().is_ok(), "{}", start.text());
        }
    }
}
