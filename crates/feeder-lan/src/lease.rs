//! The addresses that the router handed out, shared between the LAN's thread and those who wait for a node.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::frame::Mac;

/// How often a wait asks whether to go on.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// An address that the router's DHCP server acknowledged to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The client.
    pub mac: Mac,
    /// Its address.
    pub address: Ipv4Addr,
    /// The name that the client gave itself (option 12).
    pub hostname: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct LeaseBook {
    leases: Mutex<Book>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Book {
    leases: BTreeMap<Mac, Lease>,
    closed: bool,
}

impl LeaseBook {
    pub(crate) fn set(&self, leases: impl IntoIterator<Item = Lease>) {
        self.lock().leases = leases.into_iter().map(|lease| (lease.mac, lease)).collect();
        self.changed.notify_all();
    }

    pub(crate) fn all(&self) -> Vec<Lease> {
        self.lock().leases.values().cloned().collect()
    }

    /// No more leases will come.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self, mac: Mac, keep_waiting: &mut dyn FnMut() -> bool) -> Option<Lease> {
        loop {
            // Asked without the lock: the caller may well look at the leases to decide.
            let go_on = keep_waiting();
            let book = self.lock();
            if let Some(lease) = book.leases.get(&mac) {
                return Some(lease.clone());
            }
            if !go_on || book.closed {
                return None;
            }
            drop(
                self.changed.wait_timeout(book, ASK_EVERY).unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
