//! Two loop devices: a card with a small system that looks like Raspberry Pi OS, and an SSD.

use std::{fmt::Write as _, os::unix::fs::PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_cluster::FileSystem;
use feeder_process::{Cmd, Output, Status};

use crate::ssd_boot::script::{Script, Way};

/// Small, and large enough for FAT32.
const BOOT_MIB: u64 = 40;
const CARD: u64 = 96 << 20;
pub(super) const SSD: u64 = 160 << 20;

/// Tools that the scripts call, which a test can have killed at any call.
const TOOLS: &[&str] = &[
    "awk",
    "blkid",
    "blockdev",
    "cp",
    "debugfs",
    "dumpe2fs",
    "e2fsck",
    "find",
    "fsck.fat",
    "mcopy",
    "mkfs.ext4",
    "mkfs.vfat",
    "mount",
    "mv",
    "perl",
    "resize2fs",
    "rm",
    "rsync",
    "sfdisk",
    "sort",
    "sync",
    "truncate",
    "tune2fs",
    "umount",
];

/// Why this machine cannot run the tests, which then are skipped.
pub(super) fn lacking() -> Option<&'static str> {
    let root = Cmd::new("id").arg("-u").run().unwrap().stdout_text().trim() == "0";
    if !root {
        return Some("loop devices and mounts need root");
    }
    if Cmd::new("losetup").arg("-f").output().map_or(true, |output| !output.status.success()) {
        return Some("this machine has no loop devices");
    }
    None
}

/// Skips a test with the reason on stderr.
macro_rules! bench_or_skip {
    () => {
        match bench::lacking() {
            None => bench::Bench::new(),
            Some(why) => {
                eprintln!("skipped: {why}");
                return;
            }
        }
    };
}
pub(super) use bench_or_skip;

pub(super) struct Bench {
    guard: tempfile::TempDir,
    loops: Vec<String>,
    pub(super) script: Script,
}

fn sh(text: &str) -> String {
    Cmd::new("sh").stdin(format!("set -eu\n{text}")).run().unwrap().stdout_text()
}

impl Bench {
    /// With a card that is copied by blocks.
    pub(super) fn new() -> Self {
        Self::with_blocks_of(4096)
    }

    /// With a card that is copied by files: its blocks are smaller than a page of memory.
    pub(super) fn of_files() -> Self {
        Self::with_blocks_of(1024)
    }

    fn with_blocks_of(bytes: u32) -> Self {
        let guard = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let script = Script {
            disk: format!("{dir}/by-id"),
            serial: String::new(),
            source: format!("{dir}/card"),
            firmware: format!("{dir}/firmware"),
            firmware_name: "/boot/firmware".into(),
            work: format!("{dir}/work"),
            images: "/srv/feeder/state".into(),
            boot_mib: BOOT_MIB,
            file_system: FileSystem::Ext4,
            services: Vec::new(),
            drivers: Vec::new(),
            initramfs: "initramfs8",
            way: Way::Kept,
        };
        let mut this = Self { guard, loops: Vec::new(), script };
        let card = this.attach("card.img", CARD);
        this.plug_in("ssd.img", SSD);
        sh(&format!(
            "cd {dir}\nmkfs.ext4 -q -b {bytes} {card}\nmkdir card firmware\nmount {card} card\n{}",
            include_str!("system.sh")
        ));
        this.shims();
        this
    }

    pub(super) fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.guard.path()).unwrap()
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.dir().join(name).into_string()
    }

    fn attach(&mut self, name: &str, size: u64) -> String {
        let path = self.path(name);
        sh(&format!("truncate -s {size} {path}"));
        let device = sh(&format!("losetup -f --show {path}")).trim().to_owned();
        self.loops.push(device.clone());
        device
    }

    /// Another disk under the name of the SSD.
    pub(super) fn plug_in(&mut self, name: &str, size: u64) -> String {
        let device = self.attach(name, size);
        sh(&format!("ln -sfn {device} {}", self.script.disk));
        device
    }

    pub(super) fn ssd(&self) -> String {
        std::fs::read_link(&self.script.disk).unwrap().to_str().unwrap().to_owned()
    }

    /// Programs in front of all others, which count their calls and at one of them kill everybody.
    fn shims(&self) {
        let bin = self.dir().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for tool in TOOLS {
            let path = sh(&format!("command -v {tool}"));
            let real = path.trim();
            assert!(!real.is_empty(), "{tool}: where is it?");
            let text = format!(
                "#!/bin/sh\nexec 9>\"$CALLS.lock\"\nflock 9\nn=$(($(cat \"$CALLS\") + 1))\necho $n >\"$CALLS\"\nexec 9>&-\n\
                 if [ $n = \"$KILL_AT\" ]; then\n  [ \"$WHEN\" = before ] || timeout -s KILL 0.02 {real} \"$@\"\n  kill -9 0\nfi\nexec {real}"
            );
            let path = bin.join(tool);
            std::fs::write(&path, text.trim_end().to_owned() + " \"$@\"\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// All of the move, one step after the other.
    pub(super) fn whole(&self) -> String {
        let steps = [
            self.script.partition(),
            self.script.format(),
            self.script.first_copy(),
            self.script.last_move(),
        ];
        steps.iter().fold("set -e\n".to_owned(), |mut text, step| {
            let _infallible = writeln!(text, "(\n{step}\n)");
            text
        })
    }

    /// Runs a script of ours as a host runs it.
    pub(super) fn run(&self, script: &str) -> Output {
        self.until(script, 0, "before")
    }

    /// Runs a script, and kills it and its children at a call of a tool: before it, or `within` it (after it, when it is
    /// quick). The call 0 never comes.
    pub(super) fn until(&self, script: &str, call: u32, when: &str) -> Output {
        std::fs::write(self.path("calls"), "0\n").unwrap();
        let path =
            format!("{}:/usr/sbin:/sbin:{}", self.path("bin"), std::env::var("PATH").unwrap());
        Cmd::new("sh")
            .env("PATH", path)
            .env("CALLS", self.path("calls"))
            .env("KILL_AT", call.to_string())
            .env("WHEN", when)
            .stdin(format!("{{\n{script}\n}} </dev/null\n"))
            .output()
            .unwrap()
    }

    pub(super) fn calls(&self) -> u32 {
        std::fs::read_to_string(self.path("calls")).unwrap().trim().parse().unwrap()
    }

    /// How far the move is, as a plan would find it.
    pub(super) fn state(&self) -> String {
        self.run(&self.script.probe(&["nothing"])).stdout_text().trim().to_owned()
    }

    /// Power is cut and comes back: what did not reach the SSD's medium by then is lost, mounts of the killed run are gone.
    pub(super) fn power_cut(&mut self) {
        // The file behind a loop device holds what was written to the device and not what waits in its cache.
        self.sh("cp --sparse=always ssd.img cut.img");
        self.sh(&format!(
            "for mount in source root; do while mountpoint -q {0}/$mount 2>/dev/null; do umount {0}/$mount; done; done",
            self.script.work
        ));
        let device = self.plug_in("cut.img", SSD);
        self.sh(&format!("partx -u {device} 2>/dev/null || :"));
    }

    /// Whether the card would boot, as `boots` and the firmware see it.
    pub(super) fn card_boots(&self) -> bool {
        ["start.elf", "fixup.dat", "config.txt", "cmdline.txt", "kernel8.img", "bootcode.bin"]
            .iter()
            .all(|name| self.dir().join("firmware").join(name).exists())
    }

    /// Whether the SSD shows a boot partition; if it does, it must be whole, and so must the root that it names.
    pub(super) fn ssd_boots(&self) -> bool {
        let ssd = self.ssd();
        let sector = format!("head -c 512 {ssd}p1 | tr -d '\\000' | wc -c");
        if !Utf8Path::new(&format!("{ssd}p1")).exists() || sh(&sector).trim() == "0" {
            return false;
        }
        sh(&format!(
            "sync {ssd}p1 {ssd}p2; fsck.fat -n {ssd}p1 >/dev/null\n\
             rm -rf {0}; mkdir {0}; MTOOLSRC=/dev/null mcopy -s -m -Q -i {ssd}p1 ::/* {0}/\n\
             grep -q \"root=PARTUUID=$(blkid -p -s PTUUID -o value {ssd})-02 rootfstype=ext4\" {0}/cmdline.txt\n\
             e2fsck -fn {ssd}p2 >/dev/null 2>&1",
            self.path("seen")
        ));
        true
    }

    /// Paths that differ between card and SSD, in content, kind, owner, mode, time (not of folders), links or attributes.
    pub(super) fn differences(&self) -> Vec<String> {
        let ssd = self.ssd();
        let text = sh(&format!(
            "cd {}\nmkdir -p mnt\nmount -o ro {ssd}p2 mnt\n\
             rsync -aHAXnO --delete --checksum --out-format='%o %n' --exclude=/lost+found card/ mnt/\numount mnt",
            self.dir()
        ));
        text.lines().map(str::to_owned).collect()
    }

    /// Reads a file of the SSD's root.
    pub(super) fn read(&self, path: &str) -> String {
        sh(&format!(
            "cd {}\nmkdir -p mnt\nmount -o ro {}p2 mnt\ncat mnt/{path}\numount mnt",
            self.dir(),
            self.ssd()
        ))
    }

    /// Goes on as if the master had been started from the SSD.
    pub(super) fn start_from_ssd(&mut self) {
        self.sh(&format!("mkdir -p new\nmount {}p2 new", self.ssd()));
        self.script.source = self.path("new");
    }

    /// A second card in a reader, with the old root and with `./fat` as its boot partition: not every kernel can mount a FAT,
    /// so that mounting this one shows a folder.
    pub(super) fn card_in_reader(&mut self) -> String {
        let card = self.attach("reader.img", CARD);
        self.sh(&format!(
            "printf 'label: dos\\nlabel-id: 0xfe3de201\\nsize=40M, type=c\\ntype=83\\n' | sfdisk -q {card} 2>/dev/null\n\
             partx -u {card}\nmkfs.vfat -F 32 -s 1 {card}p1 >/dev/null\nmkfs.ext4 -q {card}p2\nmkdir -p fat"
        ));
        let shim = format!(
            "#!/bin/sh\nfor last; do :; done\ncase \"$*\" in\n\
             '-t vfat '*'{card}p1 '*) exec /bin/mount --bind {} \"$last\" ;;\n\
             '-t vfat '*) exit 1 ;;\n\
             *) exec /bin/mount \"$@\" ;;\nesac\n",
            self.path("fat")
        );
        std::fs::write(self.path("bin/mount"), shim).unwrap();
        card
    }

    pub(super) fn sh(&self, text: &str) -> String {
        sh(&format!("cd {}\n{text}", self.dir()))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let mut text = String::new();
        for mount in ["work/source", "work/root", "work/card", "mnt", "new", "card"] {
            let path = self.path(mount);
            // A lazy one leaves the device busy for whoever gets it next.
            let _infallible = writeln!(
                text,
                "! mountpoint -q {path} || umount {path} 2>/dev/null || umount -l {path}"
            );
        }
        for device in &self.loops {
            let _infallible = writeln!(text, "partx -d {device} 2>/dev/null; losetup -d {device}");
        }
        // A test that fails has more to say than what is left of it.
        let _left = Cmd::new("sh").stdin(text).output();
    }
}

/// Whether a script ended by itself and well.
pub(super) fn went_well(output: &Output) -> bool {
    output.status == Status { code: Some(0), signal: None }
}
