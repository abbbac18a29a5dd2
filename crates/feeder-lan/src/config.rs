//! What a LAN is made from.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use camino::Utf8PathBuf;
use ipnet::Ipv4Net;

use crate::error::LanError;
use crate::frame::Mac;

/// Settings of a LAN.
#[derive(Debug, Clone)]
pub struct LanConfig {
    /// Directory for the unix sockets of QEMU nodes; made if missing. Keep it short: a socket's path has 107 bytes.
    pub sockets: Utf8PathBuf,
    /// The pcapng file for all frames. `None`: no capture.
    pub capture: Option<Utf8PathBuf>,
    /// The router.
    pub router: RouterConfig,
    /// Decides what is left to chance: sequence numbers, the first port of a forward, what faults do to frames. Two LANs with
    /// one seed decide alike.
    pub seed: u64,
}

/// Settings of the router.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// The router's own address, which clients get as gateway and name server.
    pub address: Ipv4Addr,
    /// The LAN's network.
    pub subnet: Ipv4Net,
    /// Addresses for DHCP clients, both ends included.
    pub pool: RangeInclusive<Ipv4Addr>,
    /// Addresses for particular clients, in the pool or beside it.
    pub reservations: BTreeMap<Mac, Ipv4Addr>,
    /// Names that the router resolves, besides those of DHCP clients.
    pub names: BTreeMap<String, Ipv4Addr>,
    /// The directory that the router serves over HTTP on port 80. `None`: no web server.
    pub http_root: Option<Utf8PathBuf>,
}

impl RouterConfig {
    /// A home router as it comes from the shop: the network's first address is its own, 100 to 199 are for DHCP clients (or
    /// the upper half of a network that is too small for that).
    pub fn home(subnet: Ipv4Net) -> RouterConfig {
        let (first, last) = (subnet.network().to_bits(), subnet.broadcast().to_bits());
        let (start, end) = if last - first >= 255 {
            (first + 100, first + 199)
        } else {
            (first + (last - first) / 2 + 1, last.saturating_sub(1))
        };
        RouterConfig {
            address: Ipv4Addr::from_bits(first + 1),
            subnet,
            pool: Ipv4Addr::from_bits(start)..=Ipv4Addr::from_bits(end),
            reservations: BTreeMap::new(),
            names: BTreeMap::new(),
            http_root: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), LanError> {
        let wrong = |why: String| LanError::Router { why };
        check_dhcp(self.subnet, self.address, &self.pool, self.reservations.values())
            .map_err(wrong)?;
        if let Some(root) = &self.http_root
            && !root.is_dir()
        {
            let why = format!("{root}, which it is to serve over HTTP, is no directory");
            return Err(wrong(why));
        }
        Ok(())
    }
}

/// Says what is wrong with a DHCP server's settings.
pub(crate) fn check_dhcp<'a>(
    subnet: Ipv4Net,
    server: Ipv4Addr,
    pool: &'a RangeInclusive<Ipv4Addr>,
    reservations: impl IntoIterator<Item = &'a Ipv4Addr>,
) -> Result<(), String> {
    if !is_host(subnet, server) {
        return Err(format!("its address {server} is no host address of {subnet}"));
    }
    let (start, end) = (pool.start(), pool.end());
    if start > end {
        return Err(format!("the DHCP pool from {start} to {end} is empty"));
    }
    match [start, end].into_iter().chain(reservations).find(|address| !subnet.contains(*address)) {
        Some(address) => Err(format!("the DHCP address {address} is not in {subnet}")),
        None => Ok(()),
    }
}

/// True for addresses that a node of the network can have.
pub(crate) fn is_host(subnet: Ipv4Net, address: Ipv4Addr) -> bool {
    subnet.contains(&address) && address != subnet.network() && address != subnet.broadcast()
}

/// A node's name becomes part of file names and of the capture.
pub(crate) fn check_node(name: &str) -> Result<(), LanError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fine =
        !name.is_empty() && name.len() <= 63 && !name.starts_with('.') && name.bytes().all(allowed);
    if fine && !["router", "steps"].contains(&name) {
        return Ok(());
    }
    Err(LanError::NodeName { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("a network")
    }

    #[test]
    fn home_routers_of_any_size_are_consistent() {
        for subnet in ["192.168.50.0/24", "10.0.0.0/8", "192.168.50.0/29", "192.168.50.128/25"] {
            let config = RouterConfig::home(net(subnet));
            config.check().expect(subnet);
            assert!(!config.pool.contains(&config.address), "{config:?}");
        }
    }

    #[test]
    fn contradictions_are_named() {
        let check = |change: fn(&mut RouterConfig)| {
            let mut config = RouterConfig::home(net("192.168.50.0/24"));
            change(&mut config);
            config.check().expect_err("a contradiction").to_string()
        };
        assert!(
            check(|config| config.address = Ipv4Addr::new(10, 0, 0, 1))
                .contains("10.0.0.1 is no host address of 192.168.50.0/24")
        );
        assert!(
            check(|config| config.address = config.subnet.broadcast()).contains("192.168.50.255")
        );
        assert!(
            check(|config| config.pool = Ipv4Addr::new(10, 0, 0, 1)..=Ipv4Addr::new(10, 0, 0, 9))
                .contains("not in")
        );
        assert!(
            check(|config| config.http_root = Some("/nonexistent".into())).contains("/nonexistent")
        );
    }

    #[test]
    fn node_names_are_safe_in_paths() {
        for good in ["master", "cluster01", "rack-1_a.b"] {
            check_node(good).expect(good);
        }
        for bad in ["", "../x", "a/b", ".hidden", "router", "steps", "ä", &"x".repeat(64)] {
            check_node(bad).expect_err(bad);
        }
    }
}
