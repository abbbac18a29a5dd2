//! A recorded boot, hand-made calls of NFS clients, and whatever bytes there are.

use proptest::prelude::*;

use super::*;

const WORKER: Mac = [0xb8, 0x27, 0xeb, 0x6c, 0x4c, 0x16];
const MASTER: Mac = [0x02, 0, 0, 0, 0, 0x64];
const WORKER_AT: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 101);
const MASTER_AT: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 100);

fn decoder() -> Decoder {
    let mut decoder = Decoder::default();
    decoder.knows("cluster00", Some(MASTER), MASTER_AT);
    decoder.knows("cluster01", Some(WORKER), WORKER_AT);
    decoder
}

fn sender(frame: &[u8]) -> &'static str {
    match frame.get(6..12) {
        Some(mac) if mac == WORKER => "cluster01",
        Some(mac) if mac == MASTER => "cluster00",
        _ => "router",
    }
}

/// Frames of `netboot-dnsmasq.pcap`, with the time since the first.
fn recorded() -> Vec<(Duration, Vec<u8>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/bootrom/netboot-dnsmasq.pcap");
    let bytes = fs_err::read(path).unwrap();
    let mut reader = pcap_file::pcap::PcapReader::new(bytes.as_slice()).unwrap();
    let mut frames: Vec<(Duration, Vec<u8>)> = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        frames.push((packet.timestamp, packet.data.into_owned()));
    }
    let first = frames[0].0;
    frames.into_iter().map(|(at, frame)| (at - first, frame)).collect()
}

fn told(frames: &[(Duration, Vec<u8>)]) -> Vec<(Option<String>, Wire)> {
    let mut decoder = decoder();
    frames
        .iter()
        .filter(|(_, frame)| matters(frame))
        .filter_map(|(at, frame)| decoder.frame(*at, sender(frame), frame))
        .collect()
}

fn lines(told: &[(Option<String>, Wire)]) -> String {
    let line = |(node, said): &(Option<String>, Wire)| {
        format!("{}: {said}", node.as_deref().unwrap_or("?"))
    };
    told.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_boot_from_a_real_dnsmasq() {
    let told = told(&recorded());
    insta::assert_snapshot!("a_boot_from_a_real_dnsmasq", lines(&told));
    let offer = told.iter().find(|(_, said)| said.to_string().contains("OFFER")).unwrap();
    insta::assert_snapshot!("an_offer", serde_json::to_string_pretty(&offer.1).unwrap());
}

#[test]
fn the_filter_takes_few_frames_and_loses_nothing() {
    let frames = recorded();
    let wanted = frames.iter().filter(|(_, frame)| matters(frame)).count();
    let mut decoder = decoder();
    let unfiltered: Vec<_> =
        frames.iter().filter_map(|(at, frame)| decoder.frame(*at, sender(frame), frame)).collect();
    assert_eq!(told(&frames), unfiltered);
    assert!(wanted * 2 < frames.len(), "{wanted} of {} frames", frames.len());
}

fn ip(protocol: u8, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), rest: &[u8]) -> Vec<u8> {
    let (source, destination) =
        if from.0 == WORKER_AT { (WORKER, MASTER) } else { (MASTER, WORKER) };
    let length = u16::try_from(24 + rest.len()).unwrap().to_be_bytes();
    let mut frame = [&destination[..], &source, &[8, 0, 0x45, 0], &length].concat();
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(from.0.octets());
    frame.extend(to.0.octets());
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend(rest);
    frame
}

fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    ip(17, from, to, &[&length[..], &[0, 0], payload].concat())
}

fn tcp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), flags: u8, data: &[u8]) -> Vec<u8> {
    let mut rest = vec![0; 8];
    rest.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    rest.extend(data);
    ip(6, from, to, &rest)
}

fn longs(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A call with the credential of root on a machine named `node` (AUTH_UNIX).
fn call(xid: u32, (program, version): (u32, u32), procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let name = u32::from_be_bytes(*b"node");
    let head = longs(&[xid, 0, 2, program, version, procedure, 1, 24, 9, 4, name, 0, 0, 0, 0, 0]);
    [&head[..], arguments].concat()
}

fn mount(xid: u32, path: &str) -> Vec<u8> {
    let mut arguments = longs(&[u32::try_from(path.len()).unwrap()]);
    arguments.extend(path.as_bytes());
    arguments.resize(arguments.len().next_multiple_of(4), 0);
    call(xid, (100_005, 3), 1, &arguments)
}

fn reply(xid: u32, results: &[u32]) -> Vec<u8> {
    [longs(&[xid, 1, 0, 0, 0, 0]), longs(results)].concat()
}

fn stream(message: &[u8]) -> Vec<u8> {
    [&(1 << 31 | u32::try_from(message.len()).unwrap()).to_be_bytes()[..], message].concat()
}

/// A mount that is let, one that is refused (as an export that is missing is, by a real mountd), and a server without one.
fn nfs_conversation() -> Vec<Vec<u8>> {
    let (worker, portmap) = ((WORKER_AT, 700), (MASTER_AT, 111));
    let (mountd, nfs) = ((MASTER_AT, 20048), (MASTER_AT, 2049));
    vec![
        udp(worker, portmap, &call(1, (100_000, 2), 3, &longs(&[100_005, 3, 17, 0]))),
        udp(portmap, worker, &reply(1, &[20048])),
        udp(worker, mountd, &mount(2, "/srv/feeder/generations/1/root")),
        udp(mountd, worker, &reply(2, &[0, 4, 0x6665_6564, 1, 1])),
        tcp(worker, nfs, 0x02, &[]),
        tcp(nfs, worker, 0x12, &[]),
        tcp(worker, mountd, 0x18, &stream(&mount(3, "/srv/feeder/state/cluster01"))),
        tcp(mountd, worker, 0x18, &stream(&reply(3, &[13]))),
        udp(worker, portmap, &call(4, (100_000, 2), 3, &longs(&[100_003, 3, 6, 0]))),
        udp(portmap, worker, &reply(4, &[0])),
        tcp((WORKER_AT, 701), nfs, 0x02, &[]),
        tcp((WORKER_AT, 701), nfs, 0x02, &[]),
        tcp(nfs, (WORKER_AT, 701), 0x14, &[]),
        udp((WORKER_AT, 2000), (MASTER_AT, 69), b"\0\x01kernel8.img\0octet\0"),
        udp((WORKER_AT, 2000), (MASTER_AT, 69), b"\0\x01kernel8.img\0octet\0"),
        udp((MASTER_AT, 50000), (WORKER_AT, 2000), b"\0\x05\0\x02Permission denied\0"),
    ]
}

#[test]
fn an_address_is_whose_frames_come_from_it() {
    let leased = (Ipv4Addr::new(192, 168, 10, 50), 2048);
    let mut decoder = decoder();
    let ask = b"\0\x01bootcode.bin\0octet\0";
    let mut asks =
        |node: &str| decoder.frame(Duration::ZERO, node, &udp(leased, (MASTER_AT, TFTP), ask));
    assert_eq!(asks("cluster00"), None, "it has the address first");
    assert_eq!(asks("cluster01").unwrap().0.as_deref(), Some("cluster01"));
}

#[test]
fn mounts_and_refusals() {
    let frames: Vec<_> =
        nfs_conversation().into_iter().map(|frame| (Duration::ZERO, frame)).collect();
    insta::assert_snapshot!(lines(&told(&frames)), @r#"
    cluster01: cluster00 lets it mount /srv/feeder/generations/1/root
    cluster01: cluster00 took its NFS connection
    cluster01: cluster00 refused to let it mount /srv/feeder/state/cluster01: permission denied
    cluster01: cluster00 runs no nfs
    cluster01: cluster00 did not answer its NFS connection
    cluster01: cluster00 refused its NFS connection
    cluster01: cluster00 did not answer for kernel8.img
    cluster01: cluster00 refused kernel8.img: Permission denied (TFTP error 2)
    "#);
}

/// The same conversation as another reader of the protocols understands it.
#[test]
fn tshark_understands_the_mounts_likewise() {
    if feeder_process::find_program("tshark").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nfs.pcap");
    let mut writer =
        pcap_file::pcap::PcapWriter::new(std::fs::File::create(&path).unwrap()).unwrap();
    for (at, frame) in (0u64..).zip(nfs_conversation()) {
        let length = u32::try_from(frame.len()).unwrap();
        let packet = pcap_file::pcap::PcapPacket::new(Duration::from_millis(at), length, &frame);
        writer.write_packet(&packet).unwrap();
    }
    drop(writer);
    let seen = feeder_process::Cmd::new("tshark")
        .args(["-N", "n", "-n", "-r", path.to_str().unwrap(), "-Y", "rpc"])
        .args(["-T", "fields", "-E", "separator=|"])
        .args(["-e", "_ws.col.Protocol", "-e", "_ws.col.Info"])
        .run()
        .unwrap();
    insta::assert_snapshot!("tshark_understands_the_mounts_likewise", seen.stdout_text());
}

#[test]
fn what_is_said_again_is_counted() {
    let mut decoder = decoder();
    let mut times = Vec::new();
    for second in 0..40u64 {
        // A client that is refused tries again, from another port and with another number.
        let client = (WORKER_AT, 700 + u16::try_from(second).unwrap());
        let xid = u32::try_from(second).unwrap();
        let server = (MASTER_AT, 20048);
        let at = Duration::from_secs(second);
        assert_eq!(decoder.frame(at, "cluster01", &udp(client, server, &mount(xid, "/x"))), None);
        let refusal = udp(server, client, &reply(xid, &[13]));
        if let Some((node, Wire::Mount { times: count, .. })) =
            decoder.frame(at, "cluster00", &refusal)
        {
            assert_eq!(node.as_deref(), Some("cluster01"));
            times.push(count);
        }
    }
    assert_eq!(times, [1, 2, 4, 8, 16, 32]);
    let (client, server) = ((WORKER_AT, 900), (MASTER_AT, 20048));
    let later = Duration::from_secs(39) + AGAIN;
    decoder.frame(later, "cluster01", &udp(client, server, &mount(99, "/x")));
    let told = decoder.frame(later, "cluster00", &udp(server, client, &reply(99, &[13])));
    assert!(matches!(told, Some((_, Wire::Mount { times: 1, .. }))), "{told:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(frame in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _wanted = matters(&frame);
        prop_assert_eq!(decoder().frame(Duration::ZERO, "cluster01", &frame), None);
    }

    /// Real conversations in which single bytes are damaged, and frames are cut off.
    #[test]
    fn damaged_conversations_are_survived(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..30),
        cut in any::<prop::sample::Index>(),
        length in 0usize..400,
    ) {
        let mut frames: Vec<_> = recorded().into_iter().take(60).map(|(_, frame)| frame).collect();
        frames.extend(nfs_conversation());
        for (frame, at, byte) in damage {
            let frame = frame.get(&frames).to_owned();
            let index = frames.iter().position(|other| *other == frame).unwrap();
            let at = at.index(frames[index].len());
            frames[index][at] = byte;
        }
        let cut = cut.index(frames.len());
        frames[cut].truncate(length);
        let mut decoder = decoder();
        for frame in &frames {
            let _wanted = matters(frame);
            if let Some((_, said)) = decoder.frame(Duration::ZERO, sender(frame), frame) {
                let line = serde_json::to_string(&said).unwrap();
                prop_assert_eq!(serde_json::from_str::<Wire>(&line).unwrap(), said);
            }
        }
    }
}
