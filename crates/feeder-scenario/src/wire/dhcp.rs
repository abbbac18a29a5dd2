//! A DHCP message (RFC 2131, RFC 2132), as far as it is told.

use std::net::Ipv4Addr;

use super::{
    frame::{Mac, address},
    told::Dhcp,
};

/// Length of the fixed part of a message, magic number included.
const FIXED: usize = 240;
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
/// The shortest run of letters in option 43 that is a text, not a coincidence.
const TEXT: usize = 6;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub kind: Dhcp,
    pub client: Mac,
    pub server: Option<Ipv4Addr>,
    pub yiaddr: Option<Ipv4Addr>,
    pub option43: Option<Vec<u8>>,
    pub vendor_class: Option<String>,
}

impl Message {
    /// Whether servers say it.
    pub fn is_reply(&self) -> bool {
        matches!(self.kind, Dhcp::Offer | Dhcp::Ack | Dhcp::Nak)
    }
}

pub(super) fn parse(packet: &[u8]) -> Option<Message> {
    // Six bytes of an Ethernet address.
    if packet.get(1..3)? != [1, 6] || packet.get(FIXED - 4..FIXED)? != COOKIE {
        return None;
    }
    let mut message = Message {
        kind: Dhcp::Discover,
        client: *packet.get(28..)?.first_chunk()?,
        server: None,
        yiaddr: specified(address(packet, 16)),
        option43: None,
        vendor_class: None,
    };
    let mut kind = None;
    for (code, value) in options(packet.get(FIXED..)?) {
        match code {
            53 => kind = value.first().copied().and_then(named),
            54 => message.server = specified(address(value, 0)),
            // Long options come in several parts, to be joined (RFC 3396).
            43 => message.option43.get_or_insert_default().extend_from_slice(value),
            60 => message.vendor_class = Some(String::from_utf8_lossy(value).into_owned()),
            _ => {}
        }
    }
    message.kind = kind?;
    Some(message)
}

/// The longest text in an option's bytes.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
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
