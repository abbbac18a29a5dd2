//! Forwards from the host's loopback to a guest.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Bench, Guest, LONG, lan, lan_with, mac};
use feeder_lan::LanError;
use smoltcp::socket::tcp::State;

const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 20);

fn forward(bench: &Bench, port: u16) -> SocketAddr {
    bench.lan.forward(SocketAddrV4::new(GUEST, port)).expect("a forward")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the forward listens");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    stream.set_write_timeout(Some(LONG)).expect("a timeout");
    stream
}

fn guest(bench: &Bench) -> Guest {
    Guest::with_address(&bench.lan, "guest", mac(1), GUEST)
}

/// A guest that echoes what comes to port 7, on several connections at once.
struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(bench: &Bench) -> Echo {
        let mut guest = guest(bench);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let handles: Vec<_> = (0..6).map(|_| guest.listen(7)).collect();
            let mut buffer = vec![0; 64 * 1024];
            while !stopped.load(Ordering::Relaxed) {
                for handle in &handles {
                    let socket = guest.tcp(*handle);
                    while socket.can_recv() && socket.can_send() {
                        let room = (socket.send_capacity() - socket.send_queue()).min(buffer.len());
                        let got = socket.recv_slice(&mut buffer[..room]).expect("receives");
                        assert_eq!(socket.send_slice(&buffer[..got]).expect("sends"), got);
                    }
                    if socket.state() == State::CloseWait && !socket.can_recv() {
                        socket.close();
                    }
                    if !socket.is_open() {
                        socket.listen(7).expect("listens again");
                    }
                }
                guest.step(Duration::from_millis(5));
            }
        });
        Echo { stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the guest's thread");
        }
    }
}

fn echoed(address: SocketAddr, bytes: Vec<u8>) {
    let mut reader = connect(address);
    let mut writer = reader.try_clone().expect("a second handle");
    let expected = bytes.clone();
    let sending = std::thread::spawn(move || {
        writer.write_all(&bytes).expect("writes");
        writer.shutdown(Shutdown::Write).expect("half-closes");
    });
    let mut back = Vec::new();
    reader.read_to_end(&mut back).expect("reads to the end");
    sending.join().expect("sender");
    assert!(back == expected, "{} of {} bytes came back, or changed", back.len(), expected.len());
}

#[test]
fn several_connections_at_once_with_half_close() {
    let bench = lan();
    let address = forward(&bench, 7);
    assert!(address.ip().is_loopback());
    assert_eq!(forward(&bench, 7), address, "one port for one guest port");
    let _echo = Echo::start(&bench);
    let clients: Vec<_> = (0..5u8)
        .map(|n| {
            std::thread::spawn(move || {
                echoed(address, (0..700_001u32).map(|i| (i % 251) as u8 ^ n).collect())
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a client");
    }
}

#[test]
fn a_forward_carries_100_mbit_per_second() {
    let bench = lan_with(|_, config| config.capture = None);
    let address = forward(&bench, 7);
    let _echo = Echo::start(&bench);
    echoed(address, vec![1]); // the guest is up
    let bytes = 16_000_000;
    let before = bench.lan.stats().cpu;
    echoed(address, vec![0x5a; bytes]);
    // By the LAN's own CPU time, which other work on the machine does not change.
    let seconds = (bench.lan.stats().cpu - before).as_secs_f64();
    let mbits = bytes as f64 * 8.0 / 1e6 / seconds;
    println!("{mbits:.0} Mbit per second of CPU time, there and back");
    assert!(mbits > 100.0, "{mbits:.0} Mbit per second of CPU time");
}

#[test]
fn a_port_where_nobody_listens_resets_at_once() {
    let bench = lan();
    let address = forward(&bench, 9);
    let _echo = Echo::start(&bench); // a guest, but port 9 is closed
    let start = Instant::now();
    let error = connect(address).read(&mut [0; 10]).expect_err("no orderly end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "the guest's refusal counts, not the time limit"
    );
}

#[test]
fn a_guest_that_does_not_read_stops_the_host_from_writing() {
    let bench = lan();
    let address = forward(&bench, 7);
    let mut guest = guest(&bench);
    let handle = guest.listen(7);
    let mut host = connect(address);
    guest.until("a connection", |guest| guest.tcp(handle).may_recv().then_some(()));
    host.set_nonblocking(true).expect("non-blocking");
    let chunk: Vec<u8> = (0..65_521u32).map(|n| (n % 253) as u8).collect();
    let mut sent = Vec::new();
    // Until nothing has moved for some rounds.
    let mut stuck = 0;
    while stuck < 20 {
        match host.write(&chunk) {
            Ok(count) => {
                sent.extend_from_slice(&chunk[..count]);
                stuck = 0;
            }
            Err(err) if err.kind() == ErrorKind::WouldBlock => stuck += 1,
            Err(err) => panic!("{err}"),
        }
        guest.step(Duration::from_millis(10));
        assert!(sent.len() < 64_000_000, "somebody swallows it all");
    }
    drop(host);
    let received = guest.exchange(handle, b"");
    assert!(received == sent, "{} of {} bytes arrived", received.len(), sent.len());
}

#[test]
fn the_guest_may_end_its_direction_first() {
    let bench = lan();
    let address = forward(&bench, 7);
    let mut guest = guest(&bench);
    let handle = guest.listen(7);
    let mut host = connect(address);
    guest.until("a connection", |guest| guest.tcp(handle).may_send().then_some(()));
    guest.tcp(handle).send_slice(b"that is all").expect("sends");
    guest.tcp(handle).close();
    guest.until("the end on its way", |guest| (guest.tcp(handle).send_queue() == 0).then_some(()));
    let mut text = String::new();
    host.read_to_string(&mut text).expect("reads to the end");
    assert_eq!(text, "that is all");
    host.write_all(b"thanks").expect("the other direction is open");
    drop(host);
    assert_eq!(guest.exchange(handle, b""), b"thanks");
}

#[test]
fn resets_travel_both_ways() {
    let bench = lan();
    let address = forward(&bench, 7);
    let mut guest = guest(&bench);

    let handle = guest.listen(7);
    let mut host = connect(address);
    guest.until("a connection", |guest| guest.tcp(handle).may_send().then_some(()));
    guest.tcp(handle).abort();
    guest.step(Duration::ZERO);
    assert_eq!(host.read(&mut [0; 10]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);

    let handle = guest.listen(7);
    let host = connect(address);
    guest.until("a connection", |guest| guest.tcp(handle).may_send().then_some(()));
    guest.tcp(handle).send_slice(b"never read").expect("sends");
    guest.until("it to arrive", |_| (host.peek(&mut [0; 1]).ok()? > 0).then_some(()));
    drop(host); // with unread data, which makes the kernel send a reset
    guest.until("the reset", |guest| (!guest.tcp(handle).is_open()).then_some(()));
}

#[test]
fn who_is_connected_to_a_guest_without_power_learns_it_when_told() {
    let bench = lan();
    let address = forward(&bench, 7);
    let mut guest = guest(&bench);
    let handle = guest.listen(7);
    let mut host = connect(address);
    guest.until("a connection", |guest| guest.tcp(handle).may_send().then_some(()));
    // The guest says nothing any more.
    bench.lan.hang_up(Ipv4Addr::new(192, 168, 50, 21));
    host.set_nonblocking(true).expect("does not wait");
    assert_eq!(host.read(&mut [0; 10]).expect_err("of another").kind(), ErrorKind::WouldBlock);
    host.set_nonblocking(false).expect("waits");
    bench.lan.hang_up(GUEST);
    assert_eq!(host.read(&mut [0; 10]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
}

#[test]
fn forwards_lead_into_the_lan_only() {
    let bench = lan();
    for guest in [
        "10.0.0.1:22",
        "192.168.50.0:22",
        "192.168.50.255:22",
        "192.168.50.1:22",
        "192.168.50.20:0",
    ] {
        let error = bench.lan.forward(guest.parse().expect("an address")).expect_err(guest);
        assert!(matches!(error, LanError::Forward { .. }), "{error}");
    }
}
