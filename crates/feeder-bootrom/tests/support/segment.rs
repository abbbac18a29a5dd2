//! An Ethernet segment with a router and a boot server, without I/O. Frames are read and made by
//! smoltcp, DHCP by dhcproto, so the twin is not measured against itself.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use super::MAC;
use super::tree::Files;

pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);
pub const MASTER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 100);
pub const BOARD: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 57);

/// What dnsmasq sends for `pxe-service=0,"TEXT"`.
pub fn option43(text: &str) -> Vec<u8> {
    let menu = [&[0, 0, text.len() as u8], text.as_bytes()].concat();
    [&[6, 1, 3, 10, 4, 0], &b"PXE"[..], &[9, menu.len() as u8], &menu, &[255]].concat()
}

pub struct Segment {
    /// The router's OFFER: `None` for a router without DHCP.
    pub router_offers: bool,
    /// siaddr of the router's OFFER.
    pub router_siaddr: Option<Ipv4Addr>,
    /// Option 43 of the master's proxy; `None` for no proxy at all.
    pub proxy: Option<Vec<u8>>,
    /// Whether the master answers ARP and TFTP.
    pub master_up: bool,
    pub files: Files,
    /// Files whose requests are never answered.
    pub silent: Vec<String>,
    /// Whether the server knows RFC 2347.
    pub options: bool,
    /// An ARP request of the master's for the board, sent with the first DATA of this file.
    pub asks_during: Option<String>,
    /// What the board asked of TFTP: name, source port, then `got`, `missing`, `probed` or `silence`.
    pub log: Vec<(String, u16, &'static str)>,
    /// Times and payload lengths of DISCOVERs.
    pub discovers: Vec<(Duration, usize)>,
    /// ARP replies of the board.
    pub arp_replies: usize,
    transfers: BTreeMap<u16, Transfer>,
    next_port: u16,
}

struct Transfer {
    file: String,
    /// Where in the log.
    entry: usize,
    block: u64,
    block_size: usize,
    board_port: u16,
}

impl Segment {
    pub fn new(files: Files) -> Self {
        Self {
            router_offers: true,
            router_siaddr: None,
            proxy: Some(option43("Raspberry Pi Boot   ")),
            master_up: true,
            files,
            silent: Vec::new(),
            options: true,
            asks_during: None,
            log: Vec::new(),
            discovers: Vec::new(),
            arp_replies: 0,
            transfers: BTreeMap::new(),
            next_port: 33_000,
        }
    }

    /// The log as text, one request per line.
    pub fn requests(&self) -> Vec<String> {
        self.log.iter().map(|(name, _, how)| format!("{name} {how}")).collect()
    }

    pub fn receive(&mut self, now: Duration, frame: &[u8]) -> Vec<Vec<u8>> {
        let ethernet = EthernetFrame::new_checked(frame).expect("a whole frame");
        assert_eq!(ethernet.src_addr().0, MAC);
        match ethernet.ethertype() {
            EthernetProtocol::Arp => self.arp(ethernet.payload()),
            EthernetProtocol::Ipv4 => {
                let ip = Ipv4Packet::new_checked(ethernet.payload()).expect("whole IPv4");
                assert!(ip.verify_checksum());
                let udp = UdpPacket::new_checked(ip.payload()).expect("whole UDP");
                assert_eq!(udp.checksum(), 0);
                if udp.dst_port() == 67 {
                    self.dhcp(now, udp.payload())
                } else {
                    assert_eq!(ip.src_addr(), BOARD);
                    assert_eq!(ethernet.dst_addr(), mac(ip.dst_addr()));
                    if ip.dst_addr() != MASTER {
                        return Vec::new();
                    }
                    self.tftp(udp.src_port(), udp.dst_port(), udp.payload())
                }
            }
            other => panic!("the board sent {other}"),
        }
    }

    fn arp(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let arp =
            ArpPacket::new_checked(packet).and_then(|p| ArpRepr::parse(&p)).expect("sound ARP");
        let ArpRepr::EthernetIpv4 { operation, target_protocol_addr, .. } = arp else {
            panic!("not for Ethernet and IPv4")
        };
        if operation == ArpOperation::Reply {
            self.arp_replies += 1;
            return Vec::new();
        }
        let up =
            target_protocol_addr == ROUTER || (target_protocol_addr == MASTER && self.master_up);
        if !up {
            return Vec::new();
        }
        vec![arp_frame(ArpOperation::Reply, target_protocol_addr, MAC)]
    }

    fn dhcp(&mut self, now: Duration, payload: &[u8]) -> Vec<Vec<u8>> {
        self.discovers.push((now, payload.len()));
        let discover = Message::decode(&mut Decoder::new(payload)).expect("a sound DISCOVER");
        assert_eq!(discover.opts().msg_type(), Some(MessageType::Discover));
        let mut replies = Vec::new();
        if self.router_offers {
            let mut offer = reply_to(&discover, ROUTER);
            offer.set_yiaddr(BOARD);
            if let Some(siaddr) = self.router_siaddr {
                offer.set_siaddr(siaddr);
            }
            offer.opts_mut().insert(DhcpOption::SubnetMask([255, 255, 255, 0].into()));
            offer.opts_mut().insert(DhcpOption::Router(vec![ROUTER]));
            // A router answers the offered address, dnsmasq's proxy answers everybody.
            replies.push(udp_frame(ROUTER, 67, BOARD, 68, &encoded(&offer)));
        }
        if let Some(option43) = &self.proxy {
            let mut offer = reply_to(&discover, MASTER);
            offer.opts_mut().insert(DhcpOption::ClassIdentifier(b"PXEClient".into()));
            offer.opts_mut().insert(DhcpOption::Unknown(UnknownOption::new(
                OptionCode::VendorExtensions,
                option43.clone(),
            )));
            replies.push(udp_frame(MASTER, 67, Ipv4Addr::BROADCAST, 68, &encoded(&offer)));
        }
        replies
    }

    fn tftp(&mut self, board_port: u16, to: u16, payload: &[u8]) -> Vec<Vec<u8>> {
        if !self.master_up {
            return Vec::new();
        }
        if to == 69 {
            return self.request(board_port, payload);
        }
        let Some(transfer) = self.transfers.get_mut(&to) else { return Vec::new() };
        assert_eq!(transfer.board_port, board_port);
        if payload[..2] == [0, 5] {
            assert_eq!(payload[2..], *b"\0\0Early terminate\0");
            self.log[transfer.entry].2 = "probed";
            self.transfers.remove(&to);
            return Vec::new();
        }
        assert_eq!(payload[..2], [0, 4], "acknowledgement expected");
        assert_eq!(payload[2..], (transfer.block as u16).to_be_bytes(), "of the block sent");
        if self.files[&transfer.file].len() < transfer.block as usize * transfer.block_size {
            self.log[transfer.entry].2 = "got";
            self.transfers.remove(&to);
            return Vec::new();
        }
        transfer.block += 1;
        self.send(to)
    }

    fn request(&mut self, board_port: u16, payload: &[u8]) -> Vec<Vec<u8>> {
        let words: Vec<_> = payload[2..]
            .split(|&byte| byte == 0)
            .map(|word| String::from_utf8(word.to_vec()).expect("a request in ASCII"))
            .collect();
        assert_eq!((payload[1], words[1].as_str()), (1, "octet"));
        let name = words[0].clone();
        let entry = self.log.len();
        if self.silent.contains(&name) {
            self.log.push((name, board_port, "silence"));
            return Vec::new();
        }
        let Some(file) = self.files.get(&name) else {
            self.log.push((name.clone(), board_port, "missing"));
            let error = format!("\0\x05\0\x01file /srv/tftp/{name} not found\0");
            return vec![udp_frame(MASTER, 69, BOARD, board_port, error.as_bytes())];
        };
        let option = |wanted: &str| {
            let at = words.iter().skip(2).position(|word| word == wanted)?;
            words.get(at + 3)
        };
        let size = option("tsize").map(|_| file.len());
        let block_size = option("blksize").and_then(|size| size.parse().ok()).unwrap_or(512);
        self.log.push((name.clone(), board_port, "broken off"));
        self.next_port += 1;
        let port = self.next_port;
        let oack = self.options && size.is_some();
        let block_size = if self.options { block_size } else { 512 };
        let transfer =
            Transfer { file: name, entry, block: u64::from(!oack), block_size, board_port };
        self.transfers.insert(port, transfer);
        self.send(port)
    }

    fn send(&self, port: u16) -> Vec<Vec<u8>> {
        let transfer = &self.transfers[&port];
        let file = &self.files[&transfer.file];
        if transfer.block == 0 {
            let mut oack = format!("\0\x06tsize\0{}\0", file.len());
            if transfer.block_size != 512 {
                oack += &format!("blksize\0{}\0", transfer.block_size);
            }
            return vec![udp_frame(MASTER, port, BOARD, transfer.board_port, oack.as_bytes())];
        }
        let start = file.len().min(transfer.block_size * (transfer.block as usize - 1));
        let end = file.len().min(start + transfer.block_size);
        let data =
            [&[0, 3], &(transfer.block as u16).to_be_bytes()[..], &file[start..end]].concat();
        let mut frames = Vec::new();
        if transfer.block == 1 && self.asks_during.as_ref() == Some(&transfer.file) {
            frames.push(arp_frame(ArpOperation::Request, MASTER, [0xff; 6]));
        }
        frames.push(udp_frame(MASTER, port, BOARD, transfer.board_port, &data));
        frames
    }
}

fn mac(address: Ipv4Addr) -> EthernetAddress {
    EthernetAddress([2, 0, 0, 0, 0, address.octets()[3]])
}

fn reply_to(discover: &Message, server: Ipv4Addr) -> Message {
    let mut offer = Message::default();
    offer.set_opcode(Opcode::BootReply).set_xid(discover.xid()).set_chaddr(discover.chaddr());
    offer.opts_mut().insert(DhcpOption::MessageType(MessageType::Offer));
    offer.opts_mut().insert(DhcpOption::ServerIdentifier(server));
    offer
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).expect("encodable");
    bytes
}

fn arp_frame(operation: ArpOperation, from: Ipv4Addr, to: [u8; 6]) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: mac(from),
        source_protocol_addr: from,
        target_hardware_addr: EthernetAddress(if operation == ArpOperation::Reply {
            to
        } else {
            [0; 6]
        }),
        target_protocol_addr: BOARD,
    };
    ethernet(mac(from), EthernetAddress(to), EthernetProtocol::Arp, arp.buffer_len(), |buffer| {
        arp.emit(&mut ArpPacket::new_unchecked(buffer));
    })
}

fn udp_frame(
    from: Ipv4Addr,
    from_port: u16,
    to: Ipv4Addr,
    to_port: u16,
    payload: &[u8],
) -> Vec<u8> {
    let udp = UdpRepr { src_port: from_port, dst_port: to_port };
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + payload.len(),
        hop_limit: 64,
    };
    let to_mac = if to.is_broadcast() { EthernetAddress::BROADCAST } else { EthernetAddress(MAC) };
    let length = ip.buffer_len() + ip.payload_len;
    ethernet(mac(from), to_mac, EthernetProtocol::Ipv4, length, |buffer| {
        let sums = ChecksumCapabilities::default();
        let mut packet = Ipv4Packet::new_unchecked(buffer);
        ip.emit(&mut packet, &sums);
        udp.emit(
            &mut UdpPacket::new_unchecked(packet.payload_mut()),
            &from.into(),
            &to.into(),
            payload.len(),
            |buffer| buffer.copy_from_slice(payload),
            &sums,
        );
    })
}

fn ethernet(
    from: EthernetAddress,
    to: EthernetAddress,
    ethertype: EthernetProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let repr = EthernetRepr { src_addr: from, dst_addr: to, ethertype };
    let mut bytes = vec![0; repr.buffer_len() + length];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    repr.emit(&mut frame);
    fill(frame.payload_mut());
    bytes
}
