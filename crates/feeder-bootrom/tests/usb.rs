//! Which of several disks a board boots from.

mod support;

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::time::Duration;

use fatfs::FatType;
use feeder_bootrom::{
    Attached, BoardModel, BoardProfile, Boot, DiskBoot, Found, Otp, PassedOver, Place, Plugged,
    Search, Source, Stage, Tried, TryBoot, Went,
};
use proptest::prelude::*;
use support::disk::{MIB, card, disk, fat};
use support::plus;
use support::tree::{self, Files};

type Image = Cursor<Vec<u8>>;

/// A bootable disk that tells itself apart by its command line.
fn system(name: &str) -> Files {
    let mut files = card();
    files.insert("cmdline.txt".into(), format!("root={name}").into_bytes());
    files
}

fn one_fat(files: &Files) -> Image {
    disk(&[(0x0e, &fat(FatType::Fat16, 8 * MIB, files)), (0x83, &[0; MIB])])
}

/// An SD card with these files and nothing in them, in a FAT32 as people make it.
fn card_with(names: &[&str]) -> Image {
    let files = names.iter().map(|&name| (name.to_owned(), vec![0xbc; 700])).collect();
    disk(&[(0x0c, &fat(FatType::Fat32, 40 * MIB, &files))])
}

/// A 3B+ with these disks, each USB disk with the seconds it takes to answer.
struct Desk {
    board: DiskBoot,
    card: Option<Image>,
    usb: Vec<(Image, u64)>,
    tryboot: TryBoot,
}

impl Desk {
    fn new(card: Option<Image>, usb: Vec<(Image, u64)>) -> Self {
        let board = DiskBoot::new(plus(), Otp::of(BoardModel::Pi3BPlus));
        Self { board, card, usb, tryboot: TryBoot::Off }
    }

    fn of(mut self, model: BoardModel, otp: Otp) -> Self {
        self.board = DiskBoot::new(BoardProfile::of(model), otp);
        self
    }

    fn start(&mut self) -> Search {
        let card = self.card.as_mut().map(|disk| attached("card", disk, 0));
        let usb = self.usb.iter_mut().enumerate();
        let usb = usb.map(|(index, (disk, seconds))| attached(&format!("{index}"), disk, *seconds));
        let mut plugged = Plugged { card, usb: usb.collect() };
        self.board.start(&mut plugged, &mut self.tryboot).expect("in memory")
    }

    fn boot(&mut self) -> Boot {
        booted(self.start())
    }
}

fn attached<'d>(name: &str, disk: &'d mut Image, seconds: u64) -> Attached<'d> {
    Attached { name: name.into(), disk, answers_after: Duration::from_secs(seconds) }
}

fn booted(search: Search) -> Boot {
    match search.end {
        Found::Kernel(boot) => *boot,
        other => panic!("{other:?} after {}", words(&search.tried)),
    }
}

fn words(tried: &[Tried]) -> String {
    tried.iter().map(|tried| format!("{tried}\n")).collect()
}

fn root(boot: &Boot) -> &str {
    boot.command_line.split(' ').find_map(|word| word.strip_prefix("root=")).expect("a root")
}

fn usb(name: &str, partition: u8) -> Source {
    Source::Disk { place: Place::UsbDisk(name.into()), partition }
}

#[test]
fn the_card_comes_before_usb() {
    let mut desk = Desk::new(Some(one_fat(&system("card"))), vec![(one_fat(&system("ssd")), 0)]);
    let search = desk.start();
    insta::assert_snapshot!(words(&search.tried), @r"
    the boot ROM looked at the SD card: bootcode.bin on partition 1
    bootcode.bin looked at the SD card: start.elf on partition 1
    ");
    assert_eq!(root(&booted(search)), "card");

    desk.card = None;
    let search = desk.start();
    insta::assert_snapshot!(words(&search.tried), @r"
    the boot ROM looked at the SD card: nothing is plugged in
    the boot ROM looked at the USB disk 0: bootcode.bin on partition 1
    bootcode.bin looked at the USB disk 0: start.elf on partition 1
    ");
    let boot = booted(search);
    assert_eq!((root(&boot), boot.source()), ("ssd", Some(&usb("0", 1))));
    assert!(boot.files.iter().all(|file| file.source == usb("0", 1)));
}

/// What pulls the rug from under a migration that empties the card too early, or not enough.
#[test]
fn a_card_with_start_elf_never_leads_to_usb() {
    let mut files = system("card");
    files.remove("kernel8.img");
    let mut desk = Desk::new(Some(one_fat(&files)), vec![(one_fat(&system("ssd")), 0)]);
    let search = desk.start();
    assert!(matches!(search.end, Found::Nothing));
    insta::assert_snapshot!(words(&search.tried), @r"
    the boot ROM looked at the SD card: bootcode.bin on partition 1
    bootcode.bin looked at the SD card: booting from partition 1 of the disk: start.elf found no kernel; tried kernel8.img (not on the disk)
    ");

    // Without start.elf it does.
    files.remove("start.elf");
    desk.card = Some(one_fat(&files));
    assert_eq!(root(&desk.boot()), "ssd");
    // So it does when config.txt names one that is not there.
    files.insert("start.elf".into(), vec![1]);
    files.insert("config.txt".into(), b"start_file=mine.elf\n".to_vec());
    desk.card = Some(one_fat(&files));
    assert_eq!(root(&desk.boot()), "ssd");
    // And without bootcode.bin.
    files.remove("bootcode.bin");
    desk.card = Some(one_fat(&files));
    let search = desk.start();
    insta::assert_snapshot!(search.tried[0], @"the boot ROM looked at the SD card: no bootcode.bin on the disk: partition 1 is FAT without bootcode.bin; copy the firmware into the boot partition");
    assert_eq!(root(&booted(search)), "ssd");
}

#[test]
fn a_3b_needs_its_otp_bit_or_a_card_with_bootcode() {
    let as_delivered = Otp::of(BoardModel::Pi3B);
    let mut files = system("ssd");
    files.insert("bcm2710-rpi-3-b.dtb".into(), tree::device_tree("older"));
    // What the ROM does not look for need not be there either.
    files.remove("bootcode.bin");
    let desk = || Desk::new(None, vec![(one_fat(&files), 0)]);

    let search = desk().of(BoardModel::Pi3B, as_delivered).start();
    assert!(matches!(search.end, Found::Nothing));
    insta::assert_snapshot!(words(&search.tried), @r"
    the boot ROM looked at the SD card: nothing is plugged in
    the boot ROM looked at USB: not enabled: row 17 of the OTP reads 1020000a, without bit 29; leave an SD card with bootcode.bin in the slot, or set the bit for good with program_usb_boot_mode=1 in config.txt
    ");

    let mut with_card = desk().of(BoardModel::Pi3B, as_delivered);
    with_card.card = Some(card_with(&["bootcode.bin"]));
    let search = with_card.start();
    insta::assert_snapshot!(words(&search.tried), @r"
    the boot ROM looked at the SD card: bootcode.bin on partition 1
    bootcode.bin looked at the SD card: no start.elf on the disk: partition 1 is FAT without start.elf; copy the firmware into the boot partition
    bootcode.bin looked at the USB disk 0: start.elf on partition 1
    ");
    let boot = booted(search);
    assert_eq!(boot.files[0].source, Source::Disk { place: Place::SdSlot, partition: 1 });
    assert_eq!((boot.files[0].name.as_str(), boot.source()), ("bootcode.bin", Some(&usb("0", 1))));

    let search = desk().of(BoardModel::Pi3B, as_delivered.with_usb_host_boot()).start();
    assert!(matches!(search.end, Found::Network { stage: Stage::Rom }));
    assert!(words(&search.tried).contains("FAT without bootcode.bin"));
}

#[test]
fn a_slow_bridge_is_missed_without_the_file_timeout() {
    let slow = |seconds| vec![(one_fat(&system("ssd")), seconds)];
    let mut desk = Desk::new(None, slow(4));
    let search = desk.start();
    assert!(matches!(search.end, Found::Network { stage: Stage::Rom }));
    insta::assert_snapshot!(search.tried[1], @"the boot ROM looked at the USB disk 0: no answer within 2s, it needs 4s; leave an SD card in the slot with bootcode.bin and an empty file timeout, and nothing else");

    desk.card = Some(card_with(&["bootcode.bin"]));
    let search = desk.start();
    assert!(matches!(search.end, Found::Network { stage: Stage::Bootcode }));
    insta::assert_snapshot!(search.tried[2], @"bootcode.bin looked at the USB disk 0: no answer within 2s, it needs 4s; put an empty file timeout beside bootcode.bin on the SD card");

    desk.card = Some(card_with(&["bootcode.bin", "timeout"]));
    assert_eq!(root(&desk.boot()), "ssd");
    // The ROM is older than that file: without bootcode.bin nobody reads it.
    desk.card = Some(card_with(&["timeout"]));
    assert!(matches!(desk.start().end, Found::Network { stage: Stage::Rom }));

    let otp = Otp::of(BoardModel::Pi3BPlus).with_long_usb_timeout();
    assert_eq!(root(&Desk::new(None, slow(4)).of(BoardModel::Pi3BPlus, otp).boot()), "ssd");

    let mut desk = Desk::new(Some(card_with(&["bootcode.bin", "timeout"])), slow(6));
    let search = desk.start();
    insta::assert_snapshot!(search.tried[2], @"bootcode.bin looked at the USB disk 0: no answer within 5s, it needs 6s; no setting makes these boards wait that long: power the disk from a hub, or use another bridge");
}

#[test]
fn a_card_that_does_not_answer_is_passed() {
    let (mut dead, mut ssd) = (one_fat(&system("card")), one_fat(&system("ssd")));
    let mut plugged =
        Plugged { card: Some(attached("", &mut dead, 6)), usb: vec![attached("a", &mut ssd, 2)] };
    let board = DiskBoot::new(plus(), Otp::of(BoardModel::Pi3BPlus));
    let search = board.start(&mut plugged, &mut TryBoot::Off).unwrap();
    insta::assert_snapshot!(search.tried[0], @"the boot ROM looked at the SD card: no answer within 5s, it needs 6s");
    assert_eq!(root(&booted(search)), "ssd");
}

#[test]
fn of_two_bootable_disks_the_first_is_taken_and_the_other_named() {
    let two = || vec![(one_fat(&system("one")), 0), (one_fat(&system("two")), 0)];
    let boot = Desk::new(None, two()).boot();
    assert_eq!(root(&boot), "one");
    insta::assert_snapshot!(boot.warnings[0], @"the USB disk 1 can be booted, too; a board takes whichever answers first, so take one of the two away");
    // A data disk before it does not count, and one that is late neither.
    let data = disk(&[(0x83, &[0; MIB])]);
    let mut disks = two();
    disks[0] = (data, 0);
    let boot = Desk::new(None, disks).boot();
    assert_eq!(root(&boot), "two");
    assert!(!boot.warnings.iter().any(|warning| warning.contains("can be booted, too")));
    let mut disks = two();
    disks[0].1 = 3;
    assert_eq!(root(&Desk::new(None, disks).boot()), "two");
}

#[test]
fn start_elf_may_be_on_a_later_partition_than_bootcode() {
    let mut first = Files::new();
    first.insert("bootcode.bin".into(), vec![0xbc; 700]);
    let (first, second) =
        (fat(FatType::Fat12, 2 * MIB, &first), fat(FatType::Fat32, 40 * MIB, &system("ssd")));
    let image = disk(&[(0x83, &[0; MIB]), (0x01, &first), (0x0c, &second)]);
    let boot = Desk::new(None, vec![(image, 0)]).boot();
    assert_eq!(boot.files[0].source, usb("0", 2));
    assert_eq!(boot.source(), Some(&usb("0", 3)));
}

/// The example of autoboot.adoc: two systems, and a trial of the other one.
#[test]
fn autoboot_names_the_partition() {
    let mut first = Files::new();
    first.insert("bootcode.bin".into(), vec![0xbc; 700]);
    let text = b"[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";
    first.insert("autoboot.txt".into(), text.to_vec());
    let image = |third: &Files| {
        let parts = [&first, &system("a"), third].map(|files| fat(FatType::Fat16, 8 * MIB, files));
        disk(&[(0x0e, &parts[0]), (0x0e, &parts[1]), (0x0e, &parts[2])])
    };
    let mut desk = Desk::new(None, vec![(image(&system("b")), 0)]);
    let boot = desk.boot();
    assert_eq!((root(&boot), boot.files[1].name.as_str()), ("a", "autoboot.txt"));
    desk.tryboot = TryBoot::Armed;
    assert_eq!(root(&desk.boot()), "b");
    assert_eq!(root(&desk.boot()), "a");

    let mut desk = Desk::new(None, vec![(image(&Files::new()), 0)]);
    desk.tryboot = TryBoot::Armed;
    let search = desk.start();
    assert!(matches!(search.end, Found::Network { stage: Stage::Bootcode }));
    insta::assert_snapshot!(search.tried[2], @"bootcode.bin looked at the USB disk 0: autoboot.txt on partition 1 says boot_partition=3, which is FAT without start.elf; name a FAT partition with start.elf, or remove the file");
}

#[test]
fn a_trial_is_one_boot_whatever_comes_of_it() {
    let mut files = system("card");
    files.insert("tryboot.txt".into(), b"arm_64bit=1\ncmdline=trial.txt\n".to_vec());
    files.insert("trial.txt".into(), b"root=ssd".to_vec());
    let mut desk = Desk::new(Some(one_fat(&files)), vec![]);
    assert_eq!(root(&desk.boot()), "card");
    desk.tryboot = TryBoot::Armed;
    assert_eq!(root(&desk.boot()), "ssd");
    assert_eq!(desk.tryboot, TryBoot::Off);
    assert_eq!(root(&desk.boot()), "card");

    files.insert("tryboot.txt".into(), b"arm_64bit=1\nkernel=missing.img\n".to_vec());
    let mut desk = Desk::new(Some(one_fat(&files)), vec![]);
    desk.tryboot = TryBoot::Armed;
    assert!(matches!(desk.start().end, Found::Nothing));
    assert_eq!(root(&desk.boot()), "card");
}

#[test]
fn a_restart_asks_for_a_trial_behind_the_number_of_a_partition() {
    let asked =
        ["0 tryboot", "0 more tryboot", "tryboot", "0", "0 tryboots", ""].map(TryBoot::asked_by);
    use TryBoot::{Armed, Off};
    assert_eq!(asked, [Armed, Armed, Off, Off, Off, Off]);
}

/// A disk with the GPT that sfdisk wrote, and a system on its second partition.
fn gpt() -> Image {
    let mut image = vec![0; 12 * MIB];
    let table = include_bytes!("../../../fixtures/bootrom/gpt-sfdisk.bin");
    image[..table.len()].copy_from_slice(table);
    image[2 * MIB..10 * MIB].copy_from_slice(&fat(FatType::Fat16, 8 * MIB, &system("ssd")));
    Cursor::new(image)
}

#[test]
fn a_gpt_is_read_on_usb_and_not_on_a_card() {
    let boot = Desk::new(None, vec![(gpt(), 0)]).boot();
    assert_eq!((root(&boot), boot.source()), ("ssd", Some(&usb("0", 2))));
    insta::assert_snapshot!(boot.warnings[0], @"the disk has a GPT: the boot ROM is said to read it, but bootcode.bin has been seen failing on one (raspberrypi/firmware#749); an MBR is the safe choice");

    let search = Desk::new(Some(gpt()), vec![]).start();
    insta::assert_snapshot!(search.tried[0], @"the boot ROM looked at the SD card: no FAT partition in the disk's table (1: type ee (GPT)); the firmware reads FAT only: give the boot partition type 0c");

    // A hybrid: the same partition in the MBR.
    let mut hybrid = gpt().into_inner();
    let sectors = |mib: u32| (mib * 2048).to_le_bytes();
    hybrid[446 + 16 + 4] = 0x0c;
    hybrid[446 + 16 + 8..446 + 16 + 12].copy_from_slice(&sectors(2));
    hybrid[446 + 16 + 12..446 + 16 + 16].copy_from_slice(&sectors(8));
    let boot = Desk::new(Some(Cursor::new(hybrid)), vec![]).boot();
    assert!(boot.warnings[0].contains("hybrid"), "{:?}", boot.warnings);
}

#[test]
fn a_damaged_gpt_is_refused() {
    let with = |at: usize, byte: u8| {
        let mut image = gpt();
        image.get_mut()[at] ^= byte;
        let search = Desk::new(None, vec![(image, 0)]).start();
        assert!(matches!(search.end, Found::Network { stage: Stage::Rom }), "{at}");
        search.tried[1].to_string()
    };
    insta::assert_snapshot!(with(512, 1), @"the boot ROM looked at the USB disk 0: the disk's GPT is damaged: it does not begin with `EFI PART`; make the disk anew with an MBR, or repair the GPT from its copy with `sgdisk --verify` and gdisk's recovery menu");
    assert!(with(512 + 56, 1).contains("its header does not have the checksum"));
    assert!(with(1024 + 130, 1).contains("its entries do not have the checksum"));
    // Its partitions are of no use to the firmware.
    let mut image = gpt();
    let table = image.get_mut();
    table[1024 + 128] ^= 1;
    let entries = crc(&table[1024..1024 + 128 * 128]);
    table[512 + 88..512 + 92].copy_from_slice(&entries);
    table[512 + 16..512 + 20].fill(0);
    let header = crc(&table[512..512 + 92]);
    table[512 + 16..512 + 20].copy_from_slice(&header);
    let search = Desk::new(None, vec![(image, 0)]).start();
    insta::assert_snapshot!(search.tried[1], @"the boot ROM looked at the USB disk 0: no FAT partition in the disk's table (1: type 0fc63daf-8483-4772-8e79-3d69d8477de4, 2: type c12a7329-f81f-11d2-ba4b-00a0c93ec93b); the firmware reads FAT only: give the boot partition type 0c in an MBR, or in a GPT that of EFI system or Microsoft basic data");
}

/// The checksum of zip and GPT, bit by bit.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let turned = bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ (0xedb8_8320 * (crc & 1)))
    });
    (!turned).to_le_bytes()
}

#[test]
fn what_is_no_boot_partition_is_not_taken_for_one() {
    let contents = fat(FatType::Fat16, 8 * MIB, &system("ssd"));
    for kind in [0x00, 0x05, 0x07, 0x0f, 0x83, 0xef] {
        let search = Desk::new(None, vec![(disk(&[(kind, &contents)]), 0)]).start();
        assert!(matches!(search.end, Found::Network { .. }), "{kind:02x}");
        assert!(matches!(search.tried[1].went, Went::Past(PassedOver::Disk(_))), "{kind:02x}");
    }
    let search = Desk::new(None, vec![]).start();
    insta::assert_snapshot!(search.tried[1], @"the boot ROM looked at USB: nothing is plugged in");
    let search = Desk::new(Some(card_with(&["bootcode.bin"])), vec![]).start();
    insta::assert_snapshot!(search.tried[2], @"bootcode.bin looked at USB: nothing is plugged in");
}

/// A disk that the host cannot read is not one that the board passes over.
#[test]
fn the_hosts_trouble_is_not_the_boards() {
    struct Failing(Image, u64);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.position() >= self.1 {
                // EIO.
                true => Err(std::io::Error::from_raw_os_error(5)),
                false => self.0.read(buffer),
            }
        }
    }
    impl Seek for Failing {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    let board = DiskBoot::new(plus(), Otp::of(BoardModel::Pi3BPlus));
    for limit in [0, MIB as u64, MIB as u64 + 128 * 1024] {
        let mut failing = Failing(one_fat(&system("ssd")), limit);
        let disk =
            Attached { name: "bad".into(), disk: &mut failing, answers_after: Duration::ZERO };
        let mut plugged = Plugged { card: None, usb: vec![disk] };
        let error = board.start(&mut plugged, &mut TryBoot::Off).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the USB disk bad");
    }
}

/// Puts bytes somewhere into a disk and starts a board with it, in the slot and on USB.
fn survives(image: &Image, at: usize, bytes: &[u8]) {
    let mut damaged = image.clone();
    let length = damaged.get_ref().len();
    let at = at % length;
    let end = (at + bytes.len()).min(length);
    damaged.get_mut()[at..end].copy_from_slice(&bytes[..end - at]);
    Desk::new(Some(damaged.clone()), vec![]).start();
    Desk::new(None, vec![(damaged, 0)]).start();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..16 * 1024), signed: bool) {
        if signed && bytes.len() > 512 {
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        }
        let image = Cursor::new(bytes);
        Desk::new(Some(image.clone()), vec![]).start();
        Desk::new(None, vec![(image, 0)]).start();
    }

    /// In the table, in the boot sector, in the first FATs: where the structures are.
    #[test]
    fn any_damage_is_survived(
        at in prop_oneof![446_usize..512, MIB..MIB + 512, MIB..MIB + 64 * 1024],
        bytes in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        survives(&small(), at, &bytes);
    }

    #[test]
    fn any_damage_to_a_gpt_is_survived(
        at in 446_usize..1024 + 256,
        bytes in prop::collection::vec(any::<u8>(), 1..16),
    ) {
        survives(&gpt(), at, &bytes);
    }
}

/// A small disk that boots: what is to be copied for each case.
fn small() -> Image {
    let mut files = system("ssd");
    files.insert("initramfs8".into(), vec![0xcd; 3_000]);
    disk(&[(0x01, &fat(FatType::Fat12, 2 * MIB, &files))])
}
