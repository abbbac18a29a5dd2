//! Finding the Ethernet address of the TFTP server, or of the router towards it.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::frame::{self, Mac};
use super::round::Lease;
use crate::board::ArpProfile;

pub(crate) struct Resolve {
    profile: ArpProfile,
    mac: Mac,
    address: Ipv4Addr,
    target: Ipv4Addr,
    sent: u32,
    due: Duration,
}

impl Resolve {
    pub(crate) fn new(now: Duration, profile: &ArpProfile, mac: Mac, lease: &Lease) -> Self {
        Self {
            profile: profile.clone(),
            mac,
            address: lease.address,
            target: next_hop(profile, lease),
            sent: 0,
            due: now,
        }
    }

    /// Whose Ethernet address is sought.
    pub(crate) fn target(&self) -> Ipv4Addr {
        self.target
    }

    pub(crate) fn due(&self) -> Duration {
        self.due
    }

    /// The next request, or `None` when there were enough. To be called when due.
    pub(crate) fn poll(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.sent == self.profile.tries {
            return None;
        }
        self.sent += 1;
        self.due = now + self.profile.interval;
        Some(frame::arp_request(self.mac, self.address, self.target))
    }
}

/// The server itself within the subnet, and on firmware that knows no router; else the router.
fn next_hop(profile: &ArpProfile, lease: &Lease) -> Ipv4Addr {
    match (lease.netmask, lease.router) {
        (Some(mask), Some(router))
            if profile.uses_router
                && u32::from(lease.address) & u32::from(mask)
                    != u32::from(lease.server) & u32::from(mask) =>
        {
            router
        }
        _ => lease.server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{BoardModel, BoardProfile};

    #[test]
    fn servers_elsewhere_are_reached_through_the_router() {
        let lease = |server: [u8; 4]| Lease {
            address: [10, 0, 0, 5].into(),
            netmask: Some([255, 255, 255, 0].into()),
            router: Some([10, 0, 0, 1].into()),
            server: server.into(),
            doubt: None,
        };
        let plus = BoardProfile::of(BoardModel::Pi3BPlus).arp;
        let old = BoardProfile::of(BoardModel::Pi3B).arp;
        assert_eq!(next_hop(&plus, &lease([10, 0, 0, 9])), Ipv4Addr::new(10, 0, 0, 9));
        assert_eq!(next_hop(&plus, &lease([10, 0, 1, 9])), Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(next_hop(&old, &lease([10, 0, 1, 9])), Ipv4Addr::new(10, 0, 1, 9));
        let no_mask = Lease { netmask: None, ..lease([10, 0, 1, 9]) };
        assert_eq!(next_hop(&plus, &no_mask), Ipv4Addr::new(10, 0, 1, 9));
    }
}
