//! Faults on links, as nodes meet them and as the capture shows them.

mod common;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::{Bench, Guest, LONG, ROUTER, frame, lan, lan_with, mac, soon, tshark};
use feeder_lan::frame::BROADCAST;
use feeder_lan::{Fault, FaultId, FaultKind, LanError, Place, Port, Probability, Traffic};

fn ports<const N: usize>(bench: &Bench, names: [&str; N]) -> [Port; N] {
    names.map(|name| bench.lan.attach(name).expect("a port"))
}

fn inject(bench: &Bench, fault: Fault) -> FaultId {
    bench.lan.inject(fault).expect("a sound fault")
}

/// What `port` got before a marker that `via` sends, and that no fault concerns.
fn received(port: &Port, via: &Port) -> Vec<Vec<u8>> {
    let marker = frame(BROADCAST, mac(0x77), b"marker");
    via.send(&marker);
    let mut frames = Vec::new();
    loop {
        let frame = port.recv(soon()).expect("the marker");
        if frame == marker {
            return frames;
        }
        frames.push(frame);
    }
}

fn numbered(n: u32) -> Vec<u8> {
    frame(BROADCAST, mac(1), &n.to_be_bytes())
}

#[test]
fn a_lossy_link_loses_the_same_frames_for_the_same_seed() {
    let run = |seed: u64| {
        let bench = lan_with(|_, config| config.seed = seed);
        let [a, b, c] = ports(&bench, ["a", "b", "c"]);
        inject(&bench, Fault::loss("a", Probability::percent(30)).from_node());
        for n in 0..300 {
            a.send(&numbered(n));
        }
        let (at_b, at_c) = (received(&b, &c), received(&c, &b));
        assert_eq!(at_b, at_c[..at_b.len()], "lost before the switch, so for all");
        let summary = bench.lan.shutdown();
        assert_eq!(summary.nodes["a"].faults_lost, 300 - at_b.len() as u64);
        assert_eq!(summary.nodes["b"].faults_lost, 0);
        assert_eq!(summary.faults[0].counts.met, 300);
        at_b
    };
    let first = run(1);
    assert!((150..270).contains(&first.len()), "{} of 300 arrived", first.len());
    assert_eq!(run(1), first);
    assert_ne!(run(2), first);
}

#[test]
fn a_cut_cable_is_silent_until_it_is_back() {
    let bench = lan();
    let [a, b, c] = ports(&bench, ["a", "b", "c"]);
    let cut = inject(&bench, Fault::cut("a"));
    a.send(&numbered(1));
    b.send(&numbered(2));
    assert_eq!(received(&b, &c), Vec::<Vec<u8>>::new());
    let report = bench.lan.clear(cut).expect("runs").expect("it was in force");
    // The marker was for a too.
    assert_eq!((report.counts.lost, report.id), (3, cut));
    assert_eq!(bench.lan.clear(cut).expect("runs"), None);
    a.send(&numbered(3));
    assert_eq!(received(&b, &c), [numbered(3)]);
    assert_eq!(received(&a, &c), Vec::<Vec<u8>>::new(), "what was lost stays lost");
}

#[test]
fn a_partition_leaves_each_side_whole() {
    let bench = lan();
    let [a, b, c] = ports(&bench, ["a", "b", "c"]);
    inject(&bench, Fault::partition(["a", "b"]));
    a.send(&numbered(1));
    assert_eq!(b.recv(soon()), Some(numbered(1)));
    c.send(&numbered(2));
    bench.lan.stats(); // so that the frame has crossed
    assert_eq!((a.try_recv(), b.try_recv(), c.try_recv()), (None, None, None));
    let stats = bench.lan.stats();
    // On the receiver's side: a's frame for c and the router, c's for a and b.
    for (node, lost) in [("a", 1), ("b", 1), ("c", 1), ("router", 1)] {
        assert_eq!(stats.nodes[node].faults_lost, lost, "{node}");
    }
}

#[test]
fn a_slow_link_keeps_the_order_and_the_time() {
    let bench = lan();
    let [a, b] = ports(&bench, ["a", "b"]);
    let delay = Duration::from_millis(200);
    inject(&bench, Fault::delay("a", delay).from_node());
    inject(&bench, Fault::delay("b", delay).to_node());
    let start = Instant::now();
    for n in 0..100 {
        a.send(&numbered(n));
    }
    for n in 0..100 {
        assert_eq!(b.recv(soon()), Some(numbered(n)));
        assert!(start.elapsed() >= delay * 2, "{:?}", start.elapsed());
    }
    let stats = bench.lan.stats();
    assert_eq!((stats.nodes["a"].faults_delayed, stats.nodes["b"].faults_delayed), (100, 100));
}

#[test]
fn a_lan_with_late_frames_is_not_at_rest() {
    let bench = lan();
    let [a, b] = ports(&bench, ["a", "b"]);
    inject(&bench, Fault::delay("a", Duration::from_millis(300)).from_node());
    a.send(&numbered(1));
    assert_eq!(bench.lan.settle(&mut || false).expect("runs"), None, "it has to wait");
    assert!(bench.lan.settle(&mut || true).expect("runs").is_some());
    assert_eq!(b.try_recv(), Some(numbered(1)));
}

#[test]
fn held_back_frames_are_overtaken() {
    let bench = lan();
    let [a, b] = ports(&bench, ["a", "b"]);
    let (probability, by) = (Probability::percent(20), Duration::from_millis(100));
    inject(&bench, Fault::on("a", FaultKind::Reorder { probability, by }).from_node());
    for n in 0..100 {
        a.send(&numbered(n));
    }
    let got: Vec<_> = (0..100).map(|_| b.recv(soon()).expect("all arrive")).collect();
    assert!(!got.is_sorted(), "none was overtaken");
    assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), (0..100).map(numbered).collect());
}

#[test]
fn doubled_and_damaged_frames_arrive() {
    let bench = lan();
    let [a, b] = ports(&bench, ["a", "b"]);
    let doubled = inject(&bench, Fault::on("a", FaultKind::Duplicate(Probability::ALWAYS)));
    a.send(&numbered(1));
    for _ in 0..2 {
        assert_eq!(b.recv(soon()), Some(numbered(1)));
    }
    bench.lan.clear(doubled).expect("runs");
    inject(&bench, Fault::on("b", FaultKind::Corrupt(Probability::ALWAYS)));
    a.send(&numbered(2));
    let damaged = b.recv(soon()).expect("it arrives");
    assert_eq!(damaged[..14], numbered(2)[..14]);
    assert_ne!(damaged[14..], numbered(2)[14..]);
    let stats = bench.lan.stats();
    assert_eq!((stats.nodes["a"].faults_duplicated, stats.nodes["b"].faults_corrupted), (1, 1));
}

#[test]
fn a_fault_ends_by_itself_on_an_idle_lan() {
    let bench = lan();
    let [a, b] = ports(&bench, ["a", "b"]);
    inject(&bench, Fault::cut("a").lasting(Duration::from_millis(300)));
    a.send(&numbered(1));
    assert_eq!(bench.lan.stats().nodes["a"].faults_lost, 1);
    let deadline = soon();
    // Nothing is sent meanwhile: it is the LAN's own timer.
    while bench.lan.stats().faults[0].ended.is_none() {
        assert!(Instant::now() < deadline, "it never ends");
        b.recv(Instant::now() + Duration::from_millis(20));
    }
    let report = &bench.lan.stats().faults[0];
    let lasted = report.ended.expect("ended") - report.began;
    assert!(lasted >= Duration::from_millis(300), "{lasted:?}");
    a.send(&numbered(2));
    assert_eq!(b.recv(soon()), Some(numbered(2)));
}

#[test]
fn a_broadcast_crosses_a_node_s_cable_once() {
    let bench = lan();
    let [a, firmware] = ports(&bench, ["a", "worker"]);
    let cable = bench.lan.attach_qemu("worker").expect("a cable");
    let kernel = UnixDatagram::bind(&cable.qemu).expect("binds");
    kernel.set_read_timeout(Some(LONG)).expect("a timeout");
    inject(&bench, Fault::loss("worker", Probability::percent(50)).to_node());
    let last = frame(BROADCAST, mac(9), b"the last one");
    for n in 0..60 {
        a.send(&numbered(n));
    }
    // Until one gets through: it is repeated, and has another chance each time.
    let (mut at_firmware, mut at_kernel) = (Vec::new(), Vec::new());
    while at_firmware.last() != Some(&last) {
        a.send(&last);
        bench.lan.stats();
        at_firmware.extend(std::iter::from_fn(|| firmware.try_recv()));
    }
    let mut buffer = [0; 100];
    while at_kernel.last() != Some(&last) {
        let length = kernel.recv(&mut buffer).expect("a frame");
        at_kernel.push(buffer[..length].to_vec());
    }
    assert_eq!(at_firmware, at_kernel);
    assert!((5..60).contains(&at_kernel.len()), "{} of 60", at_kernel.len());
}

#[test]
fn a_server_is_silent_for_tftp_and_for_nothing_else() {
    use smoltcp::socket::udp;
    let bench = lan();
    let packets = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 4096]);
    let socket = |port: u16| {
        let mut socket = udp::Socket::new(packets(), packets());
        socket.bind(port).expect("binds");
        socket
    };
    let address = |n| Ipv4Addr::new(192, 168, 50, n);
    let mut server = Guest::with_address(&bench.lan, "master", mac(1), address(10));
    let mut client = Guest::with_address(&bench.lan, "worker", mac(2), address(20));
    let (listening, transfer) = (server.sockets.add(socket(69)), server.sockets.add(socket(3000)));
    let (asking, other) = (client.sockets.add(socket(2000)), client.sockets.add(socket(2001)));
    let silent =
        inject(&bench, Fault::loss("master", Probability::ALWAYS).only(Traffic::Tftp).from_node());
    // The server answers each request from a new port, as TFTP servers do, and greets the client's other port.
    let mut ask = || {
        let to = (address(10), 69);
        client
            .sockets
            .get_mut::<udp::Socket>(asking)
            .send_slice(b"\0\x01f\0octet\0", to)
            .expect("sends");
        let deadline = soon();
        loop {
            client.step(Duration::from_millis(5));
            server.step(Duration::from_millis(5));
            if server.sockets.get_mut::<udp::Socket>(listening).recv().is_ok() {
                let answer = server.sockets.get_mut::<udp::Socket>(transfer);
                answer.send_slice(b"\0\x03\0\x01data", (address(20), 2000)).expect("sends");
                answer.send_slice(b"hello", (address(20), 2001)).expect("sends");
            }
            // The greeting was sent last: when it is there, so is the answer, if it comes at all.
            if client.sockets.get_mut::<udp::Socket>(other).recv().is_ok() {
                return client.sockets.get_mut::<udp::Socket>(asking).recv().is_ok();
            }
            assert!(Instant::now() < deadline, "the greeting is lost");
        }
    };
    assert!(!ask(), "the server is to be silent");
    let report = bench.lan.clear(silent).expect("runs").expect("in force");
    assert_eq!(report.counts.met, report.counts.lost);
    assert!(report.counts.lost >= 1);
    assert!(ask(), "and to answer when the fault is over");
}

#[test]
fn impossible_faults_are_refused_and_dead_lans_say_so() {
    let bench = lan();
    let nobody = Fault::at(Place::Links(BTreeSet::new()), FaultKind::Cut);
    assert!(matches!(bench.lan.inject(nobody), Err(LanError::Fault { .. })));
    let fault = inject(&bench, Fault::cut("not-attached-yet"));
    bench.lan.shutdown();
    assert!(matches!(bench.lan.clear(fault), Err(LanError::Stopped)));
}

#[test]
fn a_restored_lan_goes_on_with_its_faults() {
    let setup = |seed| lan_with(move |_, config| config.seed = seed);
    let frames = |range: std::ops::Range<u32>| range.map(numbered);
    let loss = || Fault::loss("a", Probability::percent(50)).from_node();
    let whole = setup(3);
    let [a, b, c] = ports(&whole, ["a", "b", "c"]);
    inject(&whole, loss());
    frames(0..50).chain(frames(0..50)).for_each(|frame| a.send(&frame));
    let expected = received(&b, &c);

    let first = setup(3);
    let [a, b, c] = ports(&first, ["a", "b", "c"]);
    let fault = inject(&first, loss());
    frames(0..50).for_each(|frame| a.send(&frame));
    let mut got = received(&b, &c);
    let state = first.lan.state().expect("a state");
    let second = setup(3);
    let [a, b, c] = ports(&second, ["a", "b", "c"]);
    second.lan.restore(state).expect("restored");
    frames(0..50).for_each(|frame| a.send(&frame));
    got.extend(received(&b, &c));
    assert_eq!(got, expected);
    let report = second.lan.clear(fault).expect("runs").expect("it goes on");
    assert_eq!(report.counts.met, 100);
}

#[test]
fn tshark_reads_what_faults_did() {
    let bench = lan();
    let [a, b] = ports(&bench, ["a", "b"]);
    let seconds = Duration::from_secs(60);
    let loss = inject(&bench, Fault::loss("a", Probability::ALWAYS).from_node().lasting(seconds));
    a.send(&numbered(1));
    bench.lan.clear(loss).expect("runs");
    let cut = inject(&bench, Fault::partition(["a"]));
    a.send(&numbered(2));
    bench.lan.clear(cut).expect("runs");
    inject(&bench, Fault::delay("a", Duration::from_millis(20)).from_node());
    inject(&bench, Fault::on("b", FaultKind::Duplicate(Probability::ALWAYS)));
    a.send(&numbered(3));
    for _ in 0..2 {
        assert_eq!(b.recv(soon()), Some(numbered(3)));
    }
    bench.lan.shutdown();
    let Some(rows) =
        tshark(&bench.dir.join("lan.pcapng"), &["frame.interface_name", "frame.comment"])
    else {
        return;
    };
    let rows: Vec<String> = rows.iter().map(|row| format!("{}: {}", row[0], row[1])).collect();
    let loss = "100 % loss on a, from the node, for 60 s";
    let cut = "cut between a and all others";
    let delay = "20 ms delay on a, from the node";
    let duplication = "100 % duplication on b, both directions";
    assert_eq!(
        rows,
        [
            format!("steps: fault 1 begins: {loss}"),
            format!("a: lost as it left a: fault 1, {loss}"),
            format!("steps: fault 1 ended: {loss}; 1 lost, of 1 frames"),
            format!("steps: fault 2 begins: {cut}"),
            format!(
                "a: lost on its way to b: fault 2, {cut}; lost on its way to router: fault 2, {cut}"
            ),
            format!("steps: fault 2 ended: {cut}; 2 lost, of 2 frames"),
            format!("steps: fault 3 begins: {delay}"),
            format!("steps: fault 4 begins: {duplication}"),
            format!("a: delayed by 20 ms as it left a: fault 3, {delay}"),
            format!("steps: a late frame of a: duplicated on its way to b: fault 4, {duplication}"),
        ]
    );
}

#[test]
fn a_guest_gets_through_a_bad_link() {
    let content: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let bench = lan_with(|dir, config| {
        std::fs::write(dir.join("f"), &content).expect("a file");
        config.router.http_root = Some(dir.to_owned());
    });
    for kind in [
        FaultKind::Loss(Probability::percent(2)),
        FaultKind::Corrupt(Probability::percent(2)),
        FaultKind::Duplicate(Probability::percent(5)),
        FaultKind::Jitter(Duration::from_millis(3)),
    ] {
        inject(&bench, Fault::on("guest", kind));
    }
    let address = Ipv4Addr::new(192, 168, 50, 20);
    let mut guest = Guest::with_address(&bench.lan, "guest", mac(1), address);
    let handle = guest.connect(ROUTER, 80, 50_000);
    let response = guest.exchange(handle, b"GET /f HTTP/1.0\r\n\r\n");
    assert!(response.ends_with(&content), "TCP's checksums find what was damaged");
    let stats = bench.lan.stats().nodes["guest"];
    let bad = stats.faults_lost + stats.faults_corrupted + stats.faults_duplicated;
    assert!(bad > 0, "{stats:?}");
}
