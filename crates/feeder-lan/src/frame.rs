//! Reading Ethernet frames: just enough for forwarding, for filters and for the router.

use std::net::Ipv4Addr;

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket,
};

/// A hardware address, in the order of transmission.
pub type Mac = [u8; 6];

/// Destination, source and type: no frame is shorter.
pub const HEADER: usize = 14;

/// The address that every node listens to.
pub const BROADCAST: Mac = [0xff; 6];

/// Where the frame wants to go. `None`: too short to be a frame.
pub fn destination(frame: &[u8]) -> Option<Mac> {
    frame.first_chunk().copied()
}

/// Who sent the frame. `None`: too short to be a frame.
pub fn source(frame: &[u8]) -> Option<Mac> {
    frame.get(6..12)?.first_chunk().copied()
}

/// True for group addresses, broadcast among them (IEEE 802: lowest bit of the first byte).
pub fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

/// A UDP datagram inside a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp<'a> {
    /// Sender's address and port.
    pub source: (Ipv4Addr, u16),
    /// Receiver's address and port.
    pub destination: (Ipv4Addr, u16),
    /// What it carries.
    pub payload: &'a [u8],
}

/// The UDP datagram in an IPv4 frame. `None` for anything else: other protocols, fragments, wrong lengths.
/// Checksums are not looked at.
pub fn udp(frame: &[u8]) -> Option<Udp<'_>> {
    let ip = ipv4(frame)?;
    if ip.next_header() != IpProtocol::Udp {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    let payload_length = usize::from(udp.len()).checked_sub(8)?;
    Some(Udp {
        source: (ip.src_addr(), udp.src_port()),
        destination: (ip.dst_addr(), udp.dst_port()),
        payload: ip.payload().get(8..8 + payload_length)?,
    })
}

/// True if the checksums of an IPv4 frame with a UDP datagram are right; UDP may do without (RFC 768).
pub(crate) fn is_sound_udp(frame: &[u8]) -> bool {
    ipv4(frame).is_some_and(|ip| {
        let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
        ip.verify_checksum()
            && UdpPacket::new_checked(ip.payload()).is_ok_and(|udp| udp.verify_checksum(&from, &to))
    })
}

/// Source and destination port of a TCP segment in an IPv4 frame. `None` for anything else.
pub fn tcp_ports(frame: &[u8]) -> Option<(u16, u16)> {
    let ip = ipv4(frame)?;
    if ip.next_header() != IpProtocol::Tcp {
        return None;
    }
    let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
    Some((tcp.src_port(), tcp.dst_port()))
}

/// True for ARP frames.
pub fn is_arp(frame: &[u8]) -> bool {
    EthernetFrame::new_checked(frame).is_ok_and(|eth| eth.ethertype() == EthernetProtocol::Arp)
}

/// Who asks for the hardware address of `wanted`: hardware and IPv4 address (RFC 826). `None`: it is no such question.
pub(crate) fn arp_request(frame: &[u8], wanted: Ipv4Addr) -> Option<(Mac, Ipv4Addr)> {
    const REQUEST: [u8; 8] = [0, 1, 0x08, 0, 6, 4, 0, 1];
    let arp = frame.get(HEADER..HEADER + 28).filter(|_| is_arp(frame))?;
    if !arp.starts_with(&REQUEST) || arp[24..28] != wanted.octets() {
        return None;
    }
    let address: [u8; 4] = *arp[14..].first_chunk()?;
    Some((*arp[8..].first_chunk()?, address.into()))
}

/// Tells `asker` the hardware address of `own`.
pub(crate) fn arp_reply(own: (Mac, Ipv4Addr), asker: (Mac, Ipv4Addr)) -> Vec<u8> {
    const REPLY: [u8; 10] = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2];
    let (own_address, asker_address) = (own.1.octets(), asker.1.octets());
    let parts: [&[u8]; 7] =
        [&asker.0, &own.0, &REPLY, &own.0, &own_address, &asker.0, &asker_address];
    parts.concat()
}

/// The sender's address of an IPv4 frame, fragments included. `None` for anything else.
pub(crate) fn ipv4_source(frame: &[u8]) -> Option<Ipv4Addr> {
    packet(frame).map(|ip| ip.src_addr())
}

/// A whole IPv4 packet. A fragment has no ports of its own, or only half of what belongs to them.
fn ipv4(frame: &[u8]) -> Option<Ipv4Packet<&[u8]>> {
    packet(frame).filter(|ip| ip.frag_offset() == 0 && !ip.more_frags())
}

fn packet(frame: &[u8]) -> Option<Ipv4Packet<&[u8]>> {
    let eth = EthernetFrame::new_checked(frame).ok()?;
    if eth.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    Ipv4Packet::new_checked(frame.get(HEADER..)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A DNS query and a TCP SYN, as a Linux guest sends them.
    const UDP: &[u8] = b"\x02\xfe\xed\0\0\x01\x02\0\0\0\0\x01\x08\0\x45\0\0\x20\0\0\x40\0\x40\x11\0\0\xc0\xa8\x32\x14\xc0\xa8\x32\x01\x80\x01\0\x35\0\x0c\0\0rest";
    const TCP: &[u8] = b"\x02\xfe\xed\0\0\x01\x02\0\0\0\0\x01\x08\0\x45\0\0\x28\0\0\x40\0\x40\x06\0\0\xc0\xa8\x32\x14\xc0\xa8\x32\x01\x80\x01\0\x50\0\0\0\0\0\0\0\0\x50\x02\0\0\0\0\0\0";

    #[test]
    fn datagrams_and_segments_are_told_apart() {
        let (guest, router) = (Ipv4Addr::new(192, 168, 50, 20), Ipv4Addr::new(192, 168, 50, 1));
        assert_eq!(
            udp(UDP),
            Some(Udp { source: (guest, 0x8001), destination: (router, 53), payload: b"rest" })
        );
        assert_eq!((udp(TCP), tcp_ports(TCP)), (None, Some((0x8001, 80))));
        assert_eq!(tcp_ports(UDP), None);
        assert_eq!(ipv4_source(TCP), Some(guest));
        assert_eq!(
            (destination(UDP), source(UDP)),
            (Some([2, 0xfe, 0xed, 0, 0, 1]), Some([2, 0, 0, 0, 0, 1]))
        );
        assert!(!is_arp(UDP));
    }

    #[test]
    fn fragments_have_no_ports() {
        let mut fragment = UDP.to_vec();
        fragment[20] = 0x20; // more follow
        assert_eq!(udp(&fragment), None);
        assert!(ipv4_source(&fragment).is_some());
    }

    proptest! {
        #[test]
        fn damaged_frames_are_survived(at in 0..UDP.len(), byte in any::<u8>(), length in 0..=UDP.len()) {
            let mut frame = UDP.to_vec();
            frame[at] = byte;
            frame.truncate(length);
            udp(&frame);
            tcp_ports(&frame);
            ipv4_source(&frame);
            is_arp(&frame);
        }
    }
}
