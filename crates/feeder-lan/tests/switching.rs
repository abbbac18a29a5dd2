//! Frames between nodes: in-process ports, QEMU's sockets, and both.

mod common;

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::{LONG, frame, lan, mac, soon};
use feeder_lan::frame::BROADCAST;
use feeder_lan::{LanError, Port};

/// A QEMU stand-in: binds its path, as QEMU does when it starts.
fn power_on(cable: &feeder_lan::QemuPort) -> UnixDatagram {
    let _ = std::fs::remove_file(&cable.qemu);
    let socket = UnixDatagram::bind(&cable.qemu).expect("binds");
    socket.set_read_timeout(Some(LONG)).expect("a timeout");
    socket
}

fn receive(socket: &UnixDatagram) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let length = socket.recv(&mut buffer).expect("a frame");
    buffer.truncate(length);
    buffer
}

/// Nothing reached `port`: a frame sent to it now is the first that it sees.
fn assert_quiet(port: &Port, via: &Port) {
    let marker = frame(BROADCAST, mac(0x77), b"marker");
    via.send(&marker);
    assert_eq!(port.recv(soon()), Some(marker));
}

#[test]
fn the_switch_learns_floods_and_keeps_secrets() {
    let bench = lan();
    let [a, b, c] = ["a", "b", "c"].map(|name| bench.lan.attach(name).expect("a port"));

    let unknown = frame(mac(2), mac(1), b"who is there");
    a.send(&unknown);
    assert_eq!(b.recv(soon()).as_ref(), Some(&unknown), "flooded: nobody has heard of b");
    assert_eq!(c.recv(soon()).as_ref(), Some(&unknown));

    let answer = frame(mac(1), mac(2), b"me");
    b.send(&answer);
    assert_eq!(a.recv(soon()), Some(answer));
    let secret = frame(mac(2), mac(1), b"for you only");
    a.send(&secret);
    assert_eq!(b.recv(soon()), Some(secret));
    assert_quiet(&c, &b);
    assert_eq!(
        a.try_recv(),
        Some(frame(BROADCAST, mac(0x77), b"marker")),
        "and nothing of its own before that"
    );

    let summary = bench.lan.shutdown();
    assert_eq!(summary.frames, 4);
    assert_eq!(summary.nodes["a"].sent_frames, 2);
    assert_eq!(summary.nodes["c"].received_frames, 2);
}

#[test]
fn runts_are_dropped_and_large_frames_pass() {
    let bench = lan();
    let (a, b) = (bench.lan.attach("a").expect("a port"), bench.lan.attach("b").expect("a port"));
    a.send(&[1, 2, 3]);
    let large = frame(mac(2), mac(1), &vec![7; 65_000]);
    a.send(&large);
    assert_eq!(b.recv(soon()), Some(large));
    assert_eq!(bench.lan.stats().nodes["a"].dropped_from_node, 1);
}

#[test]
fn qemu_comes_goes_and_comes_back() {
    let bench = lan();
    let a = bench.lan.attach("a").expect("a port");
    let cable = bench.lan.attach_qemu("vm").expect("a cable");
    let ping = frame(BROADCAST, mac(1), b"anybody");
    let dropped = || bench.lan.stats().nodes["vm"].dropped_link_down;

    a.send(&ping);
    assert_eq!(dropped(), 1, "powered off: dropped, counted, no error");

    for round in 1..=3u8 {
        let vm = power_on(&cable);
        // Its first frame must get through although the switch still believes in its predecessor.
        let hello = frame(BROADCAST, mac(9), &[round]);
        vm.send_to(&hello, &cable.lan).expect("sends");
        assert_eq!(a.recv(soon()), Some(hello));
        a.send(&ping);
        assert_eq!(receive(&vm), ping);
        drop(vm); // power cut
        a.send(&ping);
        assert_eq!(dropped(), 1 + u64::from(round));
    }
    assert_eq!(bench.lan.stats().nodes["vm"].link_ups, 3);
}

#[test]
fn a_card_moves_from_the_boot_firmware_to_qemu() {
    let bench = lan();
    let server = bench.lan.attach("server").expect("a port");
    let cable = bench.lan.attach_qemu("worker").expect("a cable");
    let firmware = bench.lan.attach("worker").expect("a port beside the cable");

    let discover = frame(BROADCAST, mac(5), b"firmware");
    firmware.send(&discover);
    assert_eq!(server.recv(soon()), Some(discover));
    let file = frame(mac(5), mac(1), b"kernel");
    server.send(&file);
    assert_eq!(firmware.recv(soon()), Some(file));

    let kernel = power_on(&cable);
    kernel.set_nonblocking(true).expect("non-blocking");
    assert!(
        kernel.recv(&mut [0; 100]).is_err(),
        "what the firmware sends does not come back on its own cable"
    );
    kernel.set_nonblocking(false).expect("blocking");
    let request = frame(BROADCAST, mac(5), b"kernel");
    kernel.send_to(&request, &cable.lan).expect("sends");
    assert_eq!(server.recv(soon()), Some(request));
    let answer = frame(mac(5), mac(1), b"for the kernel");
    server.send(&answer);
    assert_eq!(receive(&kernel), answer);
    assert_eq!(firmware.try_recv(), None);
}

#[test]
fn a_peer_that_does_not_read_loses_the_tail_only() {
    let bench = lan();
    let a = bench.lan.attach("a").expect("a port");
    let cable = bench.lan.attach_qemu("vm").expect("a cable");
    let vm = power_on(&cable);
    let total = 3000u32;
    for n in 0..total {
        a.send(&frame(BROADCAST, mac(1), &n.to_be_bytes()));
        if n % 500 == 0 {
            bench.lan.stats(); // so that the frames wait for the peer and not on their way into the switch
        }
    }
    let stats = bench.lan.stats();
    let (dropped, delivered) =
        (stats.nodes["vm"].dropped_queue_full, stats.nodes["vm"].received_frames);
    assert_eq!(dropped + delivered, u64::from(total));
    assert!(dropped > 0 && delivered >= 1024, "{stats:?}");
    for n in 0..u32::try_from(delivered).expect("fits") {
        assert_eq!(
            receive(&vm),
            frame(BROADCAST, mac(1), &n.to_be_bytes()),
            "in order, nothing missing"
        );
    }
    // And it recovers.
    let next = frame(BROADCAST, mac(1), b"next");
    a.send(&next);
    assert_eq!(receive(&vm), next);
}

#[test]
fn ports_detach_and_names_are_taken_once() {
    let bench = lan();
    let a = bench.lan.attach("a").expect("a port");
    assert!(matches!(bench.lan.attach("a"), Err(LanError::Attached { .. })));
    assert!(matches!(bench.lan.attach("../a"), Err(LanError::NodeName { .. })));
    let cable = bench.lan.attach_qemu("a").expect("a cable");
    assert!(matches!(bench.lan.attach_qemu("a"), Err(LanError::Attached { .. })));
    assert!(cable.lan.exists());
    bench.lan.detach("a");
    assert!(!cable.lan.exists());
    assert_eq!(a.recv(soon()), None, "at once");
    assert!(!a.is_attached());
    drop(a);
    let again = bench.lan.attach("a").expect("free again");
    drop(again);
    bench.lan.attach("a").expect("dropping detaches");
}

#[test]
fn after_shutdown_sockets_are_gone_and_calls_say_so() {
    let bench = lan();
    let port = bench.lan.attach("a").expect("a port");
    let cable = bench.lan.attach_qemu("vm").expect("a cable");
    let vm = power_on(&cable);
    let summary = bench.lan.shutdown();
    assert_eq!(bench.lan.shutdown(), summary);
    assert_eq!(bench.lan.stats(), summary);
    assert!(!cable.lan.exists() && !cable.qemu.exists());
    assert_eq!(port.recv(Instant::now() + LONG), None);
    assert!(matches!(bench.lan.attach("b"), Err(LanError::Stopped)));
    drop(vm);
}

#[test]
fn taps_copy_what_they_ask_for() {
    let bench = lan();
    let (a, b) = (bench.lan.attach("a").expect("a port"), bench.lan.attach("b").expect("a port"));
    let tap = bench.lan.tap(2, |frame| frame.ends_with(b"!")).expect("a tap");
    for text in ["one!", "two", "three!", "four!"] {
        a.send(&frame(mac(2), mac(1), text.as_bytes()));
    }
    for _ in 0..4 {
        assert!(b.recv(soon()).is_some(), "taps only copy");
    }
    let seen = tap.recv(soon()).expect("a copy");
    assert_eq!((&*seen.node, &seen.bytes[14..]), ("a", &b"one!"[..]));
    assert!(seen.at.elapsed().expect("in the past") < LONG && seen.elapsed < LONG);
    assert_eq!(tap.recv(soon()).expect("a copy").bytes[14..], *b"three!");
    assert_eq!(tap.try_recv(), None);
    assert_eq!(tap.dropped(), 1);
    drop(tap);
    a.send(&frame(mac(2), mac(1), b"unheard!"));
    assert!(b.recv(soon()).is_some());
}

#[test]
fn an_idle_lan_sleeps() {
    let bench = lan();
    let a = bench.lan.attach("a").expect("a port");
    let cable = bench.lan.attach_qemu("vm").expect("a cable");
    // A stopped guest: it is there, reads nothing, and frames wait for it.
    let _vm = power_on(&cable);
    for _ in 0..100 {
        a.send(&frame(BROADCAST, mac(1), b"x"));
    }
    let before = bench.lan.stats().cpu;
    assert_eq!(a.recv(Instant::now() + Duration::from_millis(500)), None);
    let used = bench.lan.stats().cpu - before;
    assert!(
        used < Duration::from_millis(50),
        "{used:?} of CPU time in half a second of nothing to do"
    );
}

#[test]
fn the_handles_may_be_used_from_any_thread() {
    fn shareable<T: Send + Sync>(_: &T) {}
    let bench = lan();
    let port = bench.lan.attach("a").expect("a port");
    shareable(&bench.lan);
    shareable(&port);
    std::thread::scope(|scope| {
        for n in 0..4u8 {
            let (lan, port) = (&bench.lan, &port);
            scope.spawn(move || {
                port.send(&frame(BROADCAST, mac(n), b"x"));
                lan.comment("from a thread");
                lan.stats();
            });
        }
    });
    assert_eq!(bench.lan.shutdown().frames, 4);
}
