//! Guests on bad links in virtual time: minutes of waiting take none, and the same seed goes the same way.

use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpStream};

use camino::Utf8PathBuf;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr};

use super::*;
use crate::config::RouterConfig;
use crate::fault::{FaultKind, Probability};
use crate::inbox;
use crate::port::Port;
use crate::router::Device;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 20);
const ROUTER_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);

/// What a patient user waits. Retransmissions come after 1, 2, 4, 8 and 16 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// No pause between retransmissions is longer than a minute: after this, none will come.
const FOREVER: Duration = Duration::from_secs(1200);

/// A LAN, and a guest with one TCP socket on a bad link.
struct Trial {
    seed: u64,
    now: Duration,
    fabric: Fabric,
    id: PortId,
    port: Port,
    card: Device,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Trial {
    fn new(seed: u64, router: &RouterConfig) -> Trial {
        let leases = Arc::new(LeaseBook::default());
        let (inbox, outbox) = inbox::pair().expect("an inbox");
        let router = Router::new(router, Arc::clone(&leases), seed);
        let mut fabric =
            Fabric::new(Clock::start(), outbox, router, Faults::new(seed), None, leases);
        let shared = Arc::new(Shared::default());
        let id = fabric.attach_local("guest", Arc::clone(&shared)).expect("a port");
        for kind in [
            FaultKind::Loss(Probability::percent(2)),
            FaultKind::Corrupt(Probability::percent(2)),
            FaultKind::Duplicate(Probability::percent(5)),
            FaultKind::Jitter(Duration::from_millis(3)),
        ] {
            fabric.faults.inject(Duration::ZERO, Fault::on("guest", kind));
        }
        let mut card = Device::default();
        let mut config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 1]).into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut card, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(ADDRESS.into(), 24)).expect("room for an address");
        });
        let mut sockets = SocketSet::new(Vec::new());
        let buffer = || tcp::SocketBuffer::new(vec![0; 128 * 1024]);
        let socket = sockets.add(tcp::Socket::new(buffer(), buffer()));
        let port = Port::new(id, inbox, shared);
        let now = Duration::ZERO;
        Trial { seed, now, fabric, id, port, card, interface, sockets, socket }
    }

    /// Receives until the other end closes. `act` does what else there is to do, at every moment at which something happens.
    fn receive(mut self, limit: Duration, mut act: impl FnMut(&mut Trial)) -> Vec<u8> {
        let mut received = Vec::new();
        loop {
            act(&mut self);
            self.work();
            let socket = self.socket();
            while socket.can_recv() {
                let all = |bytes: &mut [u8]| (bytes.len(), received.extend_from_slice(bytes));
                socket.recv(all).expect("receives");
            }
            if socket.state() == tcp::State::CloseWait {
                return received;
            }
            let (seed, now) = (self.seed, self.now);
            assert!(now < limit, "seed {seed}: {} bytes and no end after {now:?}", received.len());
            self.proceed();
        }
    }

    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    /// All that happens at this moment.
    fn work(&mut self) {
        loop {
            while let Some(frame) = self.port.try_recv() {
                self.card.receive(&frame);
            }
            self.interface.poll(instant(self.now), &mut self.card, &mut self.sockets);
            let mut idle = self.fabric_due().is_none_or(|due| due > self.now);
            while let Some(frame) = self.card.next() {
                self.fabric.ingress(self.now, self.id, &frame);
                idle = false;
            }
            if idle {
                return;
            }
            self.fabric.release(self.now);
            self.fabric.run_router(self.now);
        }
    }

    /// Lets time pass until something is due.
    fn proceed(&mut self) {
        let guest = self.interface.poll_at(instant(self.now), &self.sockets);
        let guest = guest.map(|at| Duration::from_micros(at.total_micros() as u64));
        let due = guest.into_iter().chain(self.fabric_due()).min();
        self.now = due.unwrap_or(FOREVER).max(self.now);
    }

    fn fabric_due(&self) -> Option<Duration> {
        self.fabric.late.due().into_iter().chain(self.fabric.router.due(self.now)).min()
    }
}

fn instant(now: Duration) -> Instant {
    Instant::from_micros(now.as_micros() as i64)
}

fn content() -> Vec<u8> {
    (0..200_000u32).map(|n| (n % 251) as u8).collect()
}

fn router() -> RouterConfig {
    RouterConfig::home("192.168.50.0/24".parse().expect("a network"))
}

#[test]
fn a_guest_on_a_bad_link_gets_a_whole_file_from_the_router() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("f"), content()).expect("a file");
    let mut config = router();
    config.http_root = Some(Utf8PathBuf::try_from(dir.path().to_owned()).expect("UTF-8"));
    for seed in 0..100 {
        let mut trial = Trial::new(seed, &config);
        let Trial { interface, sockets, socket, .. } = &mut trial;
        let socket = sockets.get_mut::<tcp::Socket>(*socket);
        socket.connect(interface.context(), (ROUTER_ADDRESS, 80), 50_000).expect("connects");
        let mut request: &[u8] = b"GET /f HTTP/1.0\r\n\r\n";
        let response = trial.receive(PATIENCE, |trial| {
            if trial.socket().can_send() && !request.is_empty() {
                let sent = trial.socket().send_slice(request).expect("sends");
                request = &request[sent..];
            }
        });
        assert!(response.ends_with(&content()), "seed {seed}: {} bytes", response.len());
    }
}

#[test]
fn a_guest_on_a_bad_link_gets_all_that_a_forward_carries() {
    for seed in 0..30 {
        let mut trial = Trial::new(seed, &router());
        trial.socket().listen(7).expect("listens");
        let address =
            trial.fabric.router().forward(SocketAddrV4::new(ADDRESS, 7)).expect("a forward");
        let mut host = TcpStream::connect(address).expect("the forward listens");
        host.set_nonblocking(true).expect("non-blocking");
        trial.fabric.router.ready(Source::Listener(0), PollFlags::IN);
        trial.work();
        let content = content();
        let mut left = Some(&content[..]);
        // When the kernel moves bytes is not in our hands: no two trials are the same.
        let received = trial.receive(FOREVER, |trial| {
            match left.map(|bytes| (bytes, host.write(bytes))) {
                Some((&[], _)) => {
                    host.shutdown(Shutdown::Write).expect("half-closes");
                    left = None;
                }
                Some((bytes, Ok(sent))) => left = Some(&bytes[sent..]),
                Some((_, Err(err))) if err.kind() == ErrorKind::WouldBlock => {}
                Some((_, Err(err))) => panic!("{err}"),
                None => {}
            }
            trial.fabric.router.ready(Source::Connection(0), PollFlags::IN);
        });
        assert!(received == content, "seed {seed}: {} bytes", received.len());
    }
}
