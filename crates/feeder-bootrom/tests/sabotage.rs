//! Network boots that fail, and what the board's silence means.

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use feeder_bootrom::{BoardModel, BoardProfile, BootError, BootEvent, Dead, Stage};
use support::segment::{ROUTER, Segment, option43};
use support::tree::{served, worker};
use support::{plus, power_on};

const S: &str = "b66c4c16/";

fn segment() -> Segment {
    Segment::new(served(S, &worker()))
}

/// The last words of a board in this segment, which must also be its last event.
fn last_words(segment: &mut Segment) -> String {
    let run = power_on(plus(), segment);
    let words = run.dead().to_string();
    assert_eq!(run.events.last(), Some(&BootEvent::GaveUp { why: words.clone() }));
    words
}

#[test]
fn the_wrong_text_in_option_43() {
    let mut segment = segment();
    segment.proxy = Some(option43("Raspberry Pi Foot   "));
    let run = power_on(plus(), &mut segment);
    insta::assert_snapshot!(run.dead(), @r#"the boot ROM found no boot server: 4 DISCOVERs, 8 OFFERs: 4 from 192.168.10.1 with an address, without option 43; 4 from 192.168.10.100 without address, with option 43 "Raspberry Pi Foot   ". None carried option 43 with "Raspberry Pi Boot""#);
    // 18, 23, 28 and 33 s (raspberrypi/firmware#1081), then as long again until it is certain.
    let times: Vec<_> = segment.discovers.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(times, [18, 23, 28, 33]);
    assert_eq!(run.at, Duration::from_secs(38));
    assert_eq!(segment.requests(), [""; 0]);
    let Dead::NoBootServer { offers, .. } = run.dead() else { panic!("another death") };
    assert_eq!(offers[1].option43.as_deref(), Some(&option43("Raspberry Pi Foot   ")[..]));
    let heard = run.events.iter().filter(|event| matches!(event, BootEvent::Offer(_))).count();
    assert_eq!(heard, 8);
}

/// A dnsmasq router names itself in siaddr, so the board tries it: the last words still name the cause.
#[test]
fn the_wrong_text_beside_a_router_that_names_itself() {
    let mut segment = segment();
    segment.proxy = Some(option43("Raspberry Pi Foot   "));
    segment.router_siaddr = Some(ROUTER);
    insta::assert_snapshot!(last_words(&mut segment), @r#"the boot ROM found no bootcode.bin (no answer for 1s, which the firmware takes for absent); put the firmware's bootcode.bin into the root directory; TFTP server 192.168.10.1; no OFFER carried option 43 with "Raspberry Pi Boot" (1 from 192.168.10.1 with an address, without option 43; 1 from 192.168.10.100 without address, with option 43 "Raspberry Pi Foot   "), so the server named by 192.168.10.1 was asked"#);
    assert_eq!(segment.discovers.len(), 1);
}

#[test]
fn only_the_router_answers() {
    let mut segment = segment();
    segment.proxy = None;
    insta::assert_snapshot!(last_words(&mut segment), @r#"the boot ROM found no boot server: 4 DISCOVERs, 4 OFFERs: 4 from 192.168.10.1 with an address, without option 43. None carried option 43 with "Raspberry Pi Boot""#);
}

#[test]
fn only_the_proxy_answers() {
    let mut segment = segment();
    segment.router_offers = false;
    insta::assert_snapshot!(last_words(&mut segment), @r#"the boot ROM found no boot server: 4 DISCOVERs, 4 OFFERs: 4 from 192.168.10.100 without address, with option 43 "Raspberry Pi Boot   ". None carried an address: a proxy needs an ordinary DHCP server beside it"#);
}

#[test]
fn nobody_answers() {
    let mut segment = segment();
    segment.router_offers = false;
    segment.proxy = None;
    insta::assert_snapshot!(last_words(&mut segment), @"the boot ROM found no boot server: 4 DISCOVERs and not one OFFER: is a DHCP server running in this segment?");
}

#[test]
fn a_3b_needs_the_spaces_that_a_3b_plus_does_not() {
    let with = |model, text| {
        let mut files = worker();
        let tree = files["bcm2710-rpi-3-b-plus.dtb"].clone();
        files.insert("bcm2710-rpi-3-b.dtb".into(), tree);
        let mut segment = Segment::new(served(S, &files));
        segment.proxy = Some(option43(text));
        power_on(BoardProfile::of(model), &mut segment).outcome.map(drop)
    };
    assert_eq!(with(BoardModel::Pi3BPlus, "Raspberry Pi Boot"), Ok(()));
    assert_eq!(with(BoardModel::Pi3B, "Raspberry Pi Boot   "), Ok(()));
    let dead = with(BoardModel::Pi3B, "Raspberry Pi Boot").unwrap_err().to_string();
    assert!(dead.contains("5 DISCOVERs"), "{dead}");
    assert!(dead.ends_with("None carried option 43 with \"Raspberry Pi Boot   \""), "{dead}");
}

#[test]
fn the_server_that_was_named_is_down() {
    let mut segment = segment();
    segment.master_up = false;
    insta::assert_snapshot!(last_words(&mut segment), @"the boot ROM has address 192.168.10.57 and TFTP server 192.168.10.100, but nobody answered 5 ARP requests for 192.168.10.100 in 5s: is the server up, and in the same segment?");
}

#[test]
fn an_older_board_seeks_a_distant_server_in_its_own_segment() {
    let mut segment = segment();
    segment.proxy = None;
    segment.router_siaddr = Some(Ipv4Addr::new(10, 9, 9, 9));
    let mut profile = plus();
    profile.arp.uses_router = false;
    let run = power_on(profile, &mut segment);
    let Dead::NoArp { next_hop, server, .. } = run.dead() else { panic!("{:?}", run.dead()) };
    assert_eq!((*next_hop, *server), (Ipv4Addr::new(10, 9, 9, 9), Ipv4Addr::new(10, 9, 9, 9)));
    assert_ne!(*next_hop, ROUTER);
}

#[test]
fn no_start_elf_anywhere() {
    let mut segment = segment();
    segment.files.remove("b66c4c16/start.elf");
    insta::assert_snapshot!(last_words(&mut segment), @r#"bootcode.bin found no start.elf (server says error 1 "file /srv/tftp/start.elf not found"); it needs the firmware's start.elf in the directory b66c4c16 or at the top of the TFTP tree; TFTP server 192.168.10.100"#);
}

#[test]
fn no_bootcode() {
    let mut segment = segment();
    segment.files.remove("bootcode.bin");
    insta::assert_snapshot!(last_words(&mut segment), @r#"the boot ROM found no bootcode.bin (server says error 1 "file /srv/tftp/bootcode.bin not found"); put the firmware's bootcode.bin into the root directory; TFTP server 192.168.10.100"#);
}

#[test]
fn no_kernel() {
    let mut segment = segment();
    segment.files.remove("b66c4c16/kernel8.img");
    insta::assert_snapshot!(last_words(&mut segment), @r#"start.elf found no kernel; tried b66c4c16/kernel8.img (server says error 1 "file /srv/tftp/b66c4c16/kernel8.img not found"); TFTP server 192.168.10.100"#);
}

/// raspberrypi/firmware#1292: a lost answer is taken for a missing file.
#[test]
fn a_silent_server_is_taken_for_a_missing_kernel() {
    let mut segment = segment();
    segment.silent.push("b66c4c16/kernel8.img".into());
    insta::assert_snapshot!(last_words(&mut segment), @"start.elf found no kernel; tried b66c4c16/kernel8.img (no answer for 1s, which the firmware takes for absent); TFTP server 192.168.10.100");
}

/// The same defect where it does not end the boot: another directory, another command line.
#[test]
fn a_silent_server_leads_to_another_boot() {
    let mut segment = segment();
    segment.silent.push("b66c4c16/cmdline.txt".into());
    let boot = power_on(plus(), &mut segment).booted();
    assert_eq!(boot.command_line, "coherent_pool=1M cgroup_disable=memory");
    assert!(
        boot.warnings
            .iter()
            .any(|warning| warning.contains("cmdline.txt is missing (no answer for 1s"))
    );

    let mut segment = Segment::new(served("", &worker()));
    let under_serial = served(S, &worker());
    segment.files.extend(under_serial);
    segment.silent.push("b66c4c16/start.elf".into());
    assert_eq!(power_on(plus(), &mut segment).booted().kernel.name, "kernel8.img");
}

#[test]
fn kernels_the_twin_does_not_start() {
    let outcome = |config: &str, files: &[(&str, &[u8])]| {
        let mut segment = segment();
        segment.files.insert("b66c4c16/config.txt".into(), config.into());
        for (name, bytes) in files {
            segment.files.insert(format!("{S}{name}"), bytes.to_vec());
        }
        power_on(plus(), &mut segment).outcome
    };
    // Without arm_64bit a 32-bit kernel beside the 64-bit one wins.
    let dead = outcome("", &[("kernel7.img", b"32")]).unwrap_err();
    let Dead::Firmware { reason: BootError::Only64Bit { name, .. }, .. } = &dead else {
        panic!("{dead}")
    };
    assert_eq!(name, "b66c4c16/kernel7.img");
    assert!(dead.to_string().contains("set arm_64bit=1"), "{dead}");
    // Alone, the 64-bit one is taken, with a warning.
    let boot = outcome("", &[]).unwrap();
    assert!(boot.warnings.iter().any(|warning| warning.starts_with("arm_64bit is not set")));
    let dead = outcome("arm_64bit=0", &[]).unwrap_err().to_string();
    assert!(dead.contains("kernel8-32.img"), "{dead}");
    // What is no kernel is handed over, as the board would, but not without a word.
    let boot = outcome("arm_64bit=1", &[("kernel8.img", b"not a kernel")]).unwrap();
    assert!(
        boot.warnings.iter().any(|warning| warning.contains("does not look like an arm64 kernel"))
    );
}

#[test]
fn recovery_is_not_reproduced() {
    let mut segment = segment();
    segment.files.insert("b66c4c16/recovery.elf".into(), vec![1]);
    insta::assert_snapshot!(last_words(&mut segment), @"b66c4c16/recovery.elf is present: a board would start NOOBS recovery, which this twin does not do; remove the file; TFTP server 192.168.10.100");
}

#[test]
fn the_second_round_may_fail_alone() {
    // Whoever is waiting says so: here bootcode.bin, which the ROM has started.
    let mut segment = segment();
    let mut profile = plus();
    profile.bootcode_dhcp.boot_text = "never";
    profile.bootcode_dhcp.tries = 2;
    let run = power_on(profile, &mut segment);
    let Dead::NoBootServer { stage, discovers, .. } = run.dead() else { panic!("another death") };
    assert_eq!((*stage, *discovers), (Stage::Bootcode, 2));
    assert_eq!(segment.requests(), ["bootcode.bin got", "bootsig.bin missing"]);
}
