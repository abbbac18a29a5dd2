//! What a LAN has to know when it goes on where another one was saved.
//!
//! Everything else a LAN finds again by itself: the switch learns addresses from the next frames, the router asks by ARP.
//! Connections are not saved. A guest that sends on one of before gets a reset, and its peer opens a new one.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::FaultsState;
use crate::frame::Mac;

/// The state of a LAN, to be kept beside the states of its machines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanState {
    pub(crate) router: RouterState,
    pub(crate) faults: FaultsState,
    /// Second DHCP servers, by name.
    pub(crate) servers: BTreeMap<String, DhcpState>,
}

impl LanState {
    /// The router's addresses: offered, in use, declined.
    #[must_use]
    pub fn dhcp(&self) -> &DhcpState {
        &self.router.dhcp
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouterState {
    pub(crate) dhcp: DhcpState,
    /// The port from which the next forwarded connection comes. Guests remember the ones before it.
    pub(crate) next_port: Option<u16>,
}

/// What a DHCP server remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpState {
    /// Clients and their addresses, by hardware address.
    pub clients: Vec<DhcpClient>,
    /// Addresses that a client found in use, and how long they are still left alone.
    pub declined: BTreeMap<Ipv4Addr, Duration>,
}

/// A client of a DHCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpClient {
    /// Its hardware address.
    pub mac: Mac,
    /// The address it has or is offered.
    pub address: Ipv4Addr,
    /// The name that it gave itself.
    pub hostname: Option<String>,
    /// It has accepted the address. Otherwise the address is only offered.
    pub bound: bool,
    /// How long the address is still kept for it.
    pub remaining: Duration,
}

/// The LAN came to rest: see [`crate::Lan::settle`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Frames that wait for a node whose QEMU does not read them, as far as the kernel has not taken them. They reach it when
    /// it goes on; a machine restored from its state never sees them, and their senders send them again.
    pub undelivered: BTreeMap<String, usize>,
}
