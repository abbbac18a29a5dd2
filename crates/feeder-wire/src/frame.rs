//! As much of Ethernet, IPv4, UDP and TCP as telling what was said takes. Fragments say nothing.

use std::net::Ipv4Addr;

/// An Ethernet address.
pub type Mac = [u8; 6];

const IPV4: [u8; 2] = [0x08, 0x00];
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Flags of a TCP segment (RFC 9293, section 3.1).
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A datagram or segment with its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Who sent the frame.
    pub mac: Mac,
    /// Address and port that it comes from.
    pub from: (Ipv4Addr, u16),
    /// Address and port that it goes to.
    pub to: (Ipv4Addr, u16),
    /// What it carries.
    pub body: Body<'a>,
}

/// What an IPv4 datagram carries.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// A UDP datagram's payload.
    Udp(&'a [u8]),
    /// A TCP segment's purpose and data.
    Tcp(Segment, &'a [u8]),
}

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// It asks for a connection.
    Open,
    /// It accepts one.
    Accept,
    /// It refuses or breaks one.
    Reset,
    /// It carries data, or acknowledges some.
    Data,
}

/// What a frame carries; `None` for all but whole IPv4 datagrams of UDP and TCP.
#[must_use]
pub fn parse(frame: &[u8]) -> Option<Packet<'_>> {
    let mac = *frame.get(6..)?.first_chunk()?;
    if frame.get(12..14)? != IPV4 {
        return None;
    }
    let ip = frame.get(14..)?;
    let first = *ip.first()?;
    let header = usize::from(first & 0x0f) * 4;
    let fragment = word(ip, 6)? & 0x3fff != 0;
    if first >> 4 != 4 || header < 20 || fragment {
        return None;
    }
    // A short frame is padded: the datagram's own length counts.
    let payload = ip.get(header..usize::from(word(ip, 2)?))?;
    let (source, destination) = (address(ip, 12)?, address(ip, 16)?);
    let (from, to) = ((source, word(payload, 0)?), (destination, word(payload, 2)?));
    let body = match *ip.get(9)? {
        UDP => Body::Udp(payload.get(8..usize::from(word(payload, 4)?))?),
        TCP => {
            let data = payload.get(usize::from(*payload.get(12)? >> 4) * 4..)?;
            let flags = *payload.get(13)?;
            let segment = match (flags & RST != 0, flags & SYN != 0, flags & ACK != 0) {
                (true, _, _) => Segment::Reset,
                (_, true, false) => Segment::Open,
                (_, true, true) => Segment::Accept,
                _ => Segment::Data,
            };
            Body::Tcp(segment, data)
        }
        _ => return None,
    };
    Some(Packet { mac, from, to, body })
}

/// Two bytes, the high one first; `None` when they are not all there.
#[must_use]
pub fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

/// Four bytes, the highest first; `None` when they are not all there.
#[must_use]
pub fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|long| u32::from_be_bytes(*long))
}

/// An address; `None` when they are not all there.
#[must_use]
pub fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    long(bytes, at).map(Ipv4Addr::from_bits)
}
