//! Which ports of a host answer a stranger on its LAN.

use std::{
    collections::{BTreeSet, VecDeque},
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        EthernetRepr, Icmpv4Message, Icmpv4Packet, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl,
        TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
    },
};

use crate::{
    Mac, Port,
    frame::{BROADCAST, HEADER},
    router::udp_frame,
};

/// Questions that wait for an answer at the same time: fewer than a port of the LAN queues.
const AT_ONCE: usize = 256;
/// How often a port that is silent is asked: frames are lost, and a busy host drops some.
const TRIES: usize = 3;
/// A look at the clock of whoever waits.
const GLANCE: Duration = Duration::from_millis(50);
/// Where questions come from (RFC 6335: nobody's).
const FROM: u16 = 61_000;

/// A port of a transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// It accepts connections.
    Tcp(u16),
    /// It takes datagrams: the host does not say that nobody listens.
    Udp(u16),
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "{port}/tcp"),
            Self::Udp(port) => write!(f, "{port}/udp"),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanError {
    /// Nobody has that address, or whoever has it does not answer ARP.
    Silent,
    /// The LAN was shut down.
    Detached,
}

impl std::fmt::Display for ScanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Silent => "nobody at that address answers ARP",
            Self::Detached => "the LAN was shut down",
        })
    }
}

impl std::error::Error for ScanError {}

/// A station that belongs to nobody.
#[derive(Debug)]
pub struct Stranger<'a> {
    /// Where it is plugged in.
    pub port: &'a Port,
    /// Its hardware address.
    pub mac: Mac,
    /// Its address, of the same subnet as its victims.
    pub address: Ipv4Addr,
}

impl Stranger<'_> {
    /// The services of a host that answer, of all there can be. The host must not limit the rate of its ICMP errors: a UDP port
    /// of which it says nothing counts as open.
    ///
    /// `keep_waiting` is asked several times a second while answers are missing, with whether one has come since it was last
    /// asked; after its no, those that are missing are asked once more, or count as silent.
    ///
    /// # Errors
    /// [`ScanError`].
    pub fn scan(
        &self,
        host: Ipv4Addr,
        keep_waiting: &mut dyn FnMut(bool) -> bool,
    ) -> Result<BTreeSet<Service>, ScanError> {
        let mac = self.resolve(host, keep_waiting)?;
        let every = |service: fn(u16) -> Service| (1..=u16::MAX).map(service);
        let mut left: VecDeque<_> = every(Service::Tcp).chain(every(Service::Udp)).collect();
        let mut open = BTreeSet::new();
        for _ in 0..TRIES {
            let mut silent = VecDeque::new();
            while !left.is_empty() {
                let asked: Vec<_> = left.drain(..left.len().min(AT_ONCE)).collect();
                for service in &asked {
                    self.port.send(&self.question((mac, host), *service));
                }
                let mut missing: BTreeSet<_> = asked.into_iter().collect();
                self.listen((mac, host), &mut missing, &mut open, keep_waiting)?;
                silent.extend(missing);
            }
            left = silent;
        }
        open.extend(left.into_iter().filter(|service| matches!(service, Service::Udp(_))));
        Ok(open)
    }

    /// Takes from `missing` what is answered, and puts into `open` what is so with a yes.
    fn listen(
        &self,
        (mac, host): (Mac, Ipv4Addr),
        missing: &mut BTreeSet<Service>,
        open: &mut BTreeSet<Service>,
        keep_waiting: &mut dyn FnMut(bool) -> bool,
    ) -> Result<(), ScanError> {
        let mut came = true;
        while !missing.is_empty() {
            let Some(frame) = self.next()? else {
                if keep_waiting(came) {
                    came = false;
                    continue;
                }
                return Ok(());
            };
            if self.is_arp_for_us(&frame) {
                self.port.send(&self.arp(ArpOperation::Reply, mac, host));
            } else if let Some((service, is_open)) = self.answer(&frame, host)
                && missing.remove(&service)
            {
                came = true;
                if is_open {
                    open.insert(service);
                }
            }
        }
        Ok(())
    }

    fn next(&self) -> Result<Option<Vec<u8>>, ScanError> {
        let frame = self.port.recv(Instant::now() + GLANCE);
        if frame.is_none() && !self.port.is_attached() {
            return Err(ScanError::Detached);
        }
        Ok(frame)
    }

    fn resolve(
        &self,
        host: Ipv4Addr,
        keep_waiting: &mut dyn FnMut(bool) -> bool,
    ) -> Result<Mac, ScanError> {
        let mut came = true;
        for _ in 0..TRIES {
            self.port.send(&self.arp(ArpOperation::Request, BROADCAST, host));
            loop {
                let frame = self.next()?;
                if let Some(mac) = frame.as_deref().and_then(|frame| answers_arp(frame, host)) {
                    return Ok(mac);
                }
                if frame.is_none() && !keep_waiting(std::mem::take(&mut came)) {
                    break;
                }
            }
        }
        Err(ScanError::Silent)
    }

    fn ethernet(&self, to: Mac, ethertype: EthernetProtocol, length: usize) -> Vec<u8> {
        let header = EthernetRepr {
            src_addr: EthernetAddress(self.mac),
            dst_addr: EthernetAddress(to),
            ethertype,
        };
        let mut bytes = vec![0; header.buffer_len() + length];
        header.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
        bytes
    }

    fn arp(&self, operation: ArpOperation, to: Mac, address: Ipv4Addr) -> Vec<u8> {
        let packet = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: EthernetAddress(self.mac),
            source_protocol_addr: self.address,
            target_hardware_addr: EthernetAddress(to),
            target_protocol_addr: address,
        };
        let mut bytes = self.ethernet(to, EthernetProtocol::Arp, packet.buffer_len());
        packet.emit(&mut ArpPacket::new_unchecked(&mut bytes[HEADER..]));
        bytes
    }

    /// A SYN, or a datagram of one byte.
    fn question(&self, to: (Mac, Ipv4Addr), service: Service) -> Vec<u8> {
        match service {
            Service::Tcp(port) => self.syn(to, port),
            Service::Udp(dst_port) => {
                let udp = UdpRepr { src_port: FROM, dst_port };
                udp_frame((self.mac, self.address), to, udp, &[0])
            }
        }
    }

    fn syn(&self, (mac, host): (Mac, Ipv4Addr), dst_port: u16) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: FROM,
            dst_port,
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(0),
            ack_number: None,
            window_len: 1024,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let ip = Ipv4Repr {
            src_addr: self.address,
            dst_addr: host,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 64,
        };
        let sums = ChecksumCapabilities::default();
        let length = ip.buffer_len() + ip.payload_len;
        let mut bytes = self.ethernet(mac, EthernetProtocol::Ipv4, length);
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes[HEADER..]);
        ip.emit(&mut packet, &sums);
        let body = &mut TcpPacket::new_unchecked(packet.payload_mut());
        tcp.emit(body, &self.address.into(), &host.into(), &sums);
        bytes
    }

    fn is_arp_for_us(&self, frame: &[u8]) -> bool {
        matches!(arp(frame), Some(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            target_protocol_addr,
            ..
        }) if target_protocol_addr == self.address)
    }

    /// Of which service a frame speaks, and whether somebody is there. Who began a connection and forgets it is reset by the host
    /// in time.
    fn answer(&self, frame: &[u8], host: Ipv4Addr) -> Option<(Service, bool)> {
        let ip = EthernetFrame::new_checked(frame).ok()?;
        let ip = (ip.ethertype() == EthernetProtocol::Ipv4).then(|| ip.payload())?;
        let ip = Ipv4Packet::new_checked(ip).ok()?;
        if (ip.src_addr(), ip.dst_addr()) != (host, self.address) {
            return None;
        }
        match ip.next_header() {
            IpProtocol::Tcp => {
                let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
                Some((Service::Tcp(tcp.src_port()), tcp.syn() && !tcp.rst()))
            }
            IpProtocol::Udp => {
                let udp = UdpPacket::new_checked(ip.payload()).ok()?;
                Some((Service::Udp(udp.src_port()), true))
            }
            IpProtocol::Icmp => {
                let icmp = Icmpv4Packet::new_checked(ip.payload()).ok()?;
                let unreachable = icmp.msg_type() == Icmpv4Message::DstUnreachable;
                // What it is about: the header, and at least eight bytes behind it (RFC 792).
                let about = Ipv4Packet::new_unchecked(icmp.data());
                let header = usize::from(*icmp.data().first()? & 0x0f) * 4;
                let ports = icmp.data().get(header..header + 4)?;
                let udp = about.next_header() == IpProtocol::Udp;
                let port = u16::from_be_bytes([ports[2], ports[3]]);
                (unreachable && udp).then_some((Service::Udp(port), false))
            }
            _ => None,
        }
    }
}

fn arp(frame: &[u8]) -> Option<ArpRepr> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = (frame.ethertype() == EthernetProtocol::Arp).then(|| frame.payload())?;
    ArpRepr::parse(&ArpPacket::new_checked(packet).ok()?).ok()
}

fn answers_arp(frame: &[u8], host: Ipv4Addr) -> Option<Mac> {
    match arp(frame)? {
        ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr,
            source_protocol_addr,
            ..
        } if source_protocol_addr == host => Some(source_hardware_addr.0),
        _ => None,
    }
}
