//! A recorded conversation with a real dnsmasq, and whatever bytes there are.

use proptest::prelude::*;

use crate::{dhcp, frame};

/// Every DHCP message of `netboot-dnsmasq.pcap`.
fn recorded() -> Vec<dhcp::Message> {
    let bytes = include_bytes!("../../../fixtures/bootrom/netboot-dnsmasq.pcap");
    let mut reader = pcap_file::pcap::PcapReader::new(bytes.as_slice()).unwrap();
    let mut messages = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        if let Some(frame::Packet { to, body: frame::Body::Udp(payload), .. }) =
            frame::parse(&packet.data)
            && [dhcp::SERVER_PORT, dhcp::CLIENT_PORT].contains(&to.1)
        {
            messages.extend(dhcp::parse(payload));
        }
    }
    messages
}

#[test]
fn a_board_a_router_and_a_proxy() {
    let line = |message: &dhcp::Message| {
        let dhcp::Message { kind, xid, server, yiaddr, .. } = message;
        format!(
            "{kind} {xid:08x} server {server:?} yiaddr {yiaddr:?} asks for {} machine {:02x?} text {:?}",
            message.parameters.as_deref().map_or(0, <[u8]>::len),
            message.machine_id.as_deref().unwrap_or_default(),
            message.option43.as_deref().and_then(dhcp::text),
        )
    };
    let lines: Vec<String> = recorded().iter().map(line).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Some(frame::Packet { body: frame::Body::Udp(payload), .. }) = frame::parse(&bytes) {
            prop_assert!(payload.len() < bytes.len());
        }
        let mut packet = bytes;
        packet.splice(0..0, [0; 240]);
        packet[1..3].copy_from_slice(&[1, 6]);
        packet[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        // Without option 53 it is no message.
        prop_assert!(dhcp::parse(&packet).is_none() || packet[240..].contains(&53));
    }
}
