//! A station on the LAN that belongs to nobody, and looks what answers it.

use std::{cell::Cell, collections::BTreeSet, net::Ipv4Addr};

use feeder_lan::{Service, Stranger};

use super::{Lab, Node};
use crate::{Class, Deadline, Failure, OrFail, Steps, Verdict};

const NAME: &str = "stranger";
/// Of the ranges for use in documentation and tests: administered locally.
const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0xfe];
/// A node that answers nothing any more for so long of its work, in vCPU seconds, has nothing to say.
const SILENCE: u64 = 1;
/// Linux sends one of these errors in a second to each who asks, which would take a day.
const UNLIMITED: &str = "sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=1000000 net.ipv4.icmp_msgs_burst=1000000";

impl Lab {
    /// Of all ports of a node a stranger on the LAN finds exactly these open.
    ///
    /// # Errors
    /// There are others, or one of them is not; the node does not answer at all.
    pub fn stranger_finds(&self, node: &Node, wanted: &BTreeSet<Service>) -> Verdict {
        node.run(UNLIMITED)?;
        let bench = self.bench();
        let host = bench.cluster.nodes().find(|known| known.name.as_str() == node.name());
        let Some(host) = host.map(|known| known.address) else {
            return Err(Failure::scenario(format!("{} has no address", node.name())));
        };
        let port = bench.lan.attach(NAME).or_fail(Class::Harness, "cannot join the LAN")?;
        let stranger =
            Stranger { port: &port, mac: MAC, address: last_of(bench.cluster.network.subnet) };
        let watched = vec![node.name().to_owned()];
        let budget = bench.budget(SILENCE);
        let progress = || bench.story.progress_of(&watched);
        let since = Cell::new(progress());
        let found = stranger.scan(host, &mut |came| {
            if came {
                since.set(progress());
            }
            let out = Deadline::new(since.get(), budget).expired(progress()).is_some();
            !out && !bench.story.interrupted()
        });
        let found = found.or_fail(Class::Product, "cannot look for open ports")?;
        if found == *wanted {
            self.story().summary(feeder_ui::plural(found.len(), "open port"));
            return Ok(());
        }
        let list = |services: &mut dyn Iterator<Item = &Service>| {
            let services: Vec<_> = services.map(ToString::to_string).collect();
            if services.is_empty() { "none".to_owned() } else { services.join(", ") }
        };
        let who = node.run("ss -Htulnp")?;
        let mut failure = Failure::product("other ports are open than those that should be")
            .detail(format!("open and should not be: {}", list(&mut found.difference(wanted))))
            .detail(format!("should be open: {}", list(&mut wanted.difference(&found))));
        for line in who.lines() {
            failure = failure.detail(line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        Err(failure.on(node.name()))
    }
}

/// The last address that a host may have: no sample cluster uses it.
fn last_of(subnet: feeder_cluster::Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from_bits(subnet.broadcast().to_bits() - 1)
}
