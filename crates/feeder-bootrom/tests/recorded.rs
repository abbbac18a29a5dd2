//! A recorded conversation with real dnsmasq, played again: the twin must say the same words.

mod support;

use std::time::Duration;

use feeder_bootrom::{BootEvent, NetBoot};
use support::{MAC, SERIAL, plus};

/// `fixtures/bootrom/README.md` says how it was made: two dnsmasq 2.90, one as the router's DHCP, one as
/// the master's proxy and TFTP server. tshark finds nothing wrong in it.
const RECORDING: &[u8] = include_bytes!("../../../fixtures/bootrom/netboot-dnsmasq.pcap");

/// Frames of a little-endian pcap with microseconds.
fn frames(pcap: &[u8]) -> Vec<(Duration, &[u8])> {
    assert_eq!(pcap[..4], 0xa1b2_c3d4_u32.to_le_bytes());
    let word = |at: usize| u32::from_le_bytes(pcap[at..at + 4].try_into().expect("four bytes"));
    let (mut at, mut frames) = (24, Vec::new());
    while at < pcap.len() {
        let time = Duration::new(word(at).into(), word(at + 4) * 1000);
        let length = word(at + 8) as usize;
        frames.push((time, &pcap[at + 16..at + 16 + length]));
        at += 16 + length;
    }
    frames
}

#[test]
fn the_same_conversation_with_dnsmasq_again() {
    let mut board = NetBoot::new(plus().without_initial_wait(), MAC, SERIAL);
    let mut said = std::collections::VecDeque::new();
    let (mut ours, mut theirs) = (0, 0);
    for (index, (now, frame)) in frames(RECORDING).into_iter().enumerate() {
        if frame[6..12] == MAC {
            if said.is_empty() {
                said.extend(board.poll(now).frames);
            }
            assert_eq!(said.pop_front().as_deref(), Some(frame), "frame {}", index + 1);
            ours += 1;
        } else {
            board.handle_frame(now, frame);
            said.extend(board.poll(now).frames);
            theirs += 1;
        }
    }
    assert_eq!(said.len(), 0);
    assert!(ours > 100 && theirs > 100, "{ours}, {theirs}");

    let offers: Vec<_> = board
        .events()
        .into_iter()
        .filter_map(|event| match event {
            BootEvent::Offer(offer) => Some(offer),
            _ => None,
        })
        .collect();
    assert_eq!(offers.len(), 4);
    let proxy = offers.iter().find(|offer| offer.accepted).expect("the proxy's");
    assert_eq!(
        proxy.option43.as_deref(),
        Some(&b"\x06\x01\x03\x0a\x04\x00PXE\x09\x14\x00\x00\x11Raspberry Pi Boot\xff"[..])
    );
    assert_eq!((proxy.yiaddr, proxy.siaddr, proxy.tftp_name.as_ref()), (None, None, None));
    let router = offers.iter().find(|offer| offer.address_taken).expect("the router's");
    assert_eq!(router.siaddr, Some(router.from), "dnsmasq names itself");

    let boot = board.into_outcome().expect("an end").expect("a boot");
    assert_eq!(
        boot.command_line,
        "coherent_pool=1M cgroup_disable=memory console=ttyS0,115200 root=/dev/nfs ip=dhcp rootwait"
    );
    assert_eq!(boot.initramfs.map(|initramfs| initramfs.bytes), Some(vec![0xcd; 4096]));
    // From sha256sum of the tree that was served.
    let kernel = boot.files.iter().find(|file| file.name.ends_with("kernel8.img")).expect("it");
    assert_eq!(
        kernel.sha256_hex(),
        "adedd62c255381cf3817dfc4664e8d8ac9f1042a839ae83fda14987f9a89c807"
    );
}
