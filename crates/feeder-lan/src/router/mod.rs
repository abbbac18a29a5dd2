//! The router: a node of its own on the LAN, as the box from the shop that every home network has.
//!
//! It answers ARP and ping, hands out addresses, resolves names, serves a directory over HTTP, and leads connections from the
//! host to guests. It routes nothing: there is no way from the LAN to the world.

mod device;
mod dhcp;
mod dns;
mod forward;
mod http;
mod http_server;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use rustix::event::PollFlags;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::udp;
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpCidr, IpProtocol, Ipv4Packet,
    Ipv4Repr, UdpPacket, UdpRepr,
};

pub(crate) use self::device::Device;
pub(crate) use self::dhcp::{DhcpConfig, DhcpServer, SERVER_PORT};
pub(crate) use self::forward::Source;

use self::dhcp::Reply;
use self::forward::Forwards;
use self::http_server::HttpServer;
use crate::config::{RouterConfig, is_host};
use crate::frame::{self, HEADER, Mac};
use crate::lease::{Lease, LeaseBook};
use crate::state::RouterState;

/// The router's hardware address: locally administered, the same in every LAN.
pub const ROUTER_MAC: Mac = [0x02, 0xfe, 0xed, 0x00, 0x00, 0x01];

/// How often the services are looked after in a row before frames of other nodes get their turn.
const ROUNDS: usize = 8;

/// The router.
pub(crate) struct Router {
    address: Ipv4Addr,
    subnet: Ipv4Net,
    names: BTreeMap<String, Ipv4Addr>,
    device: Device,
    interface: Interface,
    sockets: SocketSet<'static>,
    dhcp: DhcpServer,
    dns: SocketHandle,
    http: Option<HttpServer>,
    forwards: Forwards,
    leases: Arc<LeaseBook>,
    /// A frame came in or a host socket is ready: look without waiting for a timer.
    disturbed: bool,
    /// When the stack or a forward wants to be looked after without being disturbed.
    timer: Option<Duration>,
    /// Leases with a name that are new since the last look.
    named: Vec<Lease>,
}

impl Router {
    /// A router with checked settings. `seed` varies sequence numbers and ports.
    pub(crate) fn new(config: &RouterConfig, leases: Arc<LeaseBook>, seed: u64) -> Router {
        let mut device = Device::default();
        let mut settings = Config::new(EthernetAddress(ROUTER_MAC).into());
        settings.random_seed = seed;
        let mut interface = Interface::new(settings, &mut device, Instant::ZERO);
        let cidr = IpCidr::new(config.address.into(), config.subnet.prefix_len());
        interface.update_ip_addrs(|addresses| {
            // A fresh interface has room for one address.
            let _ = addresses.push(cidr);
        });

        let packets =
            || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 64 * 1024]);
        let mut dns = udp::Socket::new(packets(), packets());
        // A fresh socket binds to any port.
        let _ = dns.bind(dns::PORT);
        let mut sockets = SocketSet::new(Vec::new());
        let dns = sockets.add(dns);

        Router {
            address: config.address,
            subnet: config.subnet,
            names: config
                .names
                .iter()
                .map(|(name, address)| (name.to_ascii_lowercase(), *address))
                .collect(),
            device,
            interface,
            sockets,
            dhcp: DhcpServer::new(DhcpConfig {
                server: config.address,
                subnet: config.subnet,
                pool: config.pool.clone(),
                reservations: config.reservations.clone(),
                next_server: None,
                options: BTreeMap::new(),
            }),
            dns,
            http: config.http_root.clone().map(HttpServer::new),
            forwards: Forwards::new(seed),
            leases,
            disturbed: true,
            timer: None,
            named: Vec::new(),
        }
    }

    /// Opens a forward; gives the host's end of it.
    pub(crate) fn forward(&mut self, guest: SocketAddrV4) -> io::Result<SocketAddr> {
        self.forwards.open(guest)
    }

    /// Resets what is connected to a guest through forwards.
    pub(crate) fn hang_up(&mut self, guest: Ipv4Addr) {
        self.forwards.hang_up(guest, &mut self.sockets);
        self.disturbed = true;
    }

    /// What a router that goes on from here has to know.
    pub(crate) fn state(&self, now: Duration) -> RouterState {
        let next_port = Some(self.forwards.next_port());
        RouterState { dhcp: self.dhcp.state(now), next_port }
    }

    /// Goes on where another router was.
    pub(crate) fn restore(&mut self, now: Duration, state: &RouterState) {
        self.dhcp.restore(now, &state.dhcp);
        if let Some(port) = state.next_port {
            self.forwards.set_next_port(port);
        }
        self.publish_leases();
        self.disturbed = true;
    }

    /// Takes a frame from the LAN.
    pub(crate) fn receive(&mut self, now: Duration, bytes: &[u8]) {
        if !frame::destination(bytes).is_some_and(|to| to == ROUTER_MAC || frame::is_group(to)) {
            return;
        }
        self.disturbed = true;
        // DHCP is answered beside the stack: replies go to clients that have no address yet, which ARP cannot find.
        match frame::udp(bytes) {
            Some(udp) if udp.destination.1 == dhcp::SERVER_PORT => {
                if !frame::is_sound_udp(bytes) {
                    return; // damaged on its way
                }
                if let Some(reply) = self.dhcp.handle(now, udp.payload) {
                    self.device.send(dhcp_frame((ROUTER_MAC, self.address), &reply));
                }
                self.publish_leases();
            }
            _ if self.is_answerable(bytes) => self.device.receive(bytes),
            _ => {}
        }
    }

    /// False for a packet from an address outside the network: there is no route for an answer, and smoltcp would try to
    /// send it for ever, without pause.
    fn is_answerable(&self, bytes: &[u8]) -> bool {
        frame::ipv4_source(bytes).is_none_or(|source| is_host(self.subnet, source))
    }

    /// Takes note that a host socket is ready.
    pub(crate) fn ready(&mut self, source: Source, events: PollFlags) {
        self.forwards.ready(source, events);
        self.disturbed = true;
    }

    /// The host sockets to poll.
    pub(crate) fn poll_set<'a>(&'a self, add: impl FnMut(BorrowedFd<'a>, PollFlags, Source)) {
        self.forwards.poll_set(&self.sockets, add);
    }

    /// When [`Router::run`] wants to be called next; `None`: when something comes in.
    pub(crate) fn due(&self, now: Duration) -> Option<Duration> {
        if self.disturbed { Some(now) } else { self.timer }
    }

    /// Does everything that is to be done now. Frames to send are then at [`Router::next_frame`].
    pub(crate) fn run(&mut self, now: Duration) {
        if self.due(now).is_none_or(|due| due > now) {
            return;
        }
        // Still disturbed after the last round: there is more to do when the other nodes had their turn.
        for _ in 0..ROUNDS {
            self.disturbed = self.round(now);
            if !self.disturbed {
                break;
            }
        }
        let stack = self.interface.poll_at(instant(now), &self.sockets);
        let stack =
            stack.map(|at| Duration::from_micros(at.total_micros().try_into().unwrap_or(0)));
        self.timer = [stack, self.forwards.due()].into_iter().flatten().min();
    }

    /// Lets the stack and each service work once. True: something happened.
    fn round(&mut self, now: Duration) -> bool {
        let news = self.interface.poll(instant(now), &mut self.device, &mut self.sockets);
        let mut changed = news == PollResult::SocketStateChanged;
        changed |= self.answer_names();
        if let Some(http) = &mut self.http {
            changed |= http.serve(now, &mut self.sockets);
        }
        changed | self.forwards.serve(now, &mut self.interface, &mut self.sockets)
    }

    /// The next frame that the router sends.
    pub(crate) fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.device.next()
    }

    /// Leases whose client told its name, since the last call.
    pub(crate) fn new_names(&mut self) -> Vec<Lease> {
        std::mem::take(&mut self.named)
    }

    fn publish_leases(&mut self) {
        let now: Vec<Lease> = self.dhcp.leases().collect();
        let before = self.leases.all();
        self.named.extend(
            now.iter().filter(|lease| lease.hostname.is_some() && !before.contains(lease)).cloned(),
        );
        self.leases.set(now);
    }

    fn answer_names(&mut self) -> bool {
        let Router { names, dhcp, .. } = self;
        let lookup = |name: &str| {
            let client = || {
                dhcp.leases().find(|lease| {
                    lease.hostname.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name))
                })
            };
            names.get(name).copied().or_else(|| client().map(|lease| lease.address))
        };
        let socket = self.sockets.get_mut::<udp::Socket>(self.dns);
        let mut answered = false;
        while socket.can_send()
            && let Ok((query, from)) = socket.recv()
        {
            if let Some(response) = dns::answer(query, lookup) {
                // No room: the client asks again.
                answered |= socket.send_slice(&response, from.endpoint).is_ok();
            }
        }
        answered
    }
}

/// A frame from the DHCP server to a client.
pub(crate) fn dhcp_frame((mac, server): (Mac, Ipv4Addr), reply: &Reply) -> Vec<u8> {
    let udp = UdpRepr { src_port: dhcp::SERVER_PORT, dst_port: dhcp::CLIENT_PORT };
    udp_frame((mac, server), (reply.mac, reply.address), udp, &reply.payload)
}

/// A UDP datagram in a frame.
pub(crate) fn udp_frame(
    from: (Mac, Ipv4Addr),
    to: (Mac, Ipv4Addr),
    udp: UdpRepr,
    payload: &[u8],
) -> Vec<u8> {
    let ip = Ipv4Repr {
        src_addr: from.1,
        dst_addr: to.1,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + payload.len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(from.0),
        dst_addr: EthernetAddress(to.0),
        ethertype: EthernetProtocol::Ipv4,
    };
    let checksums = ChecksumCapabilities::default();
    let mut bytes = vec![0; HEADER + ip.buffer_len() + ip.payload_len];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    ethernet.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &from.1.into(),
        &to.1.into(),
        payload.len(),
        |to| to.copy_from_slice(payload),
        &checksums,
    );
    bytes
}

fn instant(now: Duration) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::TcpStream;

    use super::*;

    const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 20);

    fn router() -> Router {
        let config = RouterConfig::home("192.168.50.0/24".parse().expect("a network"));
        Router::new(&config, Arc::new(LeaseBook::default()), 1)
    }

    /// Connects a host socket to a forward which leads to nobody.
    fn connecting(router: &mut Router) -> TcpStream {
        let address = router.forward(SocketAddrV4::new(GUEST, 22)).expect("a forward");
        let host = TcpStream::connect(address).expect("the forward listens");
        host.set_nonblocking(true).expect("non-blocking");
        router.ready(Source::Listener(0), PollFlags::IN);
        router.run(Duration::ZERO);
        host
    }

    fn frames(router: &mut Router) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| router.next_frame()).collect()
    }

    #[test]
    fn a_guest_that_never_answers_costs_thirty_seconds_of_asking() {
        let mut router = router();
        let mut host = connecting(&mut router);
        let mut asked = 0;
        let mut now = Duration::ZERO;
        // Follow its timers, as the poll loop does, up to the moment before the limit.
        while let Some(due) = router.due(now).filter(|due| *due < Duration::from_secs(30)) {
            now = due.max(now + Duration::from_millis(1));
            router.run(now);
            asked += frames(&mut router).iter().filter(|bytes| frame::is_arp(bytes)).count();
            assert!(now < Duration::from_secs(31), "its timers go nowhere");
        }
        assert!((5..=31).contains(&asked), "asked {asked} times who has the address");
        assert_eq!(
            host.read(&mut [0]).expect_err("still connecting").kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(router.due(now), Some(Duration::from_secs(30)));
        router.run(Duration::from_secs(30));
        assert_eq!(host.read(&mut [0]).expect_err("given up").kind(), ErrorKind::ConnectionReset);
        router.run(Duration::from_secs(31));
        assert_eq!(router.due(Duration::from_secs(31)), None, "nothing is left of it");
    }

    #[test]
    fn a_damaged_dhcp_request_is_not_answered() {
        let mut router = router();
        let mut discover = vec![0; 240];
        discover[..3].copy_from_slice(&[1, 1, 6]); // BOOTREQUEST of a client on Ethernet
        discover[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        discover[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        discover.extend([53, 1, 1, 255]);
        let mut bytes = request(discover);
        router.receive(Duration::ZERO, &bytes);
        assert_eq!(frames(&mut router).len(), 1, "an offer");
        // Its hardware address.
        bytes[HEADER + 20 + 8 + 30] ^= 1;
        router.receive(Duration::ZERO, &bytes);
        assert_eq!(frames(&mut router).len(), 0);
    }

    /// A frame from a DHCP client.
    fn request(payload: Vec<u8>) -> Vec<u8> {
        let udp = UdpRepr { src_port: dhcp::CLIENT_PORT, dst_port: dhcp::SERVER_PORT };
        let client = ([2, 0, 0, 0, 0, 1], Ipv4Addr::UNSPECIFIED);
        udp_frame(client, (frame::BROADCAST, Ipv4Addr::BROADCAST), udp, &payload)
    }

    #[test]
    fn frames_for_others_and_from_nowhere_are_left_alone() {
        let mut router = router();
        router.run(Duration::ZERO);
        for bytes in
            [&[][..], &[0xff; 13], &[[0x02; 12].as_slice(), &[0x08, 0x00]].concat(), &[0xff; 60]]
        {
            router.receive(Duration::ZERO, bytes);
            router.run(Duration::ZERO);
        }
        assert!(frames(&mut router).is_empty());
    }
}
