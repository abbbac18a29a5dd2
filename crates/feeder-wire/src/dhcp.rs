//! A DHCP message (RFC 2131, RFC 2132), as far as it is told.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::frame::{Mac, address, long};

/// The port of servers.
pub const SERVER_PORT: u16 = 67;
/// The port of clients.
pub const CLIENT_PORT: u16 = 68;

/// Length of the fixed part of a message, magic number included.
const FIXED: usize = 240;
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
/// The shortest run of letters in option 43 that is a text, not a coincidence.
const TEXT: usize = 6;

/// The kind of a DHCP message, by its name in RFC 2131.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dhcp {
    /// Who gives me an address?
    Discover,
    /// I would.
    Offer,
    /// Then you shall.
    Request,
    /// That address is in use.
    Decline,
    /// It is yours.
    Ack,
    /// It is not.
    Nak,
    /// I need it no longer.
    Release,
    /// I have one; what else should I know?
    Inform,
}

impl std::fmt::Display for Dhcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Discover => "DISCOVER",
            Self::Offer => "OFFER",
            Self::Request => "REQUEST",
            Self::Decline => "DECLINE",
            Self::Ack => "ACK",
            Self::Nak => "NAK",
            Self::Release => "RELEASE",
            Self::Inform => "INFORM",
        })
    }
}

/// A message between a client with an Ethernet address and a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Option 53: what it is for.
    pub kind: Dhcp,
    /// The transaction that it belongs to.
    pub xid: u32,
    /// The client's hardware address.
    pub client: Mac,
    /// Option 54: the server that answers or is asked.
    pub server: Option<Ipv4Addr>,
    /// The address that a server gives; none from a proxy.
    pub yiaddr: Option<Ipv4Addr>,
    /// Option 43, all of its parts.
    pub option43: Option<Vec<u8>>,
    /// Option 55: what the client wants to know.
    pub parameters: Option<Vec<u8>>,
    /// Option 60: what the client says that it is.
    pub vendor_class: Option<String>,
    /// Option 97: the client's machine identifier, its type in the first byte (RFC 4578).
    pub machine_id: Option<Vec<u8>>,
}

impl Message {
    /// Whether servers say it.
    #[must_use]
    pub fn is_reply(&self) -> bool {
        matches!(self.kind, Dhcp::Offer | Dhcp::Ack | Dhcp::Nak)
    }
}

/// The message in a UDP payload; `None` when it is none, or not of a client with an Ethernet address.
#[must_use]
pub fn parse(packet: &[u8]) -> Option<Message> {
    // Six bytes of an Ethernet address.
    if packet.get(1..3)? != [1, 6] || packet.get(FIXED - 4..FIXED)? != COOKIE {
        return None;
    }
    let mut message = Message {
        kind: Dhcp::Discover,
        xid: long(packet, 4)?,
        client: *packet.get(28..)?.first_chunk()?,
        server: None,
        yiaddr: specified(address(packet, 16)),
        option43: None,
        parameters: None,
        vendor_class: None,
        machine_id: None,
    };
    let mut kind = None;
    for (code, value) in options(packet.get(FIXED..)?) {
        match code {
            53 => kind = value.first().copied().and_then(named),
            54 => message.server = specified(address(value, 0)),
            // Long options come in several parts, to be joined (RFC 3396).
            43 => message.option43.get_or_insert_default().extend_from_slice(value),
            55 => message.parameters = Some(value.to_owned()),
            97 => message.machine_id = Some(value.to_owned()),
            60 => message.vendor_class = Some(String::from_utf8_lossy(value).into_owned()),
            _ => {}
        }
    }
    message.kind = kind?;
    Some(message)
}

/// The longest text in an option's bytes.
#[must_use]
pub fn text(bytes: &[u8]) -> Option<String> {
    bytes
        .split(|byte| !byte.is_ascii_graphic() && *byte != b' ')
        .filter(|run| run.len() >= TEXT)
        .max_by_key(|run| run.len())
        .map(|run| String::from_utf8_lossy(run).into_owned())
}

fn named(kind: u8) -> Option<Dhcp> {
    Some(match kind {
        1 => Dhcp::Discover,
        2 => Dhcp::Offer,
        3 => Dhcp::Request,
        4 => Dhcp::Decline,
        5 => Dhcp::Ack,
        6 => Dhcp::Nak,
        7 => Dhcp::Release,
        8 => Dhcp::Inform,
        _ => return None,
    })
}

fn specified(address: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    address.filter(|address| !address.is_unspecified())
}

/// The options up to END or the first that is cut off.
fn options(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        while let [0, after @ ..] = rest {
            rest = after;
        }
        let [code, length, after @ ..] = rest else { return None };
        let (value, after) = after.split_at_checked(usize::from(*length))?;
        rest = after;
        (*code != 255).then_some((*code, value))
    })
}
