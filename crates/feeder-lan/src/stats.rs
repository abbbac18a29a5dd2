//! Counters.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fault::FaultReport;

/// What went through one node's ports. "Sent" and "received" are the node's view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStats {
    /// Frames that the node sent.
    pub sent_frames: u64,
    /// Bytes in them.
    pub sent_bytes: u64,
    /// Frames that the node was given.
    pub received_frames: u64,
    /// Bytes in them.
    pub received_bytes: u64,
    /// Frames for the node that were dropped because nobody was at the other end: its power is off.
    pub dropped_link_down: u64,
    /// Frames for the node that were dropped because too many waited already: it does not read fast enough.
    pub dropped_queue_full: u64,
    /// Frames from the node that were dropped: too short for Ethernet, or sent faster than they can be taken.
    pub dropped_from_node: u64,
    /// How often the link to the node came up.
    pub link_ups: u64,
    /// Frames from or to the node that a fault lost.
    pub faults_lost: u64,
    /// Frames from or to the node that a fault delayed; one that two faults delayed counts twice.
    pub faults_delayed: u64,
    /// Frames from or to the node that a fault doubled.
    pub faults_duplicated: u64,
    /// Frames from or to the node that a fault corrupted.
    pub faults_corrupted: u64,
}

impl NodeStats {
    pub(crate) fn add(&mut self, other: &NodeStats) {
        let NodeStats {
            sent_frames,
            sent_bytes,
            received_frames,
            received_bytes,
            dropped_link_down,
            dropped_queue_full,
            dropped_from_node,
            link_ups,
            faults_lost,
            faults_delayed,
            faults_duplicated,
            faults_corrupted,
        } = other;
        self.sent_frames += sent_frames;
        self.sent_bytes += sent_bytes;
        self.received_frames += received_frames;
        self.received_bytes += received_bytes;
        self.dropped_link_down += dropped_link_down;
        self.dropped_queue_full += dropped_queue_full;
        self.dropped_from_node += dropped_from_node;
        self.link_ups += link_ups;
        self.faults_lost += faults_lost;
        self.faults_delayed += faults_delayed;
        self.faults_duplicated += faults_duplicated;
        self.faults_corrupted += faults_corrupted;
    }

    /// All frames that did not reach the node or came from it in vain, those that faults lost aside.
    pub fn dropped(&self) -> u64 {
        self.dropped_link_down + self.dropped_queue_full + self.dropped_from_node
    }
}

/// What a LAN did so far, or in all its life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Frames that entered the switch. The capture holds each once (and the remarks beside them).
    pub frames: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// The same by node, the router among them; detached nodes stay.
    pub nodes: BTreeMap<String, NodeStats>,
    /// The faults, in the order in which they began.
    pub faults: Vec<FaultReport>,
    /// Bytes in the capture file.
    pub capture_bytes: u64,
    /// Why the capture is not complete.
    pub capture_failed: Option<String>,
    /// CPU time of the LAN's threads.
    pub cpu: Duration,
    /// Time since the LAN started.
    pub elapsed: Duration,
}
