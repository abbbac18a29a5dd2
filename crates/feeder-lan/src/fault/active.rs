//! The faults in force, and what they make of a frame. No I/O, no clock of its own.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dice::{Dice, Way};
use super::text::span;
use super::tftp::{SavedTransfer, Transfers};
use super::{Direction, Fault, FaultCounts, FaultId, FaultKind, FaultReport, Place, Traffic};
use crate::frame::{HEADER, is_arp, tcp_ports};

/// The port of HTTP.
const HTTP: u16 = 80;

/// Frames of which a fault remembers how often each came. One that comes again after that meets the same fate again.
const REMEMBERED: usize = 1 << 20;
/// At most this many bits of a frame are turned over.
const FLIPS: u64 = 3;
/// Bits in the words over which the Internet checksum is a sum. The header is a whole number of them.
const WORD: usize = 16;

/// A link that a frame crosses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Crossing<'a> {
    /// From a node to the switch.
    Leaving {
        /// The node.
        from: &'a str,
    },
    /// From the switch to a node.
    Reaching {
        /// The node that sent the frame.
        from: &'a str,
        /// The node that gets it.
        to: &'a str,
    },
}

/// What becomes of a frame on a link.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// What comes out at the other end: nothing, or the frame, or it and a copy.
    pub(crate) deliveries: Vec<Delivery>,
    /// What happened, for people; empty when nothing did.
    pub(crate) note: String,
    /// The same for machines, of this frame.
    pub(crate) counts: FaultCounts,
}

/// A frame that comes out of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// How much later.
    pub(crate) delay: Duration,
    /// Its bytes, if they are no longer the ones that were sent.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// All faults of a LAN.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    seed: u64,
    last: u32,
    active: BTreeMap<FaultId, Active>,
    ended: Vec<FaultReport>,
    transfers: Transfers,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    text: String,
    began: Duration,
    until: Option<Duration>,
    counts: FaultCounts,
    /// How often each frame came.
    seen: HashMap<u64, u32>,
}

/// What a LAN that goes on has to know about faults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FaultsState {
    last: u32,
    active: Vec<SavedFault>,
    transfers: Vec<SavedTransfer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedFault {
    id: FaultId,
    fault: Fault,
    remaining: Option<Duration>,
    counts: FaultCounts,
    /// Sorted, so that equal states are equal.
    seen: Vec<(u64, u32)>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Faults {
        Faults { seed, ..Faults::default() }
    }

    /// True when links do nothing but carry frames.
    pub(crate) fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// Adds a checked fault.
    pub(crate) fn inject(&mut self, now: Duration, fault: Fault) -> FaultId {
        self.last += 1;
        let id = FaultId(self.last);
        self.active.insert(id, Active::new(now, fault));
        id
    }

    /// Ends a fault. `None`: it has ended already, or never was.
    pub(crate) fn clear(&mut self, now: Duration, id: FaultId) -> Option<FaultReport> {
        let report = self.active.remove(&id)?.report(id, Some(now));
        self.ended.push(report.clone());
        Some(report)
    }

    /// Ends a fault whose time is over. `None`: there is none left.
    pub(crate) fn expire(&mut self, now: Duration) -> Option<FaultReport> {
        let (id, _) = self.active.iter().find(|(_, active)| active.is_over(now))?;
        self.clear(now, *id)
    }

    /// When the next fault ends by itself.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.active.values().filter_map(|active| active.until).min()
    }

    /// All faults so far, in the order of their numbers.
    pub(crate) fn reports(&self) -> Vec<FaultReport> {
        let active = self.active.iter().map(|(id, active)| active.report(*id, None));
        let mut all: Vec<_> = self.ended.iter().cloned().chain(active).collect();
        all.sort_by_key(|report| report.id);
        all
    }

    pub(crate) fn state(&self, now: Duration) -> FaultsState {
        let saved = |(id, active): (&FaultId, &Active)| {
            let mut seen: Vec<_> = active.seen.iter().map(|(key, count)| (*key, *count)).collect();
            seen.sort_unstable();
            SavedFault {
                id: *id,
                fault: active.fault.clone(),
                remaining: active.until.map(|until| until.saturating_sub(now)),
                counts: active.counts,
                seen,
            }
        };
        FaultsState {
            last: self.last,
            active: self.active.iter().map(saved).collect(),
            transfers: self.transfers.state(now),
        }
    }

    /// Goes on with the faults of another LAN. Those that were here are gone.
    pub(crate) fn restore(&mut self, now: Duration, state: &FaultsState) {
        let active = |saved: &SavedFault| {
            let mut active = Active::new(now, saved.fault.clone());
            active.until = saved.remaining.map(|left| now + left);
            active.counts = saved.counts;
            active.seen = saved.seen.iter().copied().collect();
            (saved.id, active)
        };
        self.last = state.last;
        self.active = state.active.iter().map(active).collect();
        self.transfers.restore(now, &state.transfers);
    }

    /// Takes note of a frame that a node sends, whether or not it arrives.
    pub(crate) fn observe(&mut self, now: Duration, frame: &[u8]) {
        self.transfers.observe(now, frame);
    }

    /// Decides what becomes of a frame on a link.
    pub(crate) fn cross(&mut self, now: Duration, crossing: Crossing<'_>, frame: &[u8]) -> Fate {
        let mut fate = Fate {
            deliveries: vec![Delivery { delay: Duration::ZERO, bytes: None }],
            ..Fate::default()
        };
        for (id, active) in &mut self.active {
            let meets = !active.is_over(now)
                && active.fault.is_on(crossing)
                && match active.fault.only {
                    Traffic::All => true,
                    Traffic::Tftp => self.transfers.contains(now, frame),
                    Traffic::Http => {
                        tcp_ports(frame).is_some_and(|(from, to)| from == HTTP || to == HTTP)
                    }
                };
            if meets {
                active.work(self.seed, *id, crossing, frame, &mut fate);
            }
            if fate.deliveries.is_empty() {
                break; // what is lost meets no further fault
            }
        }
        fate
    }
}

impl Active {
    fn new(now: Duration, fault: Fault) -> Active {
        Active {
            text: fault.to_string(),
            began: now,
            until: fault.lasts.map(|time| now + time),
            fault,
            counts: FaultCounts::default(),
            seen: HashMap::new(),
        }
    }

    fn is_over(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    fn report(&self, id: FaultId, ended: Option<Duration>) -> FaultReport {
        FaultReport { id, fault: self.fault.clone(), began: self.began, ended, counts: self.counts }
    }

    fn work(
        &mut self,
        seed: u64,
        id: FaultId,
        crossing: Crossing<'_>,
        frame: &[u8],
        fate: &mut Fate,
    ) {
        self.counts.met += 1;
        let kind = self.fault.kind;
        let chance = Chance::new(&mut self.seen, seed, id, crossing.way(), frame, kind);
        let done = match kind {
            FaultKind::Cut => Some(Done::Lost),
            FaultKind::Loss(often) => often.happens(chance.roll(0)).then_some(Done::Lost),
            FaultKind::Delay(by) => Some(Done::Delayed(by)),
            FaultKind::Jitter(max) => Some(Done::Delayed(share(max, chance.roll(0)))),
            FaultKind::Reorder { probability, by } => {
                probability.happens(chance.roll(0)).then_some(Done::Delayed(by))
            }
            FaultKind::Duplicate(often) => {
                often.happens(chance.roll(0)).then_some(Done::Duplicated)
            }
            FaultKind::Corrupt(often) if is_arp(frame) => {
                often.happens(chance.roll(0)).then_some(Done::Lost)
            }
            FaultKind::Corrupt(often) => {
                let flips = || flips(&chance, frame.len());
                often.happens(chance.roll(0)).then(flips).flatten().map(Done::Corrupted)
            }
        };
        let Some(done) = done else { return };
        let separator = if fate.note.is_empty() { "" } else { "; " };
        // Writing to a string does not fail.
        let _ = write!(fate.note, "{separator}{done} {}: {id}, {}", crossing.words(), self.text);
        for counts in [&mut self.counts, &mut fate.counts] {
            match &done {
                Done::Lost => counts.lost += 1,
                Done::Delayed(_) => counts.delayed += 1,
                Done::Duplicated => counts.duplicated += 1,
                Done::Corrupted(_) => counts.corrupted += 1,
            }
        }
        done.apply(frame, &mut fate.deliveries);
    }
}

/// What a fault did to a frame.
#[derive(Debug)]
enum Done {
    Lost,
    Delayed(Duration),
    Duplicated,
    /// Bits, counted from the frame's beginning.
    Corrupted(Vec<usize>),
}

impl Done {
    fn apply(&self, frame: &[u8], deliveries: &mut Vec<Delivery>) {
        match self {
            Done::Lost => deliveries.clear(),
            Done::Delayed(by) => deliveries.iter_mut().for_each(|delivery| delivery.delay += *by),
            Done::Duplicated => deliveries.extend_from_within(..),
            Done::Corrupted(bits) => {
                for delivery in deliveries {
                    let bytes = delivery.bytes.get_or_insert_with(|| frame.to_vec());
                    for bit in bits {
                        bytes[bit / 8] ^= 1 << (bit % 8);
                    }
                }
            }
        }
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Done::Lost => f.write_str("lost"),
            Done::Delayed(by) => write!(f, "delayed by {}", span(*by)),
            Done::Duplicated => f.write_str("duplicated"),
            Done::Corrupted(bits) => {
                let bytes: Vec<String> = bits.iter().map(|bit| (bit / 8).to_string()).collect();
                let noun = if bytes.len() == 1 { "byte" } else { "bytes" };
                write!(f, "corrupted in {noun} {}", bytes.join(", "))
            }
        }
    }
}

/// The dice for a frame, and how often it came before. Faults that leave nothing to chance remember nothing.
struct Chance {
    dice: Option<(Dice, u32)>,
}

impl Chance {
    fn new(
        seen: &mut HashMap<u64, u32>,
        seed: u64,
        id: FaultId,
        way: Way<'_>,
        frame: &[u8],
        kind: FaultKind,
    ) -> Chance {
        if matches!(kind, FaultKind::Cut | FaultKind::Delay(_)) {
            return Chance { dice: None };
        }
        let dice = Dice::new(seed, id, way, frame);
        let full = seen.len() >= REMEMBERED;
        let time = match seen.get_mut(&dice.frame()) {
            Some(time) => {
                *time = time.wrapping_add(1);
                *time
            }
            None => {
                if !full {
                    seen.insert(dice.frame(), 0);
                }
                0
            }
        };
        Chance { dice: Some((dice, time)) }
    }

    fn roll(&self, draw: u32) -> u64 {
        self.dice.map_or(0, |(dice, time)| dice.roll(time, draw))
    }
}

/// Different bits behind the header, sorted. `None`: there are none.
///
/// No two have the same place in their 16-bit words: they could cancel each other out in the Internet checksum (RFC 1071).
/// Nothing else protects TCP, and a connection that has believed a damaged acknowledgement never goes on.
fn flips(chance: &Chance, length: usize) -> Option<Vec<usize>> {
    let bits = length.checked_sub(HEADER)? * 8;
    if bits == 0 {
        return None;
    }
    let count = 1 + chance.roll(1) % FLIPS;
    let mut flips: Vec<usize> =
        (0..count).map(|n| HEADER * 8 + below(bits, chance.roll(2 + n as u32))).collect();
    flips.sort_by_key(|bit| bit % WORD);
    flips.dedup_by_key(|bit| *bit % WORD);
    flips.sort_unstable();
    Some(flips)
}

/// A number below `end`.
fn below(end: usize, roll: u64) -> usize {
    ((u128::from(roll) * end as u128) >> 64) as usize
}

/// A share of `max`.
fn share(max: Duration, roll: u64) -> Duration {
    max.mul_f64(roll as f64 / u64::MAX as f64)
}

impl Fault {
    fn is_on(&self, crossing: Crossing<'_>) -> bool {
        let there = self.direction != Direction::ToNode;
        let back = self.direction != Direction::FromNode;
        match (&self.on, crossing) {
            (Place::Links(nodes), Crossing::Leaving { from }) => there && nodes.contains(from),
            (Place::Links(nodes), Crossing::Reaching { to, .. }) => back && nodes.contains(to),
            (Place::Between { .. }, Crossing::Leaving { .. }) => false,
            (Place::Between { these, those }, Crossing::Reaching { from, to }) => {
                let other = |node: &str| match those {
                    Some(those) => those.contains(node),
                    None => !these.contains(node),
                };
                (there && these.contains(from) && other(to))
                    || (back && these.contains(to) && other(from))
            }
        }
    }
}

impl<'a> Crossing<'a> {
    fn way(self) -> Way<'a> {
        match self {
            Crossing::Leaving { from } => Way { from: Some(from), to: None },
            Crossing::Reaching { from, to } => Way { from: Some(from), to: Some(to) },
        }
    }

    fn words(self) -> String {
        match self {
            Crossing::Leaving { from } => format!("as it left {from}"),
            Crossing::Reaching { to, .. } => format!("on its way to {to}"),
        }
    }
}

#[cfg(test)]
mod tests;
