//! Faults: what links do to frames besides carrying them, as data.
//!
//! A fault stands in scripts, journals, captures and replay bundles alike: it is compared, written as JSON, and says in words
//! what it does.

mod active;
mod dice;
mod text;
mod tftp;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::active::{Crossing, Fate, Faults, FaultsState};

use crate::config::check_node;
use crate::error::LanError;

/// A fault on the LAN.
///
/// ```
/// use feeder_lan::{Fault, Probability, Traffic};
/// use std::time::Duration;
///
/// let fault = Fault::loss("cluster01", Probability::percent(5)).lasting(Duration::from_secs(60));
/// assert_eq!(fault.to_string(), "5 % loss on cluster01, both directions, for 60 s");
/// let silent = Fault::loss("cluster00", Probability::ALWAYS).only(Traffic::Tftp).from_node();
/// assert_eq!(silent.to_string(), "100 % loss of TFTP on cluster00, from the node");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fault {
    /// What happens to frames.
    pub kind: FaultKind,
    /// Where.
    pub on: Place,
    /// In which direction.
    #[serde(default)]
    pub direction: Direction,
    /// To which frames.
    #[serde(default)]
    pub only: Traffic,
    /// After which time, on the LAN's clock, it ends by itself. `None`: when it is cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// What a fault does to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// It is lost, this often.
    Loss(Probability),
    /// It comes later by this much.
    Delay(Duration),
    /// It comes later by anything up to this. Frames that follow each other closely change places.
    Jitter(Duration),
    /// It comes twice, this often.
    Duplicate(Probability),
    /// It is held back, so that later ones overtake it.
    Reorder {
        /// How often.
        probability: Probability,
        /// For how long.
        by: Duration,
    },
    /// Some of its bits are turned over, this often. The Ethernet header stays, so it still arrives, and checksums of IP, TCP
    /// and UDP tell. ARP has none and would be believed, for a minute or so: such a frame is lost, as on a real wire, where the
    /// frame check sequence tells.
    Corrupt(Probability),
    /// Nothing passes.
    Cut,
}

/// Where a fault is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// On each of these nodes' links to the switch.
    Links(BTreeSet<String>),
    /// Between the nodes of two groups, whatever links they hang on. Within a group, nothing is wrong.
    Between {
        /// One group. Direction "from the node" is from this one to the other.
        these: BTreeSet<String>,
        /// The other. `None`: all other nodes, those to come and the router among them.
        those: Option<BTreeSet<String>>,
    },
}

/// In which direction a fault works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// What the node sends.
    FromNode,
    /// What the node is sent.
    ToNode,
}

/// Which frames a fault cares about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// All.
    #[default]
    All,
    /// Requests to a TFTP server (UDP port 69) and all UDP between the address and port that sent one and that server. IP
    /// fragments are not recognised.
    Tftp,
    /// TCP from or to port 80.
    Http,
}

/// How often something happens, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(u32);

impl Probability {
    /// Every time.
    pub const ALWAYS: Probability = Probability(1_000_000);

    /// From a number between 0 and 1. `None`: it is not.
    #[must_use]
    pub fn new(share: f64) -> Option<Probability> {
        (0.0..=1.0).contains(&share).then(|| Probability((share * 1e6).round() as u32))
    }

    /// From whole percents; more than 100 are 100.
    #[must_use]
    pub const fn percent(percent: u8) -> Probability {
        let percent = if percent > 100 { 100 } else { percent };
        Probability(percent as u32 * 10_000)
    }

    /// Whether it happens, for a number that is equally likely to be any.
    fn happens(self, roll: u64) -> bool {
        ((u128::from(roll) * 1_000_000) >> 64) < u128::from(self.0)
    }
}

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        Probability::new(share).ok_or_else(|| format!("{share} is no probability: 0 to 1 are"))
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> f64 {
        f64::from(probability.0) / 1e6
    }
}

/// The number of a fault: the first on a LAN is 1. A LAN that goes on from a state goes on counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(u32);

/// A fault and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultReport {
    /// Its number.
    pub id: FaultId,
    /// The fault.
    pub fault: Fault,
    /// When it began, since the LAN started.
    pub began: Duration,
    /// When it ended, since the LAN started. `None`: it goes on.
    pub ended: Option<Duration>,
    /// What it did.
    pub counts: FaultCounts,
}

/// What a fault did to frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCounts {
    /// Frames that met it, whether or not it did anything to them.
    pub met: u64,
    /// Frames that it lost.
    pub lost: u64,
    /// Frames that it held back for some time.
    pub delayed: u64,
    /// Frames that it doubled.
    pub duplicated: u64,
    /// Frames in which it turned over bits.
    pub corrupted: u64,
}

impl Fault {
    /// `kind` on a node's link, in both directions, on all frames, until cleared.
    pub fn on(node: impl Into<String>, kind: FaultKind) -> Fault {
        Fault::at(Place::Links(BTreeSet::from([node.into()])), kind)
    }

    /// Frames from and to a node are lost.
    pub fn loss(node: impl Into<String>, probability: Probability) -> Fault {
        Fault::on(node, FaultKind::Loss(probability))
    }

    /// Frames from and to a node come late.
    pub fn delay(node: impl Into<String>, by: Duration) -> Fault {
        Fault::on(node, FaultKind::Delay(by))
    }

    /// The node's cable is pulled.
    pub fn cut(node: impl Into<String>) -> Fault {
        Fault::on(node, FaultKind::Cut)
    }

    /// These nodes reach each other and nobody else, and nobody else reaches them.
    pub fn partition<N: Into<String>>(nodes: impl IntoIterator<Item = N>) -> Fault {
        let these = nodes.into_iter().map(Into::into).collect();
        Fault::at(Place::Between { these, those: None }, FaultKind::Cut)
    }

    /// `kind` at a place, in both directions, on all frames, until cleared.
    #[must_use]
    pub fn at(on: Place, kind: FaultKind) -> Fault {
        Fault { kind, on, direction: Direction::Both, only: Traffic::All, lasts: None }
    }

    /// The same, on what the node sends alone.
    #[must_use]
    pub fn from_node(self) -> Fault {
        Fault { direction: Direction::FromNode, ..self }
    }

    /// The same, on what the node is sent alone.
    #[must_use]
    pub fn to_node(self) -> Fault {
        Fault { direction: Direction::ToNode, ..self }
    }

    /// The same, on some frames alone.
    #[must_use]
    pub fn only(self, traffic: Traffic) -> Fault {
        Fault { only: traffic, ..self }
    }

    /// The same, ending by itself.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Fault {
        Fault { lasts: Some(time), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), LanError> {
        let wrong = |why: &str| Err(LanError::Fault { fault: self.to_string(), why: why.into() });
        let groups: Vec<&BTreeSet<String>> = match &self.on {
            Place::Links(nodes) => vec![nodes],
            Place::Between { these, those } => [these].into_iter().chain(those).collect(),
        };
        if groups.iter().any(|nodes| nodes.is_empty()) {
            return wrong("it names no node");
        }
        if let [these, those] = groups[..]
            && !these.is_disjoint(those)
        {
            return wrong("a node cannot be in both groups");
        }
        for node in groups.into_iter().flatten() {
            if node != "router" {
                check_node(node)?;
            }
        }
        if self.lasts.is_some_and(|time| time.is_zero()) {
            return wrong("it ends as it begins");
        }
        Ok(())
    }
}
