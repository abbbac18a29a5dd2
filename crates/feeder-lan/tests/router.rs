//! The router as a guest meets it: address, names, files, ping.

mod common;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use camino::Utf8Path;
use common::{Bench, Guest, ROUTER, lan, lan_with, mac};
use feeder_lan::ROUTER_MAC;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr};

fn mirror(fill: impl FnOnce(&Utf8Path)) -> Bench {
    lan_with(|dir, config| {
        let root = dir.join("www");
        std::fs::create_dir(&root).expect("a directory");
        fill(&root);
        config.router.http_root = Some(root);
        config.router.names.insert("Mirror.example.org".into(), ROUTER);
    })
}

/// Bytes that differ everywhere.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn split(response: &[u8]) -> (&str, &[u8]) {
    let end =
        response.windows(4).position(|window| window == b"\r\n\r\n").expect("an end of the head");
    (std::str::from_utf8(&response[..end]).expect("text"), &response[end + 4..])
}

#[test]
fn a_client_gets_an_address_and_the_lease_is_seen() {
    let bench = lan();
    let mut guest = Guest::new(&bench.lan, "guest", mac(1));
    assert!(bench.lan.wait_lease(mac(1), &mut || false).is_none());
    let got = guest.dhcp();
    assert_eq!(
        (got.address.address(), got.address.prefix_len()),
        (Ipv4Addr::new(192, 168, 50, 100), 24)
    );
    assert_eq!((got.router, &got.dns[..]), (Some(ROUTER), &[ROUTER][..]));
    let lease = bench.lan.wait_lease(mac(1), &mut || true).expect("a lease");
    assert_eq!(lease.address, got.address.address());
    assert_eq!(bench.lan.leases(), [lease]);
}

#[test]
fn waiting_for_a_lease_asks_whether_to_go_on_and_ends_with_the_lan() {
    let bench = lan();
    let mut asked = 0;
    let lease = bench.lan.wait_lease(mac(1), &mut || {
        asked += 1;
        asked < 3
    });
    assert!(lease.is_none() && asked == 3);
    bench.lan.shutdown();
    assert!(bench.lan.wait_lease(mac(1), &mut || true).is_none());
}

#[test]
fn reserved_addresses_are_kept_for_their_client() {
    let reserved = Ipv4Addr::new(192, 168, 50, 7);
    let bench =
        lan_with(|_, config| config.router.reservations = BTreeMap::from([(mac(9), reserved)]));
    assert_eq!(Guest::new(&bench.lan, "guest", mac(9)).dhcp().address.address(), reserved);
}

#[test]
fn names_resolve_and_others_do_not_exist() {
    let bench = mirror(|_| ());
    let mut guest = Guest::new(&bench.lan, "guest", mac(1));
    guest.dhcp();
    assert_eq!(guest.resolve("mirror.example.org"), Some(ROUTER.into()));
    assert_eq!(guest.resolve("elsewhere.example.org"), None);
}

#[test]
fn the_router_answers_ping() {
    let bench = lan();
    let mut guest =
        Guest::with_address(&bench.lan, "guest", mac(1), Ipv4Addr::new(192, 168, 50, 20));
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
    let handle = guest.sockets.add(icmp::Socket::new(buffer(), buffer()));
    let socket = guest.sockets.get_mut::<icmp::Socket>(handle);
    socket.bind(icmp::Endpoint::Ident(0x22)).expect("binds");
    let ping = Icmpv4Repr::EchoRequest { ident: 0x22, seq_no: 1, data: b"are you there" };
    let payload = socket.send(ping.buffer_len(), ROUTER.into()).expect("sends");
    ping.emit(&mut Icmpv4Packet::new_unchecked(payload), &ChecksumCapabilities::default());
    let answer = guest.until("the echo", |guest| {
        let (payload, from) = guest.sockets.get_mut::<icmp::Socket>(handle).recv().ok()?;
        assert_eq!(from, ROUTER.into());
        Some(payload.to_vec())
    });
    assert!(answer.ends_with(b"are you there"));
}

#[test]
fn files_come_whole_over_one_connection() {
    let big = noise(5_000_000);
    let bench = mirror(|root| {
        std::fs::create_dir(root.join("pool")).expect("a directory");
        std::fs::write(root.join("pool/big_1+2_arm64.deb"), &big).expect("a file");
        std::fs::write(root.join("Release"), "Suite: trixie\n").expect("a file");
        std::fs::write(root.join("empty"), "").expect("a file");
    });
    let mut guest = Guest::new(&bench.lan, "guest", mac(1));
    guest.dhcp();
    let connection = guest.connect(ROUTER, 80, 50_000);
    // All at once, as apt does; the last one ends the connection.
    let mut requests = String::new();
    for (line, close) in [
        ("GET /Release", ""),
        ("GET /nowhere", ""),
        ("HEAD /pool/big_1%2b2_arm64.deb", ""),
        ("GET /empty", ""),
        ("GET /pool", ""),
        ("GET /pool/big_1%2b2_arm64.deb", ""),
        ("GET /Release", "Connection: close\r\n"),
    ] {
        requests += &format!("{line} HTTP/1.1\r\nHost: mirror\r\n{close}\r\n");
    }
    let response = guest.exchange(connection, requests.as_bytes());

    let mut rest = &response[..];
    let mut next = |has_body: bool| {
        let (head, body) = split(rest);
        let length =
            head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
        let length: usize = length.parse().expect("a number");
        let (body, after) = body.split_at(if has_body { length } else { 0 });
        rest = after;
        (head.lines().next().expect("a line").to_owned(), length, body)
    };
    assert_eq!(next(true), ("HTTP/1.1 200 OK".into(), 14, &b"Suite: trixie\n"[..]));
    assert_eq!(next(true).0, "HTTP/1.1 404 Not Found");
    assert_eq!(next(false), ("HTTP/1.1 200 OK".into(), big.len(), &b""[..]));
    assert_eq!(next(true), ("HTTP/1.1 200 OK".into(), 0, &b""[..]));
    assert_eq!(next(true).0, "HTTP/1.1 404 Not Found", "directories are not listed");
    let (status, length, body) = next(true);
    assert_eq!((status.as_str(), length), ("HTTP/1.1 200 OK", big.len()));
    assert!(body == big, "the file came through changed");
    assert_eq!(next(true).1, 14);
    assert!(rest.is_empty());
}

#[test]
fn what_is_no_request_for_a_file_gets_an_answer_and_an_end() {
    let bench = mirror(|root| {
        std::fs::write(root.parent().expect("a parent").join("secret"), "x").expect("a file")
    });
    let mut guest =
        Guest::with_address(&bench.lan, "guest", mac(1), Ipv4Addr::new(192, 168, 50, 20));
    for (port, request, status) in [
        (50_001, "GET /../secret HTTP/1.1\r\n\r\n", "400"),
        (50_002, "GET /%2e%2e/secret HTTP/1.1\r\n\r\n", "400"),
        (50_003, "POST /x HTTP/1.1\r\n\r\n", "405"),
        (50_004, "\u{1}\u{2} nonsense\r\n\r\n", "400"),
        (50_005, "GET /x HTTP/1.0\r\n\r\n", "404"),
    ] {
        let connection = guest.connect(ROUTER, 80, port);
        let response = guest.exchange(connection, request.as_bytes());
        assert_eq!(split(&response).0.split(' ').nth(1), Some(status), "{request}");
    }
}

#[test]
fn many_clients_at_once_and_clients_that_vanish() {
    let bench = mirror(|root| std::fs::write(root.join("f"), noise(100_000)).expect("a file"));
    let mut guest =
        Guest::with_address(&bench.lan, "guest", mac(1), Ipv4Addr::new(192, 168, 50, 20));
    // A hundred clients connect, ask for half a request and are never heard of again; one more must still be served.
    for port in 50_000..50_100 {
        let handle = guest.connect(ROUTER, 80, port);
        guest.until("the connection", |guest| guest.tcp(handle).may_send().then_some(()));
        guest.tcp(handle).send_slice(b"GET /f HT").expect("sends");
        guest.until("the half request to be on its way", |guest| {
            (guest.tcp(handle).send_queue() == 0).then_some(())
        });
        guest.sockets.remove(handle);
    }
    let handle = guest.connect(ROUTER, 80, 60_000);
    let response = guest.exchange(handle, b"GET /f HTTP/1.0\r\n\r\n");
    assert_eq!(split(&response).1, noise(100_000));
}

#[test]
fn strangers_on_the_wire_do_not_keep_the_router_busy() {
    let bench = mirror(|_| ());
    let mut stranger =
        Guest::with_address(&bench.lan, "stranger", mac(1), Ipv4Addr::new(10, 9, 8, 7));
    // It knows the way to the router; the router knows no way back.
    stranger
        .interface
        .routes_mut()
        .add_default_ipv4_route(Ipv4Addr::new(10, 9, 8, 1))
        .expect("a route");
    let port = bench.lan.attach("forger").expect("a port");
    let syn = syn_from(Ipv4Addr::new(10, 9, 8, 7));
    let before = bench.lan.stats();
    port.send(&syn);
    port.recv(std::time::Instant::now() + std::time::Duration::from_millis(300));
    let after = bench.lan.stats();
    assert_eq!(after.nodes["router"].received_frames, before.nodes["router"].received_frames + 1);
    assert!(
        after.cpu - before.cpu < std::time::Duration::from_millis(50),
        "{:?}",
        after.cpu - before.cpu
    );
}

/// A connection request to the router's web server.
fn syn_from(source: Ipv4Addr) -> Vec<u8> {
    use smoltcp::wire::*;
    let tcp = TcpRepr {
        src_port: 5,
        dst_port: 80,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = Ipv4Repr {
        src_addr: source,
        dst_addr: ROUTER,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; 14 + ip.buffer_len() + tcp.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_dst_addr(EthernetAddress(ROUTER_MAC));
    frame.set_src_addr(EthernetAddress(mac(1)));
    frame.set_ethertype(EthernetProtocol::Ipv4);
    let checksums = ChecksumCapabilities::default();
    ip.emit(&mut Ipv4Packet::new_unchecked(frame.payload_mut()), &checksums);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    tcp.emit(
        &mut TcpPacket::new_unchecked(packet.payload_mut()),
        &source.into(),
        &ROUTER.into(),
        &checksums,
    );
    bytes
}
