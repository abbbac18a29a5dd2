//! Which datagrams belong to TFTP (RFC 1350): a server answers a request from a port of its own choice, so the client's address
//! and port, from which the request came, tell them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::frame::{self, Udp};

const PORT: u16 = 69;
/// Clients that are remembered; of more, the one that asked first is forgotten.
const CAPACITY: usize = 1024;
/// Long after a transfer has ended, its port may be used for something else.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// The transfers that were asked for.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    clients: BTreeMap<(Ipv4Addr, u16), Transfer>,
}

#[derive(Debug, Clone, Copy)]
struct Transfer {
    server: Ipv4Addr,
    asked: Duration,
}

/// A transfer, for a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedTransfer {
    client: (Ipv4Addr, u16),
    server: Ipv4Addr,
    age: Duration,
}

impl Transfers {
    /// Takes note of requests.
    pub(super) fn observe(&mut self, now: Duration, bytes: &[u8]) {
        let Some(udp) = frame::udp(bytes).filter(is_request) else { return };
        let transfer = Transfer { server: udp.destination.0, asked: now };
        self.clients.insert(udp.source, transfer);
        if self.clients.len() > CAPACITY {
            let oldest = self.clients.iter().min_by_key(|(_, transfer)| transfer.asked);
            if let Some(client) = oldest.map(|(client, _)| *client) {
                self.clients.remove(&client);
            }
        }
    }

    /// True for a request and for everything that follows from one.
    pub(super) fn contains(&self, now: Duration, bytes: &[u8]) -> bool {
        let Some(udp) = frame::udp(bytes) else { return false };
        let asked = |client, server| {
            self.clients.get(&client).is_some_and(|transfer: &Transfer| {
                transfer.server == server && now.saturating_sub(transfer.asked) < FORGET_AFTER
            })
        };
        udp.destination.1 == PORT
            || asked(udp.source, udp.destination.0)
            || asked(udp.destination, udp.source.0)
    }

    pub(super) fn state(&self, now: Duration) -> Vec<SavedTransfer> {
        let saved = |(client, transfer): (&(Ipv4Addr, u16), &Transfer)| SavedTransfer {
            client: *client,
            server: transfer.server,
            age: now.saturating_sub(transfer.asked),
        };
        self.clients.iter().map(saved).filter(|saved| saved.age < FORGET_AFTER).collect()
    }

    pub(super) fn restore(&mut self, now: Duration, saved: &[SavedTransfer]) {
        // A fresh clock may stand before the time at which the transfer began: then it is younger than it was.
        let transfer = |saved: &SavedTransfer| {
            let asked = now.saturating_sub(saved.age);
            (saved.client, Transfer { server: saved.server, asked })
        };
        self.clients = saved.iter().map(transfer).collect();
    }
}

/// A request to read or to write.
fn is_request(udp: &Udp<'_>) -> bool {
    udp.destination.1 == PORT && matches!(udp.payload, [0, 1 | 2, ..])
}
