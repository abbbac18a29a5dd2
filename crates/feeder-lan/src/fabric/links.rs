//! The way of a frame: over its sender's link into the switch, and over its receivers' links out of it. What links do to
//! frames beside carrying them happens here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::{Attached, End, Fabric};
use crate::fault::{Crossing, Fate};
use crate::frame::HEADER;
use crate::socket_port::Sent;
use crate::switch::{Forward, PortId};
use crate::tap::TappedFrame;

/// Frames that are on their way at once on links with a delay. Later ones are dropped.
const DELAYED: usize = 64 * 1024;

/// Frames that are late.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// By the time at which they go on; those of one time in the order in which they came.
    frames: BTreeMap<(Duration, u64), LateFrame>,
    count: u64,
}

#[derive(Debug)]
struct LateFrame {
    from: PortId,
    /// `None`: it is on its sender's link.
    to: Option<Vec<PortId>>,
    bytes: Vec<u8>,
}

impl Late {
    pub(super) fn due(&self) -> Option<Duration> {
        self.frames.first_key_value().map(|((due, _), _)| *due)
    }

    fn push(&mut self, due: Duration, frame: LateFrame) -> bool {
        if self.frames.len() >= DELAYED {
            return false;
        }
        self.count += 1;
        self.frames.insert((due, self.count), frame);
        true
    }

    fn pop(&mut self, now: Duration) -> Option<LateFrame> {
        if self.due()? > now {
            return None;
        }
        self.frames.pop_first().map(|(_, frame)| frame)
    }
}

/// What faults did to a frame, for the capture.
#[derive(Debug, Default)]
struct Notes(String);

impl Notes {
    fn add(&mut self, note: &str) {
        if !self.0.is_empty() && !note.is_empty() {
            self.0.push_str("; ");
        }
        self.0.push_str(note);
    }

    fn get(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|notes| !notes.is_empty())
    }
}

impl Fabric {
    /// A frame leaves a node: it crosses the node's link and reaches the switch.
    pub(super) fn ingress(&mut self, now: Duration, from: PortId, frame: &[u8]) {
        let Some(port) = self.ports.get_mut(&from) else { return };
        if frame.len() < HEADER {
            port.stats.dropped_from_node += 1;
            return;
        }
        port.stats.sent_frames += 1;
        port.stats.sent_bytes += frame.len() as u64;
        self.frames += 1;
        self.bytes += frame.len() as u64;
        let (node, interface) = (Arc::clone(&port.node), port.interface);
        self.faults.observe(now, frame);

        let mut notes = Notes::default();
        if self.faults.is_empty() {
            self.arrive(now, from, &node, frame, &mut notes);
        } else {
            let fate = self.faults.cross(now, Crossing::Leaving { from: &node }, frame);
            self.count(from, &fate);
            notes.add(&fate.note);
            for delivery in fate.deliveries {
                if delivery.delay.is_zero() {
                    let bytes = delivery.bytes.as_deref().unwrap_or(frame);
                    self.arrive(now, from, &node, bytes, &mut notes);
                } else {
                    let bytes = delivery.bytes.unwrap_or_else(|| frame.to_vec());
                    if !self.late.push(now + delivery.delay, LateFrame { from, to: None, bytes }) {
                        self.overfull(from);
                    }
                }
            }
        }
        // As the node sent it, with all that is known by now about what became of it.
        if let Some(capture) = &mut self.capture {
            capture.record(now, interface, frame, notes.get());
        }
    }

    /// Frames that were late go on.
    pub(super) fn release(&mut self, now: Duration) {
        while let Some(LateFrame { from, to, bytes }) = self.late.pop(now) {
            let Some(to) = to else {
                let Some(node) = self.ports.get(&from).map(|port| Arc::clone(&port.node)) else {
                    continue;
                };
                let mut notes = Notes::default();
                self.arrive(now, from, &node, &bytes, &mut notes);
                // It is in the capture already, from when it was sent.
                if let (Some(capture), Some(notes)) = (&mut self.capture, notes.get()) {
                    capture.note(now, &format!("a late frame of {node}: {notes}"));
                }
                continue;
            };
            for port in to {
                self.deliver(now, port, &bytes);
            }
        }
    }

    /// A frame reaches the switch.
    fn arrive(
        &mut self,
        now: Duration,
        from: PortId,
        node: &Arc<str>,
        frame: &[u8],
        notes: &mut Notes,
    ) {
        if !self.taps.is_empty() {
            let at = UNIX_EPOCH + self.clock.epoch() + now;
            let copy =
                || TappedFrame { node: Arc::clone(node), at, elapsed: now, bytes: frame.to_vec() };
            self.taps.retain(|tap| tap.offer(frame, copy));
        }
        match self.switch.forward(now, from, frame) {
            Forward::To(to) => {
                let Some(receiver) = self.ports.get(&to).map(|port| Arc::clone(&port.node)) else {
                    return;
                };
                self.egress(now, (from, node), (&[to], &receiver), frame, notes);
            }
            Forward::Flood => self.flood(now, from, node, frame, notes),
            Forward::Filter => {}
        }
    }

    /// To all other nodes. The ports of one node share its cable: what it sends never comes back to it, and what it is sent
    /// crosses that cable once.
    fn flood(
        &mut self,
        now: Duration,
        from: PortId,
        node: &Arc<str>,
        frame: &[u8],
        notes: &mut Notes,
    ) {
        let mut others: BTreeMap<Arc<str>, Vec<PortId>> = BTreeMap::new();
        for (id, port) in self.ports.iter().filter(|(_, port)| port.node != *node) {
            others.entry(Arc::clone(&port.node)).or_default().push(*id);
        }
        for (receiver, ports) in others {
            self.egress(now, (from, node), (&ports, &receiver), frame, notes);
        }
    }

    /// A frame leaves the switch: it crosses the receiver's link and reaches the node.
    fn egress(
        &mut self,
        now: Duration,
        (from, sender): (PortId, &str),
        (to, receiver): (&[PortId], &str),
        frame: &[u8],
        notes: &mut Notes,
    ) {
        if self.faults.is_empty() {
            for port in to {
                self.deliver(now, *port, frame);
            }
            return;
        }
        let crossing = Crossing::Reaching { from: sender, to: receiver };
        let fate = self.faults.cross(now, crossing, frame);
        if let Some(port) = to.first() {
            self.count(*port, &fate);
        }
        notes.add(&fate.note);
        for delivery in fate.deliveries {
            if !delivery.delay.is_zero() {
                let bytes = delivery.bytes.unwrap_or_else(|| frame.to_vec());
                let late = LateFrame { from, to: Some(to.to_vec()), bytes };
                if !self.late.push(now + delivery.delay, late) {
                    self.overfull(from);
                }
                continue;
            }
            for port in to {
                self.deliver(now, *port, delivery.bytes.as_deref().unwrap_or(frame));
            }
        }
    }

    /// A frame reaches a node.
    fn deliver(&mut self, now: Duration, to: PortId, frame: &[u8]) {
        let Some(port) = self.ports.get_mut(&to) else { return };
        let sent = match &mut port.end {
            End::Router => {
                self.router.receive(now, frame);
                Sent::Accepted
            }
            End::Rogue(server) => {
                self.answers.extend(server.answer(now, frame).map(|answer| (to, answer)));
                Sent::Accepted
            }
            End::Local(shared) if shared.deliver(frame) => Sent::Accepted,
            End::Local(_) => Sent::QueueFull,
            End::Qemu(socket) => socket.send(now, frame),
        };
        match sent {
            Sent::Accepted => {
                port.stats.received_frames += 1;
                port.stats.received_bytes += frame.len() as u64;
            }
            Sent::QueueFull | Sent::TooLong => port.stats.dropped_queue_full += 1,
            Sent::LinkDown => {
                port.stats.dropped_link_down += 1;
                self.switch.forget(to);
            }
        }
    }

    /// Counts what faults did to a frame on a node's link.
    fn count(&mut self, port: PortId, fate: &Fate) {
        let Some(Attached { stats, .. }) = self.ports.get_mut(&port) else { return };
        stats.faults_lost += fate.counts.lost;
        stats.faults_delayed += fate.counts.delayed;
        stats.faults_duplicated += fate.counts.duplicated;
        stats.faults_corrupted += fate.counts.corrupted;
    }

    /// There was no room for a frame among the late ones.
    fn overfull(&mut self, from: PortId) {
        if let Some(port) = self.ports.get_mut(&from) {
            port.stats.dropped_from_node += 1;
        }
    }
}
