//! In-process ports: for a node that is code in this process, such as the twin of a boot firmware.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::inbox::{Inbox, Message};
use crate::switch::PortId;

/// Frames that may wait in either direction before further ones are dropped.
pub(crate) const QUEUE: usize = 1024;

/// A place on the LAN for code. Dropping it pulls the cable.
#[derive(Debug)]
pub struct Port {
    id: PortId,
    inbox: Inbox,
    shared: Arc<Shared>,
}

/// What both ends of the port see.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    received: Mutex<Received>,
    arrived: Condvar,
    /// Frames on their way into the switch.
    sending: AtomicUsize,
    /// Frames that the switch had no time for.
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Received {
    frames: VecDeque<Vec<u8>>,
    detached: bool,
}

impl Port {
    pub(crate) fn new(id: PortId, inbox: Inbox, shared: Arc<Shared>) -> Port {
        Port { id, inbox, shared }
    }

    /// Sends a frame, from its destination address on, without checksum. As on a wire, nobody says whether it arrives.
    pub fn send(&self, frame: &[u8]) {
        if self.shared.sending.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            self.shared.sending.fetch_sub(1, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.inbox.send(Message::Frame { from: self.id, bytes: frame.to_vec() });
    }

    /// The next frame, waiting for it until `deadline`. `None`: none came in time, or the port is no longer attached.
    pub fn recv(&self, deadline: Instant) -> Option<Vec<u8>> {
        let mut received = self.shared.lock();
        loop {
            if let Some(frame) = received.frames.pop_front() {
                return Some(frame);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || received.detached {
                return None;
            }
            received = self
                .shared
                .arrived
                .wait_timeout(received, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The next frame, if one is there.
    pub fn try_recv(&self) -> Option<Vec<u8>> {
        self.shared.lock().frames.pop_front()
    }

    /// False once the node was detached or the LAN shut down: nothing will come any more.
    pub fn is_attached(&self) -> bool {
        !self.shared.lock().detached
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.inbox.send(Message::Detach(self.id));
    }
}

impl Shared {
    /// Hands a frame to the owner of the port. False: too many wait already.
    pub(crate) fn deliver(&self, frame: &[u8]) -> bool {
        let mut received = self.lock();
        if received.frames.len() >= QUEUE {
            return false;
        }
        received.frames.push_back(frame.to_vec());
        self.arrived.notify_one();
        true
    }

    /// The switch took a frame from the inbox.
    pub(crate) fn taken(&self) {
        self.sending.fetch_sub(1, Ordering::Relaxed);
    }

    /// Frames that were dropped on their way into the switch.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Tells the owner that nothing will come any more.
    pub(crate) fn detach(&self) {
        self.lock().detached = true;
        self.arrived.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
