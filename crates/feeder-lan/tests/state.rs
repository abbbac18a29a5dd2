//! A LAN that goes on where another one was saved.

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::{Bench, Guest, LONG, ROUTER, frame, lan, lan_with, mac, soon};
use feeder_lan::LanState;
use feeder_lan::frame::BROADCAST;
use smoltcp::socket::tcp::State;

const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 20);

/// Through text, as it is kept on a disk.
fn saved(bench: &Bench) -> LanState {
    let state = bench.lan.state().expect("a state");
    let text = serde_json::to_string(&state).expect("to text");
    serde_json::from_str(&text).expect("from text")
}

#[test]
fn addresses_stay_with_their_clients() {
    let first = lan();
    // So that the second client's address is not the first of the pool.
    let other = Guest::new(&first.lan, "other", mac(1)).dhcp();
    let mut guest = Guest::new(&first.lan, "guest", mac(2));
    let had = guest.dhcp();
    let leases = first.lan.leases();
    let state = saved(&first);
    first.lan.shutdown();

    let second = lan();
    second.lan.restore(state).expect("restored");
    assert_eq!(second.lan.leases(), leases);
    assert_eq!(
        second.lan.wait_lease(mac(2), &mut || false).map(|lease| lease.address),
        Some(had.address.address())
    );
    let mut newcomer = Guest::new(&second.lan, "newcomer", mac(3));
    let got = newcomer.dhcp().address;
    assert!(got != had.address && got != other.address, "{got} is taken");
    assert_eq!(Guest::new(&second.lan, "guest", mac(2)).dhcp().address, had.address);
}

#[test]
fn a_stale_connection_is_reset_and_a_new_one_comes_from_another_port() {
    let www = |dir: &camino::Utf8Path, config: &mut feeder_lan::LanConfig| {
        config.router.http_root = Some(dir.to_owned());
    };
    let first = lan_with(www);
    let forward = |bench: &Bench| bench.lan.forward(SocketAddrV4::new(GUEST, 22)).expect("forward");
    let address = forward(&first);
    let mut guest = Guest::with_address(&first.lan, "guest", mac(1), GUEST);
    let served = guest.listen(22);
    let mut host = TcpStream::connect(address).expect("connects");
    let fetching = guest.connect(ROUTER, 80, 50_000);
    guest.until("both connections", |guest| {
        let up = |socket: &smoltcp::socket::tcp::Socket<'_>| socket.may_send();
        (up(guest.tcp(served)) && up(guest.tcp(fetching))).then_some(())
    });
    host.write_all(b"hello").expect("writes");
    guest.until("bytes", |guest| guest.tcp(served).can_recv().then_some(()));
    let old_port = guest.tcp(served).remote_endpoint().expect("a peer").port;

    let settled = first.lan.settle(&mut || true).expect("runs").expect("nothing is under way");
    assert!(settled.undelivered.is_empty(), "{settled:?}");
    let state = saved(&first);
    let second = lan_with(www);
    second.lan.restore(state).expect("restored");
    let address = forward(&second);

    // The guest goes on in the second LAN, and remembers.
    guest.plug_into(&second.lan, "guest");
    for handle in [served, fetching] {
        guest.tcp(handle).send_slice(b"are you still there?").expect("sends");
    }
    guest.until("resets", |guest| {
        let dead = |guest: &mut Guest, handle| guest.tcp(handle).state() == State::Closed;
        (dead(guest, served) && dead(guest, fetching)).then_some(())
    });
    let again = guest.listen(22);
    let mut host = TcpStream::connect(address).expect("connects");
    host.set_read_timeout(Some(LONG)).expect("a timeout");
    guest.until("a new connection", |guest| guest.tcp(again).may_send().then_some(()));
    let new_port = guest.tcp(again).remote_endpoint().expect("a peer").port;
    assert_ne!(new_port, old_port, "the guest must not take it for the one of before");
    guest.tcp(again).send_slice(b"here").expect("sends");
    guest.step(Duration::ZERO);
    let mut word = [0; 4];
    host.read_exact(&mut word).expect("reads");
    assert_eq!(&word, b"here");
}

#[test]
fn one_seed_gives_one_first_port() {
    let port = |seed: u64| {
        let bench = lan_with(|_, config| config.seed = seed);
        serde_json::to_value(saved(&bench)).expect("a tree")["router"]["next_port"].clone()
    };
    assert_eq!(port(7), port(7));
    assert_ne!(port(7), port(8));
}

#[test]
fn a_lan_at_rest_has_forwarded_what_was_sent_and_tells_what_is_not_read() {
    let bench = lan();
    let a = bench.lan.attach("a").expect("a port");
    let cables = ["stopped", "running"].map(|node| bench.lan.attach_qemu(node).expect("a cable"));
    let [stopped, running] =
        cables.each_ref().map(|cable| UnixDatagram::bind(&cable.qemu).expect("binds"));
    // More than a kernel queues for one who does not read, and less than the LAN drops.
    let total = 500u32;
    for n in 0..total {
        a.send(&frame(BROADCAST, mac(1), &n.to_be_bytes()));
    }
    let last = frame(BROADCAST, mac(9), b"the last one");
    stopped.send_to(&last, &cables[0].lan).expect("sends");
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 100];
        let mut frames = 0;
        loop {
            let length = running.recv(&mut buffer).expect("a frame");
            if buffer[..length].ends_with(b"the last one") {
                return frames;
            }
            frames += 1;
        }
    });
    let start = Instant::now();
    let settled = bench.lan.settle(&mut || true).expect("runs").expect("comes to rest");
    assert!(start.elapsed() < LONG);
    // What a stopped node sent before is where it goes ...
    assert_eq!(a.recv(soon()), Some(last));
    // ... and what it does not read does not keep us waiting.
    let waiting = settled.undelivered["stopped"];
    assert!((1..total as usize).contains(&waiting), "{settled:?}");
    assert_eq!(reader.join().expect("the reader"), total);
    drop(stopped);
}

#[test]
fn a_lan_that_was_shut_down_has_no_state() {
    let bench = lan();
    bench.lan.shutdown();
    assert!(bench.lan.state().is_err());
    assert!(bench.lan.settle(&mut || true).is_err());
    assert!(bench.lan.restore(LanState::default()).is_err());
}
