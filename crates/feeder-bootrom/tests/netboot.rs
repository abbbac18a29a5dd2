//! A whole network boot of a 3B+ against a fake segment: what it asks for and in which order.

mod support;

use std::time::Duration;

use feeder_bootrom::{BoardModel, BoardProfile, BootEvent, NetBoot, Source, Stage};
use support::segment::{BOARD, MASTER, Segment};
use support::tree::{self, served, worker};
use support::{plus, power_on};

const S: &str = "b66c4c16/";

/// A recorded order of requests, with `S` for the serial number.
fn recorded(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.replace("S/", S))
        .collect()
}

#[test]
fn requests_without_initramfs_come_in_the_recorded_order() {
    let mut segment = Segment::new(served(S, &worker()));
    let boot = power_on(plus(), &mut segment).booted();
    assert_eq!(
        segment.requests(),
        recorded(include_str!("../../../fixtures/bootrom/requests-3b-plus.txt"))
    );
    assert_eq!(boot.kernel.name, "b66c4c16/kernel8.img");
    assert_eq!(boot.kernel.bytes, tree::kernel());
    assert_eq!(boot.initramfs, None);
    assert_eq!(boot.device_tree.unwrap().name, "b66c4c16/bcm2710-rpi-3-b-plus.dtb");
    assert_eq!(boot.overlays.len(), 1);
    assert_eq!(
        boot.command_line,
        "coherent_pool=1M cgroup_disable=memory console=ttyS0,115200 console=tty1 root=/dev/nfs \
         ip=dhcp rootwait"
    );
    insta::assert_snapshot!(boot.warnings.join("\n"), @r"
    overlay vc4-kms-v3d was loaded but is not applied by this twin
    dtparam=audio=on is not applied by this twin
    ");
    let config = boot.files.iter().find(|file| file.name.ends_with("config.txt")).unwrap();
    assert_eq!((config.times, config.bytes), (4, tree::CONFIG.len() as u64));
    assert_eq!(config.source, Source::Tftp { server: MASTER });
    assert_eq!(config.sha256_hex().len(), 64);
    let names: Vec<_> = boot.files.iter().map(|file| file.name.trim_start_matches(S)).collect();
    assert_eq!(
        names,
        [
            "bootcode.bin",
            "config.txt",
            "start.elf",
            "fixup.dat",
            "bcm2710-rpi-3-b-plus.dtb",
            "overlays/overlay_map.dtb",
            "overlays/vc4-kms-v3d.dtbo",
            "cmdline.txt",
            "kernel8.img"
        ]
    );
}

#[test]
fn requests_with_auto_initramfs_come_in_the_recorded_order() {
    let mut files = worker();
    files.insert("config.txt".into(), format!("auto_initramfs=1\n{}", tree::CONFIG).into());
    files.insert("initramfs8".into(), vec![0xcd; 4_096]);
    let mut segment = Segment::new(served(S, &files));
    let boot = power_on(plus(), &mut segment).booted();
    assert_eq!(
        segment.requests(),
        recorded(include_str!("../../../fixtures/bootrom/requests-3b-plus-initramfs.txt"))
    );
    let initramfs = boot.initramfs.unwrap();
    assert_eq!((initramfs.name.as_str(), initramfs.bytes.len()), ("b66c4c16/initramfs8", 4_096));
}

#[test]
fn source_ports_start_anew_with_each_stage() {
    let mut segment = Segment::new(served(S, &worker()));
    power_on(plus(), &mut segment).booted();
    // raspberrypi/firmware#1041 for the first two stages, #1700 for the third.
    let ports: Vec<_> = segment.log.iter().map(|(_, port, _)| *port).collect();
    assert_eq!(ports[..2], [49153, 49154]);
    assert_eq!(ports[2..9], [49153, 49154, 49155, 49156, 49157, 49158, 49159]);
    assert_eq!(ports[9..12], [49153, 49154, 49155]);
}

#[test]
fn a_missing_directory_drops_the_prefix() {
    let mut segment = Segment::new(served("", &worker()));
    let boot = power_on(plus(), &mut segment).booted();
    assert_eq!(boot.kernel.name, "kernel8.img");
    // As in raspberrypi/firmware#1041: no second look for start.elf.
    assert_eq!(
        segment.requests()[2..8],
        [
            "b66c4c16/start.elf missing",
            "autoboot.txt missing",
            "config.txt got",
            "recovery.elf missing",
            "start.elf got",
            "fixup.dat got"
        ]
    );
}

#[test]
fn two_rounds_of_dhcp_at_the_boards_times() {
    let mut segment = Segment::new(served(S, &worker()));
    let run = power_on(plus(), &mut segment);
    assert_eq!(segment.discovers.len(), 2);
    assert_eq!(segment.discovers[0], (Duration::from_secs(18), 322));
    assert!(segment.discovers[1].0 < Duration::from_millis(18_200));
    let leased: Vec<_> =
        run.events.iter().filter(|e| matches!(e, BootEvent::Leased { .. })).collect();
    assert_eq!(
        leased,
        [
            &BootEvent::Leased { stage: Stage::Rom, address: BOARD, server: MASTER },
            &BootEvent::Leased { stage: Stage::Bootcode, address: BOARD, server: MASTER }
        ]
    );
}

#[test]
fn the_initial_wait_can_be_skipped() {
    let mut segment = Segment::new(served(S, &worker()));
    power_on(plus().without_initial_wait(), &mut segment).booted();
    assert_eq!(segment.discovers[0].0, Duration::ZERO);
}

#[test]
fn larger_blocks_and_servers_without_options_give_the_same_boot() {
    let boot = |block_size, options| {
        let mut profile = plus();
        profile.tftp.block_size = block_size;
        let mut segment = Segment::new(served(S, &worker()));
        segment.options = options;
        power_on(profile, &mut segment).booted()
    };
    let plain = boot(None, true);
    for (block_size, options) in [(Some(1024), true), (Some(1024), false), (None, false)] {
        let other = boot(block_size, options);
        assert_eq!(other.files, plain.files);
        assert_eq!(other.command_line, plain.command_line);
    }
}

#[test]
fn a_3b_does_it_the_old_way() {
    let mut files = worker();
    let dtb = files.remove("bcm2710-rpi-3-b-plus.dtb").unwrap();
    files.insert("bcm2710-rpi-3-b.dtb".into(), dtb);
    let mut segment = Segment::new(served(S, &files));
    segment.asks_during = Some("b66c4c16/kernel8.img".into());
    power_on(BoardProfile::of(BoardModel::Pi3B), &mut segment).booted();
    // The ROM asks for 12 parameters from one port, bootcode.bin for 14.
    assert_eq!(segment.discovers[0], (Duration::from_secs(5), 320));
    assert_eq!(segment.discovers[1].1, 322);
    assert_eq!((segment.log[0].1, segment.log[1].1), (49152, 49152));
    assert_eq!(segment.arp_replies, 0);

    let mut segment = Segment::new(served(S, &worker()));
    segment.asks_during = Some("b66c4c16/kernel8.img".into());
    power_on(plus(), &mut segment).booted();
    assert!(segment.arp_replies > 0, "the 3B+ answers ARP during TFTP");
}

/// What the old board's bugs are cured by: the ROM asks nobody.
#[test]
fn bootcode_from_a_card_asks_by_itself() {
    let mut segment = Segment::new(served(S, &worker()));
    segment.files.remove("bootcode.bin");
    let board = NetBoot::from_bootcode(plus(), support::MAC, support::SERIAL);
    let run = support::run(board, &mut segment);
    assert_eq!(run.events[0], BootEvent::Stage { stage: Stage::Bootcode });
    assert_eq!(run.booted().kernel.name, "b66c4c16/kernel8.img");
    assert_eq!(segment.requests()[0], "b66c4c16/start.elf probed");
}

#[test]
fn settings_lead_to_other_files() {
    let mut files = worker();
    let config = "arm_64bit=1\nkernel=vmlinuz\ninitramfs initrd.img followkernel\nupstream_kernel=1\n\
        gpu_mem=16\ncmdline=other.txt\ninclude more.txt\nenable_uart=1\n";
    files.insert("config.txt".into(), config.into());
    files.insert(
        "more.txt".into(),
        b"os_prefix=slot-a/\n[0xb66c4c16]\ndtoverlay=disable-bt\n".into(),
    );
    for (from, to) in [("start.elf", "start_cd.elf"), ("fixup.dat", "fixup_cd.dat")] {
        let bytes = files[from].clone();
        files.insert(to.into(), bytes);
    }
    for (name, bytes) in [
        ("vmlinuz", tree::kernel()),
        ("initrd.img", vec![0xcd; 100]),
        ("bcm2837-rpi-3-b-plus.dtb", tree::device_tree("earlycon")),
        ("other.txt", b"root=/dev/nfs\nsecond line\n".to_vec()),
        ("overlays/README", Vec::new()),
        ("overlays/disable-bt.dtbo", vec![9; 10]),
    ] {
        files.insert(format!("slot-a/{name}"), bytes);
    }
    let mut segment = Segment::new(served(S, &files));
    let boot = power_on(plus(), &mut segment).booted();
    assert_eq!(boot.kernel.name, "b66c4c16/slot-a/vmlinuz");
    assert_eq!(boot.initramfs.unwrap().name, "b66c4c16/slot-a/initrd.img");
    assert_eq!(boot.device_tree.unwrap().name, "b66c4c16/slot-a/bcm2837-rpi-3-b-plus.dtb");
    assert_eq!(boot.overlays[0].name, "b66c4c16/slot-a/overlays/disable-bt.dtbo");
    assert_eq!(boot.command_line, "earlycon root=/dev/nfs");
    assert!(boot.files.iter().any(|file| file.name == "b66c4c16/start_cd.elf"));
    insta::assert_snapshot!(boot.warnings.join("\n"), @r"
    overlay disable-bt was loaded but is not applied by this twin
    b66c4c16/slot-a/other.txt: only the first line is used; 1 more with text are ignored
    ");
}

/// raspberrypi/firmware#862 shows the head of a DISCOVER in hex.
#[test]
fn the_first_frame_is_the_recorded_one() {
    let hex = include_str!("../../../fixtures/bootrom/discover-3b.hex");
    let recorded: Vec<u8> = hex
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    let mac = [0xb8, 0x27, 0xeb, 0x9d, 0xc1, 0x5a];
    let mut board =
        NetBoot::new(BoardProfile::of(BoardModel::Pi3B).without_initial_wait(), mac, 0x009d_c15a);
    let frames = board.poll(Duration::ZERO).frames;
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].len(), 362, "as Wireshark says there");
    assert_eq!(frames[0][..recorded.len()], recorded);
}
