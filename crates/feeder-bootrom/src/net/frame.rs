//! Ethernet frames as the boot ROM makes them (and as much of others' as it reads): ARP (RFC 826),
//! IPv4 without fragments (RFC 791), UDP (RFC 768).

use std::net::Ipv4Addr;

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

pub(crate) const BROADCAST: Mac = [0xff; 6];

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// Shortest frame without its checksum; the hardware pads with zeros.
const SHORTEST: usize = 60;
/// Every capture of the ROM and of bootcode.bin shows it (boot-net.adoc).
const TTL: u8 = 128;

/// What a received frame holds, as far as it concerns the firmware.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    Arp(Arp),
    Udp(Udp<'a>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arp {
    pub request: bool,
    pub sender_mac: Mac,
    pub sender: Ipv4Addr,
    pub target: Ipv4Addr,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Udp<'a> {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub source_port: u16,
    pub destination_port: u16,
    pub payload: &'a [u8],
}

/// The ARP packet or UDP datagram in a frame for `mac` or for all; `None` for anything else.
pub(crate) fn parse(frame: &[u8], mac: Mac) -> Option<Received<'_>> {
    let (header, body) = frame.split_at_checked(14)?;
    if header[..6] != mac && header[..6] != BROADCAST {
        return None;
    }
    if header[12..] == ETHERTYPE_ARP {
        return parse_arp(body).map(Received::Arp);
    }
    if header[12..] == ETHERTYPE_IPV4 {
        return parse_udp(body).map(Received::Udp);
    }
    None
}

fn parse_arp(body: &[u8]) -> Option<Arp> {
    // Ethernet and IPv4, six and four bytes.
    if body.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let request = match body.get(6..8)? {
        [0, 1] => true,
        [0, 2] => false,
        _ => return None,
    };
    Some(Arp {
        request,
        sender_mac: body.get(8..14)?.try_into().ok()?,
        sender: address(body, 14)?,
        target: address(body, 24)?,
    })
}

fn parse_udp(body: &[u8]) -> Option<Udp<'_>> {
    let first = *body.first()?;
    let header_length = usize::from(first & 0x0f) * 4;
    let header = body.get(..header_length)?;
    let total = usize::from(word(body, 2)?);
    // Version 4, a whole header with a right sum, UDP, and no fragment: nothing here can reassemble.
    let fragment = word(body, 6)? & 0x3fff != 0;
    if first >> 4 != 4
        || header_length < 20
        || *body.get(9)? != 17
        || fragment
        || checksum(header) != 0
    {
        return None;
    }
    let datagram = body.get(header_length..total)?;
    let length = usize::from(word(datagram, 4)?);
    Some(Udp {
        source: address(body, 12)?,
        destination: address(body, 16)?,
        source_port: word(datagram, 0)?,
        destination_port: word(datagram, 2)?,
        payload: datagram.get(8..length)?,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

/// A UDP datagram in a frame: identification 0, no fragments, no UDP checksum.
pub(crate) fn udp(
    (from_mac, from, from_port): (Mac, Ipv4Addr, u16),
    (to_mac, to, to_port): (Mac, Ipv4Addr, u16),
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = ethernet(to_mac, from_mac, ETHERTYPE_IPV4);
    let length = (20 + 8 + payload.len()) as u16;
    let ip = frame.len();
    frame.extend([0x45, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0, 0, 0, TTL, 17, 0, 0]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    let sum = checksum(&frame[ip..]);
    frame[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());

    frame.extend(from_port.to_be_bytes());
    frame.extend(to_port.to_be_bytes());
    frame.extend((length - 20).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    padded(frame)
}

/// "Who has `target`? Tell `from`."
pub(crate) fn arp_request(from_mac: Mac, from: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    arp(1, (from_mac, from), (BROADCAST, [0; 6], target))
}

/// "`from` is at `from_mac`", to whoever asked.
pub(crate) fn arp_reply(from_mac: Mac, from: Ipv4Addr, to: &Arp) -> Vec<u8> {
    arp(2, (from_mac, from), (to.sender_mac, to.sender_mac, to.sender))
}

fn arp(
    operation: u8,
    (from_mac, from): (Mac, Ipv4Addr),
    (frame_to, to_mac, to): (Mac, Mac, Ipv4Addr),
) -> Vec<u8> {
    let mut frame = ethernet(frame_to, from_mac, ETHERTYPE_ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(from_mac);
    frame.extend(from.octets());
    frame.extend(to_mac);
    frame.extend(to.octets());
    padded(frame)
}

fn ethernet(to: Mac, from: Mac, kind: [u8; 2]) -> Vec<u8> {
    [&to[..], &from, &kind].concat()
}

fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(SHORTEST), 0);
    frame
}

/// RFC 1071; 0 over a header that carries its own right sum.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{ArpPacket, EthernetFrame, Ipv4Packet, UdpPacket};

    const ME: Mac = [0xb8, 0x27, 0xeb, 0x9d, 0xc1, 0x5a];
    const PEER: Mac = [2, 0, 0, 0, 0, 1];
    const A: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 101);
    const B: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 100);

    #[test]
    fn another_stack_reads_our_frames() {
        let frame = udp((ME, A, 49153), (PEER, B, 69), b"odd");
        assert_eq!(frame.len(), 60);
        let ethernet = EthernetFrame::new_checked(&frame[..]).unwrap();
        let ip = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
        assert!(ip.verify_checksum());
        assert_eq!((ip.hop_limit(), ip.ident(), ip.src_addr(), ip.dst_addr()), (128, 0, A, B));
        let udp = UdpPacket::new_checked(ip.payload()).unwrap();
        assert_eq!((udp.src_port(), udp.dst_port(), udp.checksum()), (49153, 69, 0));
        assert_eq!(udp.payload(), b"odd");

        let frame = arp_request(ME, A, B);
        assert_eq!(frame.len(), 60);
        let ethernet = EthernetFrame::new_checked(&frame[..]).unwrap();
        let arp = ArpPacket::new_checked(ethernet.payload()).unwrap();
        assert_eq!(arp.source_protocol_addr(), A.octets());
        assert_eq!(arp.target_protocol_addr(), B.octets());
        assert_eq!(arp.target_hardware_addr(), [0; 6]);
    }

    #[test]
    fn frames_come_back_as_they_went() {
        let frame = udp((PEER, B, 69), (ME, A, 49153), b"hello");
        let Some(Received::Udp(seen)) = parse(&frame, ME) else { panic!("no UDP") };
        assert_eq!((seen.source, seen.source_port), (B, 69));
        assert_eq!((seen.destination, seen.destination_port), (A, 49153));
        assert_eq!(seen.payload, b"hello");
        assert_eq!(parse(&frame, PEER), None, "not for this station");

        let asked = Arp { request: true, sender_mac: PEER, sender: B, target: A };
        let reply = arp_reply(ME, A, &asked);
        assert_eq!(
            parse(&reply, PEER),
            Some(Received::Arp(Arp { request: false, sender_mac: ME, sender: A, target: B }))
        );
    }

    #[test]
    fn fragments_and_bad_sums_are_ignored() {
        let good = udp((PEER, B, 69), (ME, A, 49153), b"hello");
        let mut bad = good.clone();
        bad[24] ^= 1;
        assert_eq!(parse(&bad, ME), None);
        let mut fragment = good;
        fragment[20] = 0x20;
        fragment[24..26].copy_from_slice(&[0, 0]);
        let sum = checksum(&fragment[14..34]);
        fragment[24..26].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(parse(&fragment, ME), None);
    }

    proptest! {
        #[test]
        fn any_frame_is_survived(
            mut frame in proptest::collection::vec(any::<u8>(), 0..80),
            head: [u8; 4],
        ) {
            // Let most of them through the first checks.
            for (at, value) in [(12, 8), (13, head[0] & 6), (14, 0x45), (23, 17)] {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            if let Some(to) = frame.get_mut(..6) {
                to.copy_from_slice(&ME);
            }
            let _ = parse(&frame, ME);
        }
    }
}
