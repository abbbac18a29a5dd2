//! Booting from an SD card's image.

mod support;

use std::io::Cursor;

use fatfs::FatType;
use feeder_bootrom::{
    BoardModel, BoardProfile, BootError, DiskBootError, Place, Source, boot_from_disk,
};
use support::disk::{MIB, card, disk, fat};
use support::plus;
use support::tree::{self, Files};

fn from(partition: u8) -> Source {
    Source::Disk { place: Place::SdSlot, partition }
}

#[test]
fn a_card_boots_from_every_kind_of_fat() {
    let linux = vec![0; MIB];
    for (kind, partition_type, size) in [
        (FatType::Fat12, 0x01, 2 * MIB),
        (FatType::Fat16, 0x0e, 8 * MIB),
        (FatType::Fat32, 0x0c, 40 * MIB),
    ] {
        let boot_partition = fat(kind, size, &card());
        let mut disk = disk(&[(partition_type, &boot_partition), (0x83, &linux)]);
        let mut board = plus();
        board.serial0 = "ttyAMA0".into();
        let boot = boot_from_disk(&mut disk, &board).unwrap();
        assert_eq!(boot.kernel.name, "kernel8.img");
        assert_eq!(boot.kernel.bytes, tree::kernel());
        assert_eq!(boot.initramfs.unwrap().bytes, vec![0xcd; 300_000]);
        assert_eq!(boot.device_tree.unwrap().name, "bcm2710-rpi-3-b-plus.dtb");
        assert_eq!(
            boot.command_line,
            "coherent_pool=1M cgroup_disable=memory console=ttyAMA0,115200 console=tty1 \
             root=/dev/nfs ip=dhcp rootwait"
        );
        let names: Vec<_> = boot.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "bootcode.bin",
                "config.txt",
                "start.elf",
                "fixup.dat",
                "initramfs8",
                "bcm2710-rpi-3-b-plus.dtb",
                "overlays/overlay_map.dtb",
                "overlays/vc4-kms-v3d.dtbo",
                "cmdline.txt",
                "kernel8.img"
            ]
        );
        assert_eq!(boot.files[0].source, from(1));
        assert_eq!(boot.files[0].bytes, 52_476);
    }
}

/// An image made by mtools (`fixtures/bootrom/README.md`), so that the reader is not measured against
/// its own writer: short names in upper case, a long name, a directory, a partition that is second.
#[test]
fn an_image_made_by_mtools_boots() {
    let image = include_bytes!("../../../fixtures/bootrom/sd-mtools.img");
    let boot = boot_from_disk(&mut Cursor::new(image), &plus()).unwrap();
    assert_eq!(boot.files[0].source, from(2));
    assert_eq!(boot.kernel.bytes.len(), 4_000);
    assert_eq!(boot.device_tree.unwrap().name, "bcm2710-rpi-3-b-plus.dtb");
    assert_eq!(boot.overlays[0].name, "overlays/disable-bt.dtbo");
    assert_eq!(boot.command_line, "console=ttyS0,115200 root=LABEL=rootfs rw");
    let kernel = boot.files.iter().find(|file| file.name == "kernel8.img").unwrap();
    // From sha256sum.
    assert_eq!(
        kernel.sha256_hex(),
        include_str!("../../../fixtures/bootrom/sd-mtools.sha256").split(' ').next().unwrap()
    );
}

#[test]
fn the_first_fat_partition_with_bootcode_counts() {
    let other = fat(FatType::Fat12, 2 * MIB, &Files::new());
    let boot_partition = fat(FatType::Fat16, 8 * MIB, &card());
    let linux = vec![0; MIB];
    let mut disk = disk(&[(0x83, &linux), (0x01, &other), (0x0e, &boot_partition)]);
    let boot = boot_from_disk(&mut disk, &plus()).unwrap();
    assert_eq!(boot.files[0].source, from(3));
}

#[test]
fn another_board_takes_another_device_tree_and_its_own_filters() {
    let mut files = card();
    files.insert("bcm2710-rpi-3-b.dtb".into(), tree::device_tree("older"));
    let config = "arm_64bit=1\nenable_uart=1\n[pi3+]\ncmdline=plus.txt\n";
    files.insert("config.txt".into(), config.into());
    files.insert("plus.txt".into(), b"plus".to_vec());
    let boot_partition = fat(FatType::Fat16, 8 * MIB, &files);
    let mut disk = disk(&[(0x0e, &boot_partition)]);
    assert!(boot_from_disk(&mut disk, &plus()).unwrap().command_line.ends_with(" plus"));
    let older = boot_from_disk(&mut disk, &BoardProfile::of(BoardModel::Pi3B)).unwrap();
    assert!(older.command_line.starts_with("older console=ttyS0"), "{}", older.command_line);
}

#[test]
fn a_trial_boot_reads_another_file() {
    let mut files = card();
    files.insert(
        "tryboot.txt".into(),
        b"arm_64bit=1\ncmdline=trial.txt\n[tryboot]\nkernel=new.img\n".to_vec(),
    );
    files.insert("trial.txt".into(), b"trial".to_vec());
    files.insert("new.img".into(), tree::kernel());
    let boot_partition = fat(FatType::Fat16, 8 * MIB, &files);
    let mut disk = disk(&[(0x0e, &boot_partition)]);
    let board = BoardProfile { tryboot: true, ..plus() };
    let boot = boot_from_disk(&mut disk, &board).unwrap();
    assert_eq!((boot.kernel.name.as_str(), boot.initramfs), ("new.img", None));
    assert_eq!(boot_from_disk(&mut disk, &plus()).unwrap().kernel.name, "kernel8.img");
}

/// The error and its causes, as a user reads them.
fn words(error: &DiskBootError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn failure(mut disk: Cursor<Vec<u8>>) -> String {
    words(&boot_from_disk(&mut disk, &plus()).expect_err("should not boot"))
}

#[test]
fn what_a_disk_may_lack() {
    let linux = vec![0; MIB];
    insta::assert_snapshot!(
        failure(Cursor::new(vec![0; MIB])),
        @"no partition table: the first sector ends in 00 00, not in 55 aa; write an image with an MBR to the disk"
    );
    insta::assert_snapshot!(
        failure(Cursor::new(vec![0; 100])),
        @"cannot read the partition table (first 512 bytes) from the disk: failed to fill whole buffer"
    );
    insta::assert_snapshot!(
        failure(disk(&[])),
        @"no FAT partition in the disk's table (all empty); the firmware reads FAT only: give the boot partition type 0c"
    );
    insta::assert_snapshot!(
        failure(disk(&[(0x83, &linux), (0xee, &linux)])),
        @"no FAT partition in the disk's table (1: type 83, 2: type ee (GPT)); the firmware reads FAT only: give the boot partition type 0c"
    );
    let empty = fat(FatType::Fat12, 2 * MIB, &Files::new());
    insta::assert_snapshot!(
        failure(disk(&[(0x0c, &linux), (0x01, &empty)])),
        @"no bootcode.bin on the disk: partition 1 is no readable FAT file system (Invalid boot sector signature), partition 2 is FAT without bootcode.bin; copy the firmware into the boot partition"
    );
    let mut files = card();
    files.remove("start.elf");
    insta::assert_snapshot!(
        failure(disk(&[(0x0e, &fat(FatType::Fat16, 8 * MIB, &files))])),
        @"booting from partition 1 of the disk: bootcode.bin found no start.elf (not on the disk); it needs the firmware's start.elf in the root directory of the boot partition"
    );
    let mut files = card();
    files.remove("kernel8.img");
    insta::assert_snapshot!(
        failure(disk(&[(0x0e, &fat(FatType::Fat16, 8 * MIB, &files))])),
        @"booting from partition 1 of the disk: start.elf found no kernel; tried kernel8.img (not on the disk)"
    );
}

/// A disk that fails is the host's trouble and not taken for a missing file.
#[test]
fn read_errors_are_told_apart_from_missing_files() {
    struct Failing(Cursor<Vec<u8>>, u64);
    impl std::io::Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            // EIO beyond the limit.
            if self.0.position() > self.1 {
                return Err(std::io::Error::from_raw_os_error(5));
            }
            self.0.read(buffer)
        }
    }
    impl std::io::Seek for Failing {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    let image = disk(&[(0x0e, &fat(FatType::Fat16, 8 * MIB, &card()))]);
    let limit = MIB as u64 + 128 * 1024;
    let error = boot_from_disk(&mut Failing(image, limit), &plus()).expect_err("should not boot");
    assert!(
        matches!(&error, DiskBootError::Io { source, .. } if source.raw_os_error() == Some(5)),
        "{error:?}"
    );
}

/// Damage anywhere in the file system's own structures ends in a boot or an error, never in a panic
/// or a loop.
#[test]
fn damaged_file_systems_are_survived() {
    let image = disk(&[(0x0e, &fat(FatType::Fat16, 8 * MIB, &card()))]).into_inner();
    let (mut booted, mut failed) = (0, 0);
    // Boot sector, FATs and root directory lie in the first 64 KiB of the partition.
    for at in (MIB..MIB + 96).chain((MIB + 96..MIB + 64 * 1024).step_by(61)) {
        let mut damaged = image.clone();
        for byte in &mut damaged[at..at + 8] {
            *byte ^= 0x2d;
        }
        match boot_from_disk(&mut Cursor::new(damaged), &plus()) {
            Ok(_) => booted += 1,
            Err(DiskBootError::Boot { source: BootError::Only64Bit { .. }, .. }) => {
                panic!("at {at}")
            }
            Err(_) => failed += 1,
        }
    }
    assert!(booted > 0 && failed > 0, "{booted} booted, {failed} failed");
}
