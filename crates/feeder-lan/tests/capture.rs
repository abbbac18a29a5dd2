//! The capture, read by others.

mod common;

use std::fs::File;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use common::{Guest, ROUTER, frame, lan, lan_with, mac, skipped, soon, tshark};
use feeder_lan::frame::BROADCAST;
use feeder_process::Cmd;
use pcap_file::pcapng::{Block, PcapNgReader};

/// Node and bytes of every frame, remarks included; fails on anything that is not well-formed.
fn frames(path: &Utf8Path) -> Vec<(String, Vec<u8>)> {
    let mut reader =
        PcapNgReader::new(File::open(path).expect("the capture")).expect("a section header");
    let mut frames = Vec::new();
    let mut interfaces = Vec::new();
    while let Some(block) = reader.next_block() {
        match block.expect("a whole block") {
            Block::InterfaceDescription(block) => {
                interfaces.push(format!("{:?}", block.options[0]))
            }
            Block::EnhancedPacket(block) => {
                let name = interfaces[block.interface_id as usize]
                    .split('"')
                    .nth(1)
                    .expect("a name")
                    .to_owned();
                frames.push((name, block.data.to_vec()));
            }
            _ => {}
        }
    }
    frames
}

#[test]
fn tshark_sees_nodes_names_and_remarks() {
    let bench = lan_with(|_, config| {
        config.router.names.insert("mirror.example.org".into(), ROUTER);
    });
    bench.lan.comment("power on — the guest");
    let mut guest = Guest::new(&bench.lan, "cluster01", mac(1));
    guest.dhcp();
    assert_eq!(guest.resolve("mirror.example.org"), Some(ROUTER.into()));
    bench.lan.comment("done");
    bench.lan.shutdown();
    let path = bench.dir.join("lan.pcapng");
    let Some(rows) = tshark(
        &path,
        &["frame.interface_name", "frame.comment", "dhcp.option.dhcp", "ip.src_host"],
    ) else {
        return;
    };
    let has = |wanted: [&str; 5]| {
        rows.iter().any(|row| row.iter().zip(wanted).all(|(cell, wanted)| cell == wanted))
    };
    assert!(has(["steps", "power on — the guest", "", "", ""]), "{rows:?}");
    assert!(has(["cluster01", "", "1", "0.0.0.0", ""]), "the DISCOVER: {rows:?}");
    assert!(
        has(["router", "", "2", "router", ""]),
        "the OFFER, from an address with a name: {rows:?}"
    );
    assert!(has(["router", "", "", "router", "192.168.50.1"]), "the answer to a name: {rows:?}");
    assert_eq!(rows.last().expect("rows")[..2], ["steps", "done"]);

    let flags = tshark(&path, &["frame.packet_flags_direction"]).expect("tshark");
    assert!(
        flags.iter().all(|row| row[0].ends_with('2')),
        "outbound, as each node sent them: {flags:?}"
    );
    let malformed = tshark(&path, &["_ws.malformed", "_ws.expert.severity"]).expect("tshark");
    assert!(malformed.iter().all(|row| row[0].is_empty()), "{malformed:?}");
}

#[test]
fn every_frame_once_and_in_order() {
    let bench = lan();
    let (a, b) = (bench.lan.attach("a").expect("a port"), bench.lan.attach("b").expect("a port"));
    let c = bench.lan.attach("c").expect("a port");
    for n in 0..500u32 {
        a.send(&frame(BROADCAST, mac(1), &n.to_be_bytes())); // reaches b, c and the router, and is captured once
        assert!(b.recv(soon()).is_some() && c.recv(soon()).is_some());
    }
    let summary = bench.lan.shutdown();
    let path = bench.dir.join("lan.pcapng");
    let expected: Vec<_> =
        (0..500u32).map(|n| ("a".to_owned(), frame(BROADCAST, mac(1), &n.to_be_bytes()))).collect();
    assert_eq!(frames(&path), expected);
    assert_eq!(summary.frames, 500);
    assert_eq!(summary.capture_bytes, std::fs::metadata(&path).expect("the capture").len());
    assert_eq!(summary.capture_failed, None);
}

#[test]
fn remarks_are_in_the_file_when_the_lan_is_idle() {
    let bench = lan();
    bench.lan.comment("step 1");
    let path = bench.dir.join("lan.pcapng");
    let deadline = soon();
    // The writer is another thread: soon, not at once.
    while frames(&path).is_empty() {
        assert!(Instant::now() < deadline, "the remark never reached the file");
    }
    let (node, bytes) = frames(&path).remove(0);
    assert_eq!((node.as_str(), &bytes[14..]), ("steps", &b"step 1"[..]));
}

#[test]
fn a_full_disk_ends_the_capture_and_not_the_lan() {
    if !Utf8Path::new("/dev/full").exists() {
        skipped("no /dev/full here");
        return;
    }
    // The header goes through; everything after that does not fit.
    let error = feeder_lan::Lan::start(feeder_lan::LanConfig {
        sockets: common::lan().dir.join("s"),
        capture: Some("/dev/full".into()),
        router: feeder_lan::RouterConfig::home("192.168.50.0/24".parse().expect("a network")),
        seed: 1,
    })
    .expect_err("the header does not fit either");
    assert!(error.to_string().contains("/dev/full"), "{error}");
}

const ABORT_INTO: &str = "FEEDER_LAN_TEST_ABORT_INTO";

#[test]
#[ignore = "the process that the next test lets die"]
fn dies_without_saying_goodbye() {
    let dir = std::env::var(ABORT_INTO).expect("started by the next test");
    let bench =
        common::lan_with(|_, config| config.capture = Some(Utf8Path::new(&dir).join("lan.pcapng")));
    let port = bench.lan.attach("a").expect("a port");
    let mut guest =
        Guest::with_address(&bench.lan, "guest", mac(2), Ipv4Addr::new(192, 168, 50, 20));
    for n in 0..300u32 {
        port.send(&frame(BROADCAST, mac(1), &n.to_be_bytes()));
        assert!(n > 0 || guest.connect(ROUTER, 9, 1000) != guest.listen(9));
        guest.step(Duration::ZERO);
    }
    let written = bench.lan.stats().capture_bytes;
    let deadline = soon();
    while bench.lan.stats().capture_bytes == written {
        assert!(Instant::now() < deadline, "nothing is flushed");
        port.recv(Instant::now() + Duration::from_millis(10));
    }
    bench.lan.comment("the last words");
    std::process::abort();
}

#[test]
fn what_a_killed_process_leaves_is_readable() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = Utf8Path::from_path(dir.path()).expect("UTF-8");
    let output = Cmd::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "dies_without_saying_goodbye"])
        .env(ABORT_INTO, dir.as_str())
        .output()
        .expect("starts");
    assert!(output.status.signal.is_some(), "it was to die: {}", output.stdout_text());
    let path = dir.join("lan.pcapng");
    let sent = frames(&path).iter().filter(|(node, _)| node == "a").count();
    assert_eq!(sent, 300);
    if let Some(rows) = tshark(&path, &["frame.number"]) {
        assert_eq!(rows.len(), frames(&path).len());
    }
}
