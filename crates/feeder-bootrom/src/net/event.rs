//! What happens during a network boot, and how it may end badly.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::option43;
use crate::boot::{Absence, BootError, Stage};

/// An OFFER and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferSeen {
    /// Whose round of DHCP it answered.
    pub stage: Stage,
    /// Option 54, or the sender's address.
    pub from: Ipv4Addr,
    /// The address offered.
    pub yiaddr: Option<Ipv4Addr>,
    /// The server named in the header.
    pub siaddr: Option<Ipv4Addr>,
    /// Option 66.
    pub tftp_name: Option<String>,
    /// Option 43, as sent.
    pub option43: Option<Vec<u8>>,
    /// Whether its address became the board's.
    pub address_taken: bool,
    /// Whether it was accepted as coming from a boot server.
    pub accepted: bool,
    /// Why, or why not.
    pub why: String,
}

/// Something that happened, in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootEvent {
    /// A stage began.
    Stage {
        /// Which.
        stage: Stage,
    },
    /// A DISCOVER was sent.
    Discover {
        /// By which stage.
        stage: Stage,
        /// Its number in this round, from 1.
        attempt: u32,
    },
    /// An OFFER was heard.
    Offer(OfferSeen),
    /// A round of DHCP succeeded.
    Leased {
        /// By which stage.
        stage: Stage,
        /// The board's address.
        address: Ipv4Addr,
        /// Where it will ask for files.
        server: Ipv4Addr,
    },
    /// The Ethernet address of the server, or of the router towards it, is known.
    Resolved {
        /// The address asked for.
        address: Ipv4Addr,
        /// Its Ethernet address.
        mac: [u8; 6],
    },
    /// A read request was sent.
    Requested {
        /// The file.
        file: String,
        /// Whether only to see if it is there.
        probe: bool,
    },
    /// A probe found a file.
    Present {
        /// The file.
        file: String,
    },
    /// A file arrived in full.
    Fetched {
        /// The file.
        file: String,
        /// Its size in bytes.
        bytes: u64,
        /// Blocks received.
        blocks: u64,
        /// Packets of ours that had to be sent again.
        retransmits: u32,
    },
    /// A file counts as absent.
    Missing {
        /// The file.
        file: String,
        /// Why.
        why: Absence,
    },
    /// The kernel would start now.
    Booted {
        /// Its name.
        kernel: String,
    },
    /// The board is silent until its power is cycled.
    GaveUp {
        /// Why: the text of [`Dead`].
        why: String,
    },
}

/// Why a board is silent until its power is cycled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Dead {
    /// No usable answer to DHCP.
    #[error("{}", no_server(.stage, *.discovers, .offers, .wanted))]
    NoBootServer {
        /// Whose round it was.
        stage: Stage,
        /// DISCOVERs sent.
        discovers: u32,
        /// OFFERs heard.
        offers: Vec<OfferSeen>,
        /// The text option 43 must contain.
        wanted: &'static str,
    },
    /// Nobody answered for the TFTP server's address.
    #[error(
        "{stage} has address {address} and TFTP server {server}, but nobody answered {tries} ARP requests for {next_hop} in {within:?}: is the server up, and in the same segment?"
    )]
    NoArp {
        /// The stage.
        stage: Stage,
        /// The board's address.
        address: Ipv4Addr,
        /// The TFTP server.
        server: Ipv4Addr,
        /// The address asked for: the server, or the router towards it.
        next_hop: Ipv4Addr,
        /// Requests sent.
        tries: u32,
        /// Over how long.
        within: Duration,
        /// Why the server may be the wrong one.
        doubt: Option<String>,
    },
    /// DHCP went well, but the files do not boot.
    #[error("{reason}; TFTP server {server}{}", because(.doubt))]
    Firmware {
        /// The TFTP server.
        server: Ipv4Addr,
        /// What was lacking.
        reason: BootError,
        /// Why the server may be the wrong one.
        doubt: Option<String>,
    },
}

fn because(doubt: &Option<String>) -> String {
    doubt.as_ref().map(|doubt| format!("; {doubt}")).unwrap_or_default()
}

fn no_server(stage: &Stage, discovers: u32, offers: &[OfferSeen], wanted: &str) -> String {
    let mut text = format!("{stage} found no boot server: {discovers} DISCOVERs");
    if offers.is_empty() {
        text += " and not one OFFER: is a DHCP server running in this segment?";
        return text;
    }
    text += &format!(", {} OFFERs: {}", offers.len(), summary(offers));
    let address = offers.iter().any(|offer| offer.address_taken);
    let server = offers.iter().any(|offer| offer.accepted);
    text += &match (address, server) {
        (true, false) => format!(". None carried option 43 with \"{wanted}\""),
        (false, true) => {
            ". None carried an address: a proxy needs an ordinary DHCP server beside it".into()
        }
        (false, false) => {
            format!(". None carried an address, and none option 43 with \"{wanted}\"")
        }
        (true, true) => {
            ". Address and boot server did not come in answer to the same DISCOVER".into()
        }
    };
    text
}

/// Who sent what, each once with a count: the same answer comes to every DISCOVER.
pub(super) fn summary(offers: &[OfferSeen]) -> String {
    let mut groups: BTreeMap<(Ipv4Addr, String), u32> = BTreeMap::new();
    for offer in offers {
        *groups.entry((offer.from, describe(offer))).or_default() += 1;
    }
    let groups: Vec<_> = groups
        .into_iter()
        .map(|((from, what), count)| format!("{count} from {from} {what}"))
        .collect();
    groups.join("; ")
}

fn describe(offer: &OfferSeen) -> String {
    let address = if offer.yiaddr.is_some() { "with an address" } else { "without address" };
    let option = match &offer.option43 {
        None => "without option 43".to_owned(),
        Some(bytes) => format!("with option 43 \"{}\"", option43::display(bytes)),
    };
    // Reasons that the two facts do not show.
    let dropped =
        if offer.why.starts_with("came ") { format!(" ({})", offer.why) } else { String::new() };
    format!("{address}, {option}{dropped}")
}

impl fmt::Display for BootEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage { stage } => write!(f, "{stage} runs"),
            Self::Discover { stage, attempt } => write!(f, "DISCOVER {attempt} of {stage}"),
            Self::Offer(offer) => {
                let address = offer.yiaddr.map_or("no address".into(), |a| a.to_string());
                write!(f, "OFFER from {}: {address}; {}", offer.from, offer.why)
            }
            Self::Leased { address, server, .. } => write!(f, "{address}, TFTP server {server}"),
            Self::Resolved { address, mac: [a, b, c, d, e, g] } => {
                write!(f, "{address} is at {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            Self::Requested { file, probe: true } => write!(f, "is {file} there?"),
            Self::Requested { file, probe: false } => write!(f, "get {file}"),
            Self::Present { file } => write!(f, "{file} is there"),
            Self::Fetched { file, bytes, .. } => write!(f, "{file}: {bytes} bytes"),
            Self::Missing { file, why } => write!(f, "{file}: {why}"),
            Self::Booted { kernel } => write!(f, "starts {kernel}"),
            Self::GaveUp { why } => write!(f, "dead: {why}"),
        }
    }
}
