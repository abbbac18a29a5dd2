//! A disk put together twice from the same small trees: the same bytes, and file systems that their own checkers
//! find nothing wrong with.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_image::mbr::Signature;
use feeder_image::{DiskParts, assemble, ext4, fat};
use feeder_process::Cmd;
use feeder_store::Digest;

const MIB: u64 = 1 << 20;
/// 2026-09-05T09:00:00Z.
const TIME: i64 = 1_788_598_800;

struct Workshop {
    _dir: tempfile::TempDir,
    path: Utf8PathBuf,
    parts: DiskParts,
}

impl Workshop {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        // FAT32 needs 65,525 clusters at least: with 2 KiB each, more than 128 MiB.
        let parts = DiskParts::new(256 * MIB, 192 * MIB).unwrap();
        Self { _dir: dir, path, parts }
    }

    /// Makes trees, file systems and disk. `reverse` makes the files in another order, so that no directory lists
    /// them as the other build's does.
    fn make(&self, name: &str, reverse: bool) -> Utf8PathBuf {
        let work = self.path.join(name);
        let (boot, root) = (work.join("boot"), work.join("root"));
        let mut boot_files =
            vec!["bootcode.bin", "config.txt", "overlays/disable-bt.dtbo", "A long name.dtb"];
        let mut root_files: Vec<String> =
            (0..300).map(|n| format!("usr/share/many/file-{n}")).collect();
        root_files.extend(["etc/fstab".into(), "usr/bin/tool".into()]);
        if reverse {
            boot_files.reverse();
            root_files.reverse();
        }
        for file in &boot_files {
            write(&boot.join(file), file);
        }
        for file in &root_files {
            write(&root.join(file), file);
        }
        let tool = root.join("usr/bin/tool");
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o4755)).unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        std::fs::hard_link(&tool, root.join("usr/bin/again")).unwrap();
        settle(&root);

        let boot_image = work.join("boot.fat");
        let fat = fat::Fat {
            label: "bootfs",
            serial: "fe3d0b01",
            size: self.parts.boot.size,
            start: self.parts.boot.start,
            time: TIME,
        };
        fat::make(&fat, &boot, &boot_image).unwrap();
        let root_image = work.join("root.ext4");
        let ext4 = ext4::Ext4 {
            label: "rootfs",
            uuid: "fe3de201-0000-4000-8000-000000000002",
            hash_seed: "fe3de201-0000-4000-8000-0000000000ff",
            size: self.parts.root.size,
            time: TIME,
        };
        ext4::make(&ext4, root.as_str(), root_image.as_str()).run().unwrap();
        ext4::settle(&root_image, TIME).unwrap();
        let disk = work.join("disk.img");
        assemble(&self.parts, Signature(0xfe3d_e201), &boot_image, &root_image, &disk).unwrap();
        disk
    }

    /// A partition as a file of its own.
    fn cut(&self, disk: &Utf8Path, start: u64, size: u64) -> Utf8PathBuf {
        let part = self.path.join("part");
        let mebibytes = |bytes: u64| (bytes / MIB).to_string();
        Cmd::new("dd")
            .args([
                format!("if={disk}"),
                format!("of={part}"),
                "bs=1M".into(),
                "conv=sparse".into(),
            ])
            .args([format!("skip={}", mebibytes(start)), format!("count={}", mebibytes(size))])
            .run()
            .unwrap();
        part
    }
}

fn write(path: &Utf8Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Times of contents are the caller's to settle.
fn settle(dir: &Utf8Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME as u64);
    for entry in dir.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.is_symlink() {
            Cmd::new("touch")
                .args(["-h", &format!("--date=@{TIME}"), path.as_str()])
                .run()
                .unwrap();
            continue;
        }
        if path.is_dir() {
            settle(&path);
        }
        std::fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }
    std::fs::File::open(dir).unwrap().set_modified(time).unwrap();
}

fn digest(file: &Utf8Path) -> Digest {
    Digest::of_reader(std::fs::File::open(file).unwrap()).unwrap().0
}

#[test]
fn the_same_trees_give_the_same_bytes_and_sound_file_systems() {
    let shop = Workshop::new();
    let first = shop.make("first", false);
    // FAT counts in steps of two seconds: be in another one.
    let later = SystemTime::now() + Duration::from_millis(2100);
    let second = loop {
        let second = shop.make("second", true);
        if SystemTime::now() > later {
            break second;
        }
        std::fs::remove_dir_all(shop.path.join("second")).unwrap();
    };
    assert_eq!(digest(&first), digest(&second));

    let meta = first.metadata().unwrap();
    assert_eq!(meta.len(), shop.parts.size);
    assert!(
        meta.blocks() * 512 < meta.len() / 4,
        "{} blocks are allocated: not sparse",
        meta.blocks()
    );

    let boot = shop.cut(&first, shop.parts.boot.start, shop.parts.boot.size);
    Cmd::new("fsck.vfat").args(["-n", "-V", boot.as_str()]).run().unwrap();
    let text =
        Cmd::new("mtype").args(["-i", boot.as_str(), "::overlays/disable-bt.dtbo"]).run().unwrap();
    assert_eq!(text.stdout_text(), "overlays/disable-bt.dtbo");
    let list =
        Cmd::new("mdir").args(["-i", boot.as_str(), "-/", "-b", "::"]).run().unwrap().stdout_text();
    assert!(list.contains("::/A long name.dtb"), "{list}");

    let root = shop.cut(&first, shop.parts.root.start, shop.parts.root.size);
    let checked = Cmd::new("e2fsck").args(["-fn", root.as_str()]).run().unwrap();
    assert!(checked.stdout_text().contains("rootfs: "), "{}", checked.stdout_text());
    let stat = |path: &str| {
        let request = format!("stat {path}");
        Cmd::new("debugfs")
            .args(["-R", &request, root.as_str()])
            .env("TZ", "UTC")
            .run()
            .unwrap()
            .stdout_text()
    };
    let tool = stat("/usr/bin/tool");
    assert!(tool.contains("Mode:  04755") && tool.contains("Links: 2"), "{tool}");
    assert_eq!(tool.matches("Sat Sep  5 09:00:00 2026").count(), 4, "{tool}");
    assert!(stat("/bin").contains(r#"Fast link dest: "usr/bin""#));
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(DiskParts::new(256 * MIB, 252 * MIB).is_err());
    assert!(DiskParts::new(256 * MIB, 3 * MIB).is_err());
    assert!(DiskParts::new(255 * MIB, 64 * MIB).is_err());

    let shop = Workshop::new();
    let (boot, root) = (shop.path.join("boot"), shop.path.join("root"));
    std::fs::File::create(&boot).unwrap().set_len(shop.parts.boot.size).unwrap();
    std::fs::write(&root, "x").unwrap();
    std::fs::File::options()
        .write(true)
        .open(&root)
        .unwrap()
        .set_len(shop.parts.root.size + 1)
        .unwrap();
    let error =
        assemble(&shop.parts, Signature(1), &boot, &root, &shop.path.join("disk")).unwrap_err();
    assert!(feeder_ui::render(&error).contains("do not fit"), "{error}");
}
