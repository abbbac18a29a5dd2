//! A DHCP server that should not be there: the old router that somebody plugged in again, or a board that poses as boot server.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::config::check_dhcp;
use crate::error::LanError;
use crate::frame::{self, Mac};
use crate::inbox::{Inbox, Message};
use crate::router::{DhcpConfig, DhcpServer, SERVER_PORT, dhcp_frame};
use crate::state::DhcpState;
use crate::switch::PortId;

/// Settings of a second DHCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RogueDhcpConfig {
    /// Its hardware address.
    pub mac: Mac,
    /// Its own address, which clients get as gateway and name server.
    pub address: Ipv4Addr,
    /// The network that it believes to be in.
    pub subnet: Ipv4Net,
    /// Addresses for clients, both ends included.
    pub pool: RangeInclusive<Ipv4Addr>,
    /// Where clients are told to boot from (`siaddr`). `None`: nothing is said.
    pub next_server: Option<Ipv4Addr>,
    /// Further options by their numbers, such as 43, 60, 66 and 67 of one that poses as boot server.
    pub options: BTreeMap<u8, Vec<u8>>,
}

/// A second DHCP server on the LAN, a node of its own. It answers DHCP and ARP, and nothing else. Dropping it takes it away.
pub struct RogueDhcp {
    node: String,
    port: PortId,
    inbox: Inbox,
}

impl RogueDhcp {
    pub(crate) fn new(node: String, port: PortId, inbox: Inbox) -> RogueDhcp {
        RogueDhcp { node, port, inbox }
    }

    /// Its name on the LAN.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }
}

impl Drop for RogueDhcp {
    fn drop(&mut self) {
        self.inbox.send(Message::Detach(self.port));
    }
}

impl fmt::Debug for RogueDhcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RogueDhcp").field("node", &self.node).finish_non_exhaustive()
    }
}

impl RogueDhcpConfig {
    pub(crate) fn check(&self, node: &str) -> Result<(), LanError> {
        check_dhcp(self.subnet, self.address, &self.pool, [])
            .map_err(|why| LanError::Dhcp { node: node.to_owned(), why })
    }
}

/// The server itself: frames in, frames out.
#[derive(Debug)]
pub(crate) struct Rogue {
    mac: Mac,
    address: Ipv4Addr,
    dhcp: DhcpServer,
}

impl Rogue {
    /// A server with checked settings.
    pub(crate) fn new(config: RogueDhcpConfig) -> Rogue {
        let RogueDhcpConfig { mac, address, subnet, pool, next_server, options } = config;
        let reservations = BTreeMap::new();
        let dhcp = DhcpConfig { server: address, subnet, pool, reservations, next_server, options };
        Rogue { mac, address, dhcp: DhcpServer::new(dhcp) }
    }

    /// Takes a frame; gives the answer to it.
    pub(crate) fn answer(&mut self, now: Duration, bytes: &[u8]) -> Option<Vec<u8>> {
        let to = frame::destination(bytes)?;
        if to != self.mac && !frame::is_group(to) {
            return None;
        }
        if let Some(asker) = frame::arp_request(bytes, self.address) {
            return Some(frame::arp_reply((self.mac, self.address), asker));
        }
        let request = frame::udp(bytes)
            .filter(|udp| udp.destination.1 == SERVER_PORT && frame::is_sound_udp(bytes))?;
        let reply = self.dhcp.handle(now, request.payload)?;
        Some(dhcp_frame((self.mac, self.address), &reply))
    }

    pub(crate) fn state(&self, now: Duration) -> DhcpState {
        self.dhcp.state(now)
    }

    pub(crate) fn restore(&mut self, now: Duration, state: &DhcpState) {
        self.dhcp.restore(now, state);
    }
}
