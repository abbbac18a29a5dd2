//! The router's DHCP server, as found in any home router (RFC 2131, RFC 2132). No I/O: packets and time in, packets out.
//!
//! Clients are told apart by their hardware address alone, so that a board keeps its address from its boot firmware (which
//! sends no client identifier) through its kernel to its network daemon (which sends another one each). The router's says nothing about
//! booting: no option 43, no next server, no boot file; that is the boot server's business.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable, Encodable};
use ipnet::Ipv4Net;

use crate::frame::{BROADCAST, Mac};
use crate::lease::Lease;
use crate::state::{DhcpClient, DhcpState};

/// The server's port.
pub(crate) const SERVER_PORT: u16 = 67;
/// The clients' port.
pub(crate) const CLIENT_PORT: u16 = 68;

const LEASE_TIME: Duration = Duration::from_secs(12 * 3600);
/// How long an offered address is kept for the client that asked.
const OFFER_TIME: Duration = Duration::from_secs(60);
/// How long an address is left alone that a client found in use.
const DECLINE_TIME: Duration = Duration::from_secs(600);
/// BOOTP clients may expect packets to be at least this long (RFC 1542, section 2.1).
const MIN_PACKET: usize = 300;

/// Length of the fixed part of a packet, magic number included (RFC 2131, section 2; RFC 1497).
const FIXED: usize = 240;
/// The options that the server looks at.
const WANTED: [OptionCode; 4] = [
    OptionCode::Hostname,
    OptionCode::RequestedIpAddress,
    OptionCode::MessageType,
    OptionCode::ServerIdentifier,
];

/// What the server hands out.
#[derive(Debug, Clone)]
pub(crate) struct DhcpConfig {
    pub(crate) server: Ipv4Addr,
    pub(crate) subnet: Ipv4Net,
    pub(crate) pool: RangeInclusive<Ipv4Addr>,
    pub(crate) reservations: BTreeMap<Mac, Ipv4Addr>,
    /// Where clients are told to boot from.
    pub(crate) next_server: Option<Ipv4Addr>,
    /// Further options, by number.
    pub(crate) options: BTreeMap<u8, Vec<u8>>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct DhcpServer {
    config: DhcpConfig,
    clients: BTreeMap<Mac, Client>,
    declined: BTreeMap<Ipv4Addr, Duration>,
}

#[derive(Debug, Clone)]
struct Client {
    address: Ipv4Addr,
    hostname: Option<String>,
    bound: bool,
    expires: Duration,
}

/// A packet to send from the server's port to the clients' port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) mac: Mac,
    pub(crate) address: Ipv4Addr,
    pub(crate) payload: Vec<u8>,
}

impl DhcpServer {
    pub(crate) fn new(config: DhcpConfig) -> DhcpServer {
        DhcpServer { config, clients: BTreeMap::new(), declined: BTreeMap::new() }
    }

    /// The addresses in use.
    pub(crate) fn leases(&self) -> impl Iterator<Item = Lease> {
        self.clients.iter().filter(|(_, client)| client.bound).map(|(mac, client)| Lease {
            mac: *mac,
            address: client.address,
            hostname: client.hostname.clone(),
        })
    }

    /// What it remembers at `now`.
    pub(crate) fn state(&self, now: Duration) -> DhcpState {
        let left = |until: Duration| Some(until.saturating_sub(now)).filter(|left| !left.is_zero());
        let clients = self.clients.iter().filter_map(|(mac, client)| {
            Some(DhcpClient {
                mac: *mac,
                address: client.address,
                hostname: client.hostname.clone(),
                bound: client.bound,
                remaining: left(client.expires)?,
            })
        });
        let declined =
            self.declined.iter().filter_map(|(address, until)| Some((*address, left(*until)?)));
        DhcpState { clients: clients.collect(), declined: declined.collect() }
    }

    /// Remembers, from `now` on, what another server remembered, and nothing else.
    pub(crate) fn restore(&mut self, now: Duration, state: &DhcpState) {
        let client = |client: &DhcpClient| Client {
            address: client.address,
            hostname: client.hostname.clone(),
            bound: client.bound,
            expires: now + client.remaining,
        };
        self.clients = state.clients.iter().map(|saved| (saved.mac, client(saved))).collect();
        self.declined =
            state.declined.iter().map(|(address, left)| (*address, now + *left)).collect();
    }

    /// Answers a packet that was sent to the server's port. What is no request of an Ethernet client on this segment is
    /// ignored, as are requests that other servers are to answer.
    pub(crate) fn handle(&mut self, now: Duration, packet: &[u8]) -> Option<Reply> {
        let request = Message::from_bytes(&essence(packet)?).ok()?;
        // The length first: asking for the address of a packet that claims more than 16 bytes of it panics.
        if request.opcode() != Opcode::BootRequest
            || request.hlen() != 6
            || !request.giaddr().is_unspecified()
        {
            return None;
        }
        let mac: Mac = request.chaddr().try_into().ok()?;
        self.forget_expired(now);
        match request.opts().msg_type()? {
            MessageType::Discover => self.offer(now, mac, &request),
            MessageType::Request => self.acknowledge(now, mac, &request),
            MessageType::Inform => Some(self.inform(mac, &request)),
            MessageType::Decline => {
                let client = self.clients.remove(&mac)?;
                self.declined.insert(client.address, now + DECLINE_TIME);
                None
            }
            MessageType::Release => {
                if self.clients.get(&mac).is_some_and(|client| client.address == request.ciaddr()) {
                    self.clients.remove(&mac);
                }
                None
            }
            _ => None,
        }
    }

    fn offer(&mut self, now: Duration, mac: Mac, request: &Message) -> Option<Reply> {
        let address = self.choose(mac, requested_address(request))?;
        let known = self.clients.get(&mac).filter(|client| client.address == address);
        if known.is_none_or(|client| !client.bound) {
            let hostname = hostname(request);
            self.clients
                .insert(mac, Client { address, hostname, bound: false, expires: now + OFFER_TIME });
        }
        Some(self.reply(MessageType::Offer, request, mac, address))
    }

    /// RFC 2131, section 4.3.2: the client chooses an offer, comes back after a reboot, or renews its lease.
    fn acknowledge(&mut self, now: Duration, mac: Mac, request: &Message) -> Option<Reply> {
        if let Some(DhcpOption::ServerIdentifier(server)) =
            request.opts().get(OptionCode::ServerIdentifier)
            && *server != self.config.server
        {
            // It took another server's offer: ours is free again.
            if self.clients.get(&mac).is_some_and(|client| !client.bound) {
                self.clients.remove(&mac);
            }
            return None;
        }
        let renewed = Some(request.ciaddr()).filter(|address| !address.is_unspecified());
        let wanted = requested_address(request).or(renewed)?;
        if self.choose(mac, Some(wanted)) != Some(wanted) {
            return Some(self.refuse(mac, request));
        }
        let known = self.clients.get(&mac).and_then(|client| client.hostname.clone());
        let hostname = hostname(request).or(known);
        self.clients.insert(
            mac,
            Client { address: wanted, hostname, bound: true, expires: now + LEASE_TIME },
        );
        Some(self.reply(MessageType::Ack, request, mac, wanted))
    }

    /// The address for a client: its reservation, what it has, what it asks for, or the first free one. `None`: all are taken.
    fn choose(&self, mac: Mac, wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        if let Some(reserved) = self.config.reservations.get(&mac) {
            return Some(*reserved);
        }
        if let Some(client) = self.clients.get(&mac) {
            return Some(client.address);
        }
        if let Some(wanted) =
            wanted.filter(|address| self.config.pool.contains(address) && self.is_free(*address))
        {
            return Some(wanted);
        }
        let (first, last) = (self.config.pool.start().to_bits(), self.config.pool.end().to_bits());
        (first..=last).map(Ipv4Addr::from_bits).find(|address| self.is_free(*address))
    }

    fn is_free(&self, address: Ipv4Addr) -> bool {
        let DhcpConfig { server, subnet, reservations, .. } = &self.config;
        address != *server
            && address != subnet.network()
            && address != subnet.broadcast()
            && !self.declined.contains_key(&address)
            && !reservations.values().any(|reserved| *reserved == address)
            && !self.clients.values().any(|client| client.address == address)
    }

    fn forget_expired(&mut self, now: Duration) {
        self.clients.retain(|_, client| client.expires > now);
        self.declined.retain(|_, until| *until > now);
    }

    fn reply(&self, kind: MessageType, request: &Message, mac: Mac, address: Ipv4Addr) -> Reply {
        let mut message = self.answer(kind, request, address);
        let seconds = LEASE_TIME.as_secs() as u32;
        for option in [
            DhcpOption::AddressLeaseTime(seconds),
            DhcpOption::Renewal(seconds / 2),
            DhcpOption::Rebinding(seconds / 8 * 7),
        ] {
            message.opts_mut().insert(option);
        }
        self.describe_network(&mut message);
        self.address_to(message, request, mac, address)
    }

    /// The client has an address of its own and asks for the rest.
    fn inform(&self, mac: Mac, request: &Message) -> Reply {
        let mut message = self.answer(MessageType::Ack, request, Ipv4Addr::UNSPECIFIED);
        self.describe_network(&mut message);
        self.address_to(message, request, mac, request.ciaddr())
    }

    fn refuse(&self, mac: Mac, request: &Message) -> Reply {
        let message = self.answer(MessageType::Nak, request, Ipv4Addr::UNSPECIFIED);
        // RFC 2131, section 4.1: the client may not use its address, so a refusal is always broadcast.
        self.address_to(message, request, mac, Ipv4Addr::UNSPECIFIED)
    }

    fn answer(&self, kind: MessageType, request: &Message, yiaddr: Ipv4Addr) -> Message {
        let none = Ipv4Addr::UNSPECIFIED;
        let ciaddr = if kind == MessageType::Ack { request.ciaddr() } else { none };
        let mut message =
            Message::new_with_id(request.xid(), ciaddr, yiaddr, none, none, request.chaddr());
        message.set_opcode(Opcode::BootReply).set_flags(request.flags());
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(self.config.server));
        message
    }

    fn describe_network(&self, message: &mut Message) {
        let DhcpConfig { server, subnet, .. } = &self.config;
        for option in [
            DhcpOption::SubnetMask(subnet.netmask()),
            DhcpOption::BroadcastAddr(subnet.broadcast()),
            DhcpOption::Router(vec![*server]),
            DhcpOption::DomainNameServer(vec![*server]),
        ] {
            message.opts_mut().insert(option);
        }
        if let Some(next) = self.config.next_server {
            message.set_siaddr(next);
        }
        for (code, value) in &self.config.options {
            let option = UnknownOption::new((*code).into(), value.clone());
            message.opts_mut().insert(DhcpOption::Unknown(option));
        }
    }

    /// RFC 2131, section 4.1: to the address the client has; else broadcast if it says it needs that, or there is none to
    /// give; else to the address it is being given.
    fn address_to(
        &self,
        message: Message,
        request: &Message,
        mac: Mac,
        address: Ipv4Addr,
    ) -> Reply {
        // Messages made above always encode: their options are short and few.
        let mut payload = message.to_vec().unwrap_or_default();
        payload.resize(payload.len().max(MIN_PACKET), 0);
        if !request.ciaddr().is_unspecified() && !address.is_unspecified() {
            Reply { mac, address: request.ciaddr(), payload }
        } else if request.flags().broadcast() || address.is_unspecified() {
            Reply { mac: BROADCAST, address: Ipv4Addr::BROADCAST, payload }
        } else {
            Reply { mac, address, payload }
        }
    }
}

/// The packet with the wanted options alone. dhcproto 0.15 panics on some options with impossible contents (94 of another
/// length than 3, 121 with a prefix over 32), and a guest must not be able to stop the LAN.
fn essence(packet: &[u8]) -> Option<Vec<u8>> {
    let mut essence = packet.get(..FIXED)?.to_vec();
    let mut rest = &packet[FIXED..];
    while let [code, after @ ..] = rest {
        match OptionCode::from(*code) {
            OptionCode::Pad => rest = after,
            OptionCode::End => break,
            code => {
                let (length, after) = after.split_first()?;
                let end = 2 + usize::from(*length);
                if WANTED.contains(&code) {
                    essence.extend_from_slice(rest.get(..end)?);
                }
                rest = after.get(usize::from(*length)..)?;
            }
        }
    }
    essence.push(OptionCode::End.into());
    Some(essence)
}

fn requested_address(request: &Message) -> Option<Ipv4Addr> {
    match request.opts().get(OptionCode::RequestedIpAddress) {
        Some(DhcpOption::RequestedIpAddress(address)) => Some(*address),
        _ => None,
    }
}

fn hostname(request: &Message) -> Option<String> {
    match request.opts().get(OptionCode::Hostname) {
        Some(DhcpOption::Hostname(name)) => Some(name.clone()).filter(|name| !name.is_empty()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(1);
    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);
    const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

    fn mac(n: u8) -> Mac {
        [0xb8, 0x27, 0xeb, 0, 0, n]
    }

    fn pool(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 50, 100 + n)
    }

    fn server() -> DhcpServer {
        DhcpServer::new(DhcpConfig {
            server: SERVER,
            subnet: Ipv4Net::new_assert(SERVER, 24),
            pool: pool(0)..=pool(3),
            reservations: BTreeMap::from([(mac(9), pool(1))]),
            next_server: None,
            options: BTreeMap::new(),
        })
    }

    fn packet(
        client: Mac,
        kind: MessageType,
        ciaddr: Ipv4Addr,
        options: Vec<DhcpOption>,
    ) -> Vec<u8> {
        let mut message = Message::new_with_id(42, ciaddr, ANY, ANY, ANY, &client);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        for option in options {
            message.opts_mut().insert(option);
        }
        message.to_vec().expect("encodes")
    }

    /// Sends a packet and says what comes back: kind and address.
    fn ask(
        server: &mut DhcpServer,
        now: Duration,
        packet: &[u8],
    ) -> Option<(MessageType, Ipv4Addr)> {
        let reply = server.handle(now, packet)?;
        assert!(reply.payload.len() >= MIN_PACKET);
        let message = Message::from_bytes(&reply.payload).expect("decodes");
        assert_eq!(message.xid(), 42);
        Some((message.opts().msg_type().expect("a type"), message.yiaddr()))
    }

    fn discover(client: u8) -> Vec<u8> {
        packet(mac(client), MessageType::Discover, ANY, vec![])
    }

    fn select(client: u8, server: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
        let options = vec![
            DhcpOption::ServerIdentifier(server),
            DhcpOption::RequestedIpAddress(address),
            DhcpOption::Hostname(format!("node{client}")),
        ];
        packet(mac(client), MessageType::Request, ANY, options)
    }

    #[test]
    fn a_client_gets_an_address_keeps_it_and_loses_it() {
        let mut server = server();
        assert_eq!(ask(&mut server, NOW, &discover(1)), Some((MessageType::Offer, pool(0))));
        assert_eq!(server.leases().count(), 0, "an offer is no lease");
        assert_eq!(
            ask(&mut server, NOW, &select(1, SERVER, pool(0))),
            Some((MessageType::Ack, pool(0)))
        );
        let lease = Lease { mac: mac(1), address: pool(0), hostname: Some("node1".into()) };
        assert_eq!(server.leases().next().as_ref(), Some(&lease));

        // The same board asks again as its kernel starts: same address, and the lease stands meanwhile.
        assert_eq!(ask(&mut server, NOW, &discover(1)), Some((MessageType::Offer, pool(0))));
        assert_eq!(server.leases().collect::<Vec<_>>(), [lease]);
        let renew = packet(mac(1), MessageType::Request, pool(0), vec![]);
        assert_eq!(
            ask(&mut server, NOW + LEASE_TIME / 2, &renew),
            Some((MessageType::Ack, pool(0)))
        );
        assert_eq!(
            ask(&mut server, NOW + LEASE_TIME, &discover(2)),
            Some((MessageType::Offer, pool(2))),
            "1 is reserved"
        );

        let release = packet(mac(1), MessageType::Release, pool(0), vec![]);
        assert_eq!(ask(&mut server, NOW + LEASE_TIME, &release), None);
        assert_eq!(server.leases().count(), 0);
    }

    #[test]
    fn offers_carry_what_a_home_router_says_and_nothing_about_booting() {
        let reply = server().handle(NOW, &discover(1)).expect("an offer");
        assert_eq!(
            (reply.mac, reply.address),
            (mac(1), pool(0)),
            "no broadcast flag: straight to the client"
        );
        let offer = Message::from_bytes(&reply.payload).expect("decodes");
        assert_eq!(offer.siaddr(), ANY);
        let codes: Vec<u8> = offer.opts().iter().map(|(code, _)| u8::from(*code)).collect();
        assert_eq!(codes, [1, 3, 6, 28, 51, 53, 54, 58, 59]);
    }

    #[test]
    fn clients_that_need_broadcast_get_it() {
        let mut message = Message::new_with_id(42, ANY, ANY, ANY, ANY, &mac(1));
        message.set_flags(message.flags().set_broadcast());
        message.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
        let reply = server().handle(NOW, &message.to_vec().expect("encodes")).expect("an offer");
        assert_eq!((reply.mac, reply.address), (BROADCAST, Ipv4Addr::BROADCAST));
    }

    #[test]
    fn wrong_addresses_are_refused_and_other_servers_respected() {
        let mut server = server();
        assert_eq!(ask(&mut server, NOW, &discover(1)), Some((MessageType::Offer, pool(0))));
        // It took another server's offer; the address goes to the next client.
        assert_eq!(
            ask(&mut server, NOW, &select(1, Ipv4Addr::new(192, 168, 50, 2), pool(0))),
            None
        );
        assert_eq!(
            ask(&mut server, NOW, &select(2, SERVER, pool(0))),
            Some((MessageType::Ack, pool(0)))
        );
        let reboot = packet(
            mac(1),
            MessageType::Request,
            ANY,
            vec![DhcpOption::RequestedIpAddress(pool(0))],
        );
        assert_eq!(ask(&mut server, NOW, &reboot), Some((MessageType::Nak, ANY)));
        assert_eq!(server.handle(NOW, &reboot).expect("a refusal").mac, BROADCAST);
        let foreign = packet(mac(1), MessageType::Request, Ipv4Addr::new(10, 0, 0, 1), vec![]);
        assert_eq!(ask(&mut server, NOW, &foreign), Some((MessageType::Nak, ANY)));
    }

    #[test]
    fn the_pool_ends_and_reservations_hold() {
        let mut server = server();
        for (client, n) in [(1, 0), (2, 2), (3, 3)] {
            assert_eq!(
                ask(&mut server, NOW, &discover(client)),
                Some((MessageType::Offer, pool(n)))
            );
        }
        assert_eq!(ask(&mut server, NOW, &discover(4)), None, "all taken or reserved");
        assert_eq!(ask(&mut server, NOW, &discover(9)), Some((MessageType::Offer, pool(1))));
        // Offers that nobody took come back.
        assert_eq!(
            ask(&mut server, NOW + OFFER_TIME, &discover(4)),
            Some((MessageType::Offer, pool(0)))
        );
        let decline = packet(
            mac(4),
            MessageType::Decline,
            ANY,
            vec![DhcpOption::RequestedIpAddress(pool(0))],
        );
        assert_eq!(ask(&mut server, NOW + OFFER_TIME, &decline), None);
        assert_eq!(
            ask(&mut server, NOW + OFFER_TIME, &discover(5)),
            Some((MessageType::Offer, pool(2)))
        );
    }

    #[test]
    fn inform_gives_options_but_no_address() {
        let mut server = server();
        let own = Ipv4Addr::new(192, 168, 50, 10);
        let inform = packet(mac(1), MessageType::Inform, own, vec![]);
        assert_eq!(ask(&mut server, NOW, &inform), Some((MessageType::Ack, ANY)));
        assert_eq!(server.handle(NOW, &inform).expect("an answer").address, own);
        assert_eq!(server.leases().count(), 0);
    }

    #[test]
    fn options_that_nobody_asked_about_do_no_harm() {
        for harmful in [
            &[94, 0][..],
            &[94, 1, 1],
            &[121, 5, 200, 1, 2, 3, 4],
            &[151, 0],
            &[80, 1, 0],
            &[82, 1, 9],
        ] {
            let mut packet = discover(1);
            let end = packet.iter().rposition(|byte| *byte == 255).expect("an end");
            packet.splice(end..end, harmful.iter().copied());
            assert_eq!(
                ask(&mut server(), NOW, &packet),
                Some((MessageType::Offer, pool(0))),
                "{harmful:?}"
            );
        }
    }

    #[test]
    fn a_restored_server_goes_on_with_the_time_that_was_left() {
        let mut server = server();
        ask(&mut server, NOW, &discover(1));
        ask(&mut server, NOW, &select(1, SERVER, pool(0)));
        ask(&mut server, NOW, &discover(2));
        let decline = packet(mac(2), MessageType::Decline, ANY, vec![]);
        ask(&mut server, NOW, &decline);
        let saved_at = NOW + OFFER_TIME / 2;
        ask(&mut server, saved_at, &discover(3));
        let state = server.state(saved_at);
        assert_eq!(
            state.clients.iter().map(|client| client.bound).collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(state.declined, BTreeMap::from([(pool(2), DECLINE_TIME - OFFER_TIME / 2)]));

        // The other clock stands elsewhere, and runs from there.
        let now = Duration::from_secs(1_000_000);
        let mut other = self::server();
        ask(&mut other, now, &discover(7));
        other.restore(now, &state);
        assert_eq!(other.state(now), state);
        assert_eq!(other.leases().collect::<Vec<_>>(), server.leases().collect::<Vec<_>>());
        assert_eq!(
            ask(&mut other, now, &discover(4)),
            None,
            "0 is leased, 1 reserved, 2 declined, 3 offered"
        );
        assert_eq!(
            ask(&mut other, now + OFFER_TIME, &discover(4)),
            Some((MessageType::Offer, pool(3))),
            "the offer has run out"
        );
        let later = now + LEASE_TIME - OFFER_TIME / 2;
        assert_eq!(
            ask(&mut other, later, &discover(5)),
            Some((MessageType::Offer, pool(0))),
            "the lease has run out"
        );
    }

    proptest! {
        /// Guests send what they like; the router stays up.
        #[test]
        fn garbage_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            server().handle(NOW, &bytes);
        }

        /// The same with a sound beginning, to get further.
        #[test]
        fn garbage_in_options_is_survived(kind in 0..9u8, hlen in any::<u8>(), options in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..9)), 0..9)) {
            let mut bytes = packet(mac(1), MessageType::Unknown(kind), ANY, vec![]);
            bytes[2] = hlen;
            let end = bytes.iter().rposition(|byte| *byte == 255).expect("an end");
            bytes.truncate(end);
            for (code, value) in options {
                bytes.extend_from_slice(&[code, value.len() as u8]);
                bytes.extend_from_slice(&value);
            }
            server().handle(NOW, &bytes);
        }
    }
}
