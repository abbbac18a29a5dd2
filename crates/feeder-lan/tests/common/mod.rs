//! What the tests share: a LAN in a temporary directory, and guests on it which are smoltcp stacks.
#![allow(dead_code, reason = "every test file is a crate of its own and uses a part of this")]

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_lan::{Lan, LanConfig, Mac, Port, RouterConfig};
use feeder_process::{Cmd, find_program};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::{dhcpv4, dns, tcp};
use smoltcp::wire::{DnsQueryType, EthernetAddress, IpAddress, IpCidr, Ipv4Cidr};

/// Longer than anything here takes, also on a busy machine and with TCP's pauses on a bad link, which grow to a minute.
pub const LONG: Duration = Duration::from_secs(180);

pub const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);

pub fn mac(n: u8) -> Mac {
    [0x02, 0, 0, 0, 0, n]
}

pub fn frame(to: Mac, from: Mac, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &[0x88, 0xb6], payload].concat()
}

pub fn soon() -> Instant {
    Instant::now() + LONG
}

#[expect(clippy::print_stderr, reason = "a skipped check must be seen")]
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// Rows of fields that tshark reads, or `None` (said aloud) when there is no tshark. Any complaint of tshark's is a failure.
pub fn tshark(path: &Utf8Path, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    if find_program("tshark").is_none() {
        skipped("tshark is not installed, nobody else has read the capture");
        return None;
    }
    let mut cmd = Cmd::new("tshark").args([
        "-N",
        "n",
        "-r",
        path.as_str(),
        "-T",
        "fields",
        "-E",
        "separator=|",
    ]);
    for field in fields {
        cmd = cmd.arg("-e").arg(*field);
    }
    let output = cmd.run().expect("tshark reads the file");
    let complaints: Vec<_> =
        output.stderr.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    Some(
        output
            .stdout_text()
            .lines()
            .map(|line| line.split('|').map(str::to_owned).collect())
            .collect(),
    )
}

/// A running LAN and its directory.
pub struct Bench {
    pub lan: Lan,
    pub dir: Utf8PathBuf,
    _dir: tempfile::TempDir,
}

pub fn lan() -> Bench {
    lan_with(|_, _| ())
}

pub fn lan_with(change: impl FnOnce(&Utf8Path, &mut LanConfig)) -> Bench {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = Utf8PathBuf::try_from(temp.path().to_owned()).expect("UTF-8");
    let router = RouterConfig::home("192.168.50.0/24".parse().expect("a network"));
    let mut config = LanConfig {
        sockets: dir.join("s"),
        capture: Some(dir.join("lan.pcapng")),
        router,
        seed: 1,
    };
    change(&dir, &mut config);
    Bench { lan: Lan::start(config).expect("a LAN"), dir, _dir: temp }
}

/// A guest: a network stack on an in-process port.
pub struct Guest {
    device: Card,
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    started: Instant,
}

struct Card {
    port: Port,
    received: VecDeque<Vec<u8>>,
}

impl Guest {
    pub fn new(lan: &Lan, name: &str, mac: Mac) -> Guest {
        let mut device =
            Card { port: lan.attach(name).expect("a port"), received: VecDeque::new() };
        let config = Config::new(EthernetAddress(mac).into());
        let interface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
        Guest { device, interface, sockets: SocketSet::new(Vec::new()), started: Instant::now() }
    }

    pub fn with_address(lan: &Lan, name: &str, mac: Mac, address: Ipv4Addr) -> Guest {
        let mut guest = Guest::new(lan, name, mac);
        guest.set_address(Ipv4Cidr::new(address, 24));
        guest
    }

    pub fn set_address(&mut self, cidr: Ipv4Cidr) {
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            addresses.push(IpCidr::Ipv4(cidr)).expect("room for an address");
        });
    }

    /// Takes the guest, with all it remembers, to another LAN.
    pub fn plug_into(&mut self, lan: &Lan, name: &str) {
        self.device.port = lan.attach(name).expect("a port");
        self.device.received.clear();
    }

    /// Lets the stack work until `done` gives something.
    pub fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Guest) -> Option<T>) -> T {
        let deadline = soon();
        loop {
            self.step(Duration::from_millis(20));
            if let Some(result) = done(self) {
                self.step(Duration::ZERO);
                return result;
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}");
        }
    }

    /// Lets the stack work once, waiting at most `patience` for a frame.
    pub fn step(&mut self, patience: Duration) {
        let now = self.now();
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        let delay = self.interface.poll_delay(now, &self.sockets).map_or(patience, Duration::from);
        if let Some(frame) = self.device.port.recv(Instant::now() + delay.min(patience)) {
            self.device.received.push_back(frame);
        }
        while let Some(frame) = self.device.port.try_recv() {
            self.device.received.push_back(frame);
        }
        let now = self.now();
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }

    fn now(&self) -> smoltcp::time::Instant {
        smoltcp::time::Instant::from_micros(self.started.elapsed().as_micros() as i64)
    }

    /// Gets an address from the router and takes it.
    pub fn dhcp(&mut self) -> Dhcp {
        let handle = self.sockets.add(dhcpv4::Socket::new());
        let got = self.until("an address from the router", |guest| {
            match guest.sockets.get_mut::<dhcpv4::Socket>(handle).poll() {
                Some(dhcpv4::Event::Configured(config)) => Some(Dhcp {
                    address: config.address,
                    router: config.router,
                    dns: config.dns_servers.to_vec(),
                }),
                _ => None,
            }
        });
        self.set_address(got.address);
        got
    }

    /// Asks the router for a name's address.
    pub fn resolve(&mut self, name: &str) -> Option<IpAddress> {
        let handle = self.sockets.add(dns::Socket::new(&[ROUTER.into()], vec![]));
        let socket = self.sockets.get_mut::<dns::Socket>(handle);
        let query =
            socket.start_query(self.interface.context(), name, DnsQueryType::A).expect("a query");
        let answer = self.until("an answer", |guest| {
            match guest.sockets.get_mut::<dns::Socket>(handle).get_query_result(query) {
                Err(dns::GetQueryResultError::Pending) => None,
                Err(dns::GetQueryResultError::Failed) => Some(None),
                Ok(addresses) => Some(addresses.first().copied()),
            }
        });
        self.sockets.remove(handle); // or it would take the answers for the next one
        answer
    }

    pub fn add_tcp(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 128 * 1024]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub fn connect(&mut self, address: Ipv4Addr, port: u16, local: u16) -> SocketHandle {
        let handle = self.add_tcp();
        let socket = self.sockets.get_mut::<tcp::Socket>(handle);
        socket.connect(self.interface.context(), (address, port), local).expect("connects");
        handle
    }

    pub fn listen(&mut self, port: u16) -> SocketHandle {
        let handle = self.add_tcp();
        self.tcp(handle).listen(port).expect("listens");
        handle
    }

    /// Sends a request and reads until the other end closes.
    pub fn exchange(&mut self, handle: SocketHandle, request: &[u8]) -> Vec<u8> {
        let mut left = request;
        let mut response = Vec::new();
        self.until("the end of the response", |guest| {
            let socket = guest.tcp(handle);
            if socket.can_send() && !left.is_empty() {
                let sent = socket.send_slice(left).expect("sends");
                left = &left[sent..];
            }
            while socket.can_recv() {
                socket
                    .recv(|bytes| (bytes.len(), response.extend_from_slice(bytes)))
                    .expect("receives");
            }
            (left.is_empty() && !socket.may_recv()).then_some(())
        });
        response
    }
}

/// What the router's DHCP server told.
pub struct Dhcp {
    pub address: Ipv4Cidr,
    pub router: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
}

impl phy::Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Transmit<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Transmit(&self.port)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Transmit<'_>> {
        Some(Transmit(&self.port))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

pub struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

pub struct Transmit<'a>(&'a Port);

impl phy::TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.send(&frame);
        result
    }
}
