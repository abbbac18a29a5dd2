//! The DISCOVER of the boot ROM, byte for byte, and what it reads of a reply (RFC 2131, RFC 2132,
//! RFC 4578 for the PXE options).

use std::net::Ipv4Addr;

use super::frame::Mac;
use crate::board::{DhcpProfile, MachineId};

pub(crate) const SERVER_PORT: u16 = 67;
pub(crate) const CLIENT_PORT: u16 = 68;

/// The transaction id of every DISCOVER of every board of this family.
const XID: [u8; 4] = [0x26, 0xf3, 0x03, 0x39];
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const VENDOR_CLASS: &[u8] = b"PXEClient:Arch:00000:UNDI:002001";

/// The payload of a DISCOVER: 320 bytes with twelve parameters asked for, 322 with fourteen.
pub(crate) fn discover(profile: &DhcpProfile, mac: Mac, serial: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(322);
    // BOOTREQUEST, Ethernet, six bytes of address, no hops.
    packet.extend([1, 1, 6, 0]);
    packet.extend(XID);
    // No seconds, no broadcast flag, no addresses.
    packet.extend([0; 20]);
    packet.extend(mac);
    // The rest of chaddr, sname and file.
    packet.extend([0; 10 + 64 + 128]);
    packet.extend(COOKIE);

    let mut option = |code: u8, value: &[u8]| {
        packet.extend([code, value.len() as u8]);
        packet.extend(value);
    };
    option(53, &[1]);
    option(55, profile.parameter_request);
    option(93, &[0, 0]);
    option(94, &[1, 2, 1]);
    let machine = match profile.machine_id {
        MachineId::Constant => vec![0x44; 16],
        MachineId::SerialFourTimes => serial.to_le_bytes().repeat(4),
    };
    option(97, &[&[0][..], &machine].concat());
    option(60, VENDOR_CLASS);
    packet.push(255);
    packet
}

/// What the firmware reads of an OFFER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    pub hops: u8,
    pub yiaddr: Option<Ipv4Addr>,
    pub siaddr: Option<Ipv4Addr>,
    /// Option 54.
    pub server_id: Option<Ipv4Addr>,
    /// Option 1.
    pub netmask: Option<Ipv4Addr>,
    /// The first of option 3.
    pub router: Option<Ipv4Addr>,
    /// Option 43, as sent.
    pub option43: Option<Vec<u8>>,
    /// Option 66.
    pub tftp_name: Option<String>,
}

/// An OFFER for this board; `None` for anything else.
pub(crate) fn parse_offer(packet: &[u8], mac: Mac) -> Option<Offer> {
    let reply = packet.first() == Some(&2)
        && packet.get(4..8)? == XID
        && packet.get(28..34)? == mac
        && packet.get(236..240)? == COOKIE;
    if !reply {
        return None;
    }
    let mut offer = Offer {
        hops: packet[3],
        yiaddr: specified(&packet[16..20]),
        siaddr: specified(&packet[20..24]),
        ..Offer::default()
    };
    let mut kind = None;
    for (code, value) in options(&packet[240..]) {
        match code {
            53 => kind = value.first().copied(),
            54 => offer.server_id = specified(value),
            1 => offer.netmask = specified(value),
            3 => offer.router = value.get(..4).and_then(specified),
            // Long options come in several parts, to be joined (RFC 3396).
            43 => offer.option43.get_or_insert_default().extend_from_slice(value),
            66 => {
                let text = String::from_utf8_lossy(value);
                offer.tftp_name = Some(text.trim_end_matches('\0').to_owned());
            }
            _ => {}
        }
    }
    (kind == Some(2)).then_some(offer)
}

/// An address that is not 0.0.0.0.
fn specified(bytes: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.try_into().ok()?;
    Some(Ipv4Addr::from(octets)).filter(|address| !address.is_unspecified())
}

/// The options up to END or the first that is cut off.
fn options(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            match rest {
                [0, after @ ..] => rest = after,
                [255, ..] | [] | [_] => return None,
                [code, length, after @ ..] => {
                    let (value, after) = after.split_at_checked(usize::from(*length))?;
                    rest = after;
                    return Some((*code, value));
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{BoardModel, BoardProfile};
    use dhcproto::v4::{DhcpOption, Message, OptionCode};
    use dhcproto::{Decodable, Decoder};
    use proptest::prelude::*;

    const MAC: Mac = [0xb8, 0x27, 0xeb, 0x6c, 0x4c, 0x16];

    #[test]
    fn another_codec_reads_our_discover() {
        let board = BoardProfile::of(BoardModel::Pi3BPlus);
        let packet = discover(&board.rom_dhcp, MAC, 0xb66c_4c16);
        assert_eq!(packet.len(), 322, "as tcpdump shows in raspberrypi/firmware#941");
        let message = Message::decode(&mut Decoder::new(&packet)).unwrap();
        assert_eq!(message.xid(), 0x26f3_0339);
        assert_eq!(message.xid(), 653_460_281, "as dnsmasq logs it");
        assert_eq!(message.chaddr(), MAC);
        assert!(!message.flags().broadcast());
        let options = message.opts();
        let Some(DhcpOption::ParameterRequestList(list)) =
            options.get(OptionCode::ParameterRequestList)
        else {
            panic!("no option 55")
        };
        let list: Vec<u8> = list.iter().map(|&code| code.into()).collect();
        assert_eq!(list, [43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66, 1, 3]);
        let Some(DhcpOption::ClassIdentifier(class)) = options.get(OptionCode::ClassIdentifier)
        else {
            panic!("no option 60")
        };
        assert_eq!(class, b"PXEClient:Arch:00000:UNDI:002001");
    }

    /// Hexxeh/rpi-firmware#269: `00:16:4c:6c:b6:16:4c:6c:b6:…` from the board with serial b66c4c16.
    #[test]
    fn option_97_carries_the_serial_backwards() {
        let board = BoardProfile::of(BoardModel::Pi3BPlus);
        let packet = discover(&board.rom_dhcp, MAC, 0xb66c_4c16);
        let machine = options(&packet[240..]).find(|(code, _)| *code == 97).unwrap().1;
        assert_eq!(machine[0], 0);
        assert_eq!(machine[1..], [0x16, 0x4c, 0x6c, 0xb6].repeat(4));
    }

    #[test]
    fn options_stand_in_the_roms_order() {
        let board = BoardProfile::of(BoardModel::Pi3B);
        let packet = discover(&board.rom_dhcp, MAC, 1);
        assert_eq!(packet.len(), 320, "as tcpdump shows in boot-net.adoc");
        let codes: Vec<u8> = options(&packet[240..]).map(|(code, _)| code).collect();
        assert_eq!(codes, [53, 55, 93, 94, 97, 60]);
        let machine = options(&packet[240..]).find(|(code, _)| *code == 97).unwrap().1;
        assert_eq!(machine[1..], [0x44; 16]);
        assert_eq!(packet.last(), Some(&255));
    }

    #[test]
    fn other_peoples_replies_are_not_ours() {
        let offer = super::super::testing::offer(MAC, |_| {});
        assert!(parse_offer(&offer, MAC).is_some());
        assert_eq!(parse_offer(&offer, [0; 6]), None);
        let other_xid = super::super::testing::offer(MAC, |packet| packet[4] = 0);
        assert_eq!(parse_offer(&other_xid, MAC), None);
        let ack = super::super::testing::offer(MAC, |packet| packet[242] = 5);
        assert_eq!(parse_offer(&ack, MAC), None);
    }

    proptest! {
        #[test]
        fn any_options_are_survived(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut packet = super::super::testing::offer(MAC, |_| {});
            packet.pop();
            packet.extend(&tail);
            let offer = parse_offer(&packet, MAC);
            let read: usize = options(&tail).map(|(_, value)| value.len() + 2).sum();
            prop_assert!(read <= tail.len());
            // A later option 53 may turn it into something else.
            prop_assert!(offer.is_some() || tail.contains(&53));
        }

        #[test]
        fn any_packet_is_survived(packet in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert_eq!(parse_offer(&packet, [1; 6]), None);
        }
    }
}
