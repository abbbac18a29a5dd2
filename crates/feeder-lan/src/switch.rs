//! The learning table: which port a hardware address was last seen on. No I/O, no clock of its own.

use std::collections::HashMap;
use std::time::Duration;

use crate::frame::{self, Mac};

/// A place at the switch where frames come in and go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u32);

/// What to do with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// Only that port needs it.
    To(PortId),
    /// Every port but the one it came from.
    Flood,
    /// Its receiver is on the port that it came from.
    Filter,
}

/// An address that was silent this long is forgotten (IEEE 802.1Q's recommended ageing time).
const AGEING: Duration = Duration::from_secs(300);
/// More addresses than this are not learnt: a guest that makes them up must not eat the host's memory.
const CAPACITY: usize = 4096;

/// The table.
#[derive(Debug, Default)]
pub struct Switch {
    learnt: HashMap<Mac, Entry>,
}

#[derive(Debug)]
struct Entry {
    port: PortId,
    seen: Duration,
}

impl Switch {
    /// Learns the sender of `frame`, which came from port `from`, and says where the frame goes. `now` counts from any fixed start.
    ///
    /// An address that shows up on another port has moved there: that is how a node's network card passes from its boot
    /// firmware to its kernel.
    pub fn forward(&mut self, now: Duration, from: PortId, frame: &[u8]) -> Forward {
        if let Some(source) = frame::source(frame)
            && !frame::is_group(source)
        {
            self.learn(now, from, source);
        }
        let Some(destination) = frame::destination(frame) else { return Forward::Filter };
        if frame::is_group(destination) {
            return Forward::Flood;
        }
        match self.learnt.get(&destination) {
            Some(entry) if now.saturating_sub(entry.seen) > AGEING => Forward::Flood,
            Some(entry) if entry.port == from => Forward::Filter,
            Some(entry) => Forward::To(entry.port),
            None => Forward::Flood,
        }
    }

    /// Forgets what was learnt on a port: it is gone, or its link is down.
    pub fn forget(&mut self, port: PortId) {
        self.learnt.retain(|_, entry| entry.port != port);
    }

    fn learn(&mut self, now: Duration, from: PortId, source: Mac) {
        if let Some(entry) = self.learnt.get_mut(&source) {
            *entry = Entry { port: from, seen: now };
            return;
        }
        if self.learnt.len() >= CAPACITY {
            self.learnt.retain(|_, entry| now.saturating_sub(entry.seen) <= AGEING);
        }
        if self.learnt.len() < CAPACITY {
            self.learnt.insert(source, Entry { port: from, seen: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = [0x02, 0, 0, 0, 0, 0xa];
    const B: Mac = [0x02, 0, 0, 0, 0, 0xb];
    const P1: PortId = PortId(1);
    const P2: PortId = PortId(2);
    const P3: PortId = PortId(3);
    const START: Duration = Duration::ZERO;

    fn frame(to: Mac, from: Mac) -> Vec<u8> {
        [&to[..], &from[..], &[0x08, 0x00]].concat()
    }

    #[test]
    fn floods_until_it_has_learnt() {
        let mut switch = Switch::default();
        assert_eq!(switch.forward(START, P1, &frame(B, A)), Forward::Flood);
        assert_eq!(switch.forward(START, P2, &frame(A, B)), Forward::To(P1));
        assert_eq!(switch.forward(START, P1, &frame(B, A)), Forward::To(P2));
        assert_eq!(switch.forward(START, P1, &frame(frame::BROADCAST, A)), Forward::Flood);
        assert_eq!(switch.forward(START, P2, &frame(B, A)), Forward::Filter);
    }

    #[test]
    fn an_address_moves_with_its_frames() {
        let mut switch = Switch::default();
        switch.forward(START, P1, &frame(B, A));
        switch.forward(START, P3, &frame(B, A));
        assert_eq!(switch.forward(START, P2, &frame(A, B)), Forward::To(P3));
    }

    #[test]
    fn forgets_dead_ports_and_silent_addresses() {
        let mut switch = Switch::default();
        switch.forward(START, P1, &frame(B, A));
        assert_eq!(switch.forward(AGEING, P2, &frame(A, B)), Forward::To(P1));
        assert_eq!(switch.forward(AGEING * 2, P2, &frame(A, B)), Forward::Flood);
        switch.forward(AGEING * 2, P1, &frame(B, A));
        switch.forget(P1);
        assert_eq!(switch.forward(AGEING * 2, P2, &frame(A, B)), Forward::Flood);
    }

    #[test]
    fn group_addresses_are_never_learnt_and_the_table_is_bounded() {
        let mut switch = Switch::default();
        switch.forward(START, P1, &frame(B, frame::BROADCAST));
        assert_eq!(switch.learnt.len(), 0);
        for n in 0..2 * CAPACITY as u32 {
            let [a, b, c, d] = n.to_be_bytes();
            switch.forward(START, P1, &frame(B, [2, 0, a, b, c, d]));
        }
        assert_eq!(switch.learnt.len(), CAPACITY);
        // What stands in the table ages out when there is need for room.
        switch.forward(AGEING * 2, P2, &frame(B, [2, 1, 0, 0, 0, 0]));
        assert_eq!(switch.learnt.len(), 1);
    }
}
