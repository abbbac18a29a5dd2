//! The shell of generations: a head that sets what it is about, then what scripts share, then the script.

use feeder_cluster::Board;
use feeder_process::quote;
use sha2::{Digest, Sha256};

use super::{INIT, INITRAMFS, KERNEL, PACKAGES, Wanted};
use crate::{Layout, Part, Site};

const COMMON: &str = include_str!("scripts/common.sh");
const BEGIN: &str = include_str!("scripts/begin.sh");
const CLONE: &str = include_str!("scripts/clone.sh");
const UPGRADE: &str = include_str!("scripts/upgrade.sh");
const PREPARE: &str = include_str!("scripts/prepare.sh");
const PUBLISH: &str = include_str!("scripts/publish.sh");
const ACTIVATE: &str = include_str!("scripts/activate.sh");
const REMOVE: &str = include_str!("scripts/remove.sh");
const SWEEP: &str = include_str!("scripts/sweep.sh");
const SURVEY: &str = include_str!("scripts/survey.sh");
const USES: &str = include_str!("scripts/uses.sh");
const WORKER_INIT: &str = include_str!("worker-init.sh");

/// Patterns of what firmware loads.
const BOOT_FILES: &str =
    "bootcode.bin start*.elf fixup*.dat kernel*.img initramfs* *.dtb overlays LICENCE.broadcom";

/// Units that have no place on a worker: the master's services, first-boot work, swap, timers with which all workers would
/// load the master's one disk at the same moment, and whatever manages networks: a worker's address is set by the kernel and
/// carries its root, and its name servers are written down.
const MASKED: &[&str] = &[
    "NetworkManager.service",
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dhcpcd.service",
    "dnsmasq.service",
    crate::registry::UNIT,
    "dphys-swapfile.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    crate::registry::CACHE_UNIT,
    "fsidd.service",
    "fstrim.timer",
    "man-db.timer",
    "networking.service",
    "nfs-blkmap.service",
    "nfs-server.service",
    "nfsdcld.service",
    "regenerate_ssh_host_keys.service",
    "resize2fs_once.service",
    "rpc-statd-notify.service",
    "rpcbind.service",
    "rpcbind.socket",
    "rpi-resize.service",
    "rpi-setup-loop@.service",
    "sshd-keygen.service",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-resolved.service",
    "userconfig.service",
];

/// What a new generation is a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The system that the master runs.
    Master,
    /// The generation of that number, with its packages upgraded.
    Upgrade(u32),
}

/// What the scripts are about. Tests run the same scripts in folders of their own.
#[derive(Clone)]
pub(crate) struct Script {
    /// The folder of generations.
    pub(crate) generations: String,
    /// The folder of workers' own copies of them.
    pub(crate) copies: String,
    /// The root of what TFTP serves.
    pub(crate) tftp: String,
    /// What the mount daemon remembers.
    pub(crate) rmtab: String,
    /// The system that is cloned: a folder, or nothing for the one that runs.
    pub(crate) system: String,
    /// Where its boot partition is mounted.
    pub(crate) firmware: String,
    /// What modules want of a generation.
    pub(crate) wanted: String,
    /// Packages that modules want, in a copy that is upgraded.
    pub(crate) packages: Vec<String>,
    /// What modules do to the copy.
    pub(crate) prepare: Vec<String>,
    /// Name servers of workers.
    pub(crate) dns: Vec<String>,
    /// Models of workers, as device trees are called after them.
    pub(crate) boards: Vec<&'static str>,
}

impl Script {
    pub(crate) fn on_master(site: &Site<'_>) -> Self {
        let (packages, prepare) = contributions(site);
        let mut boards: Vec<&str> =
            site.cluster.workers.iter().map(|worker| device_tree(worker.board)).collect();
        boards.sort_unstable();
        boards.dedup();
        Self {
            wanted: site.wanted.to_string(),
            packages,
            prepare,
            dns: site.cluster.network.dns.iter().map(ToString::to_string).collect(),
            boards,
            ..Self::asking(site.layout)
        }
    }

    /// Only to ask about it.
    pub(crate) fn asking(layout: &Layout) -> Self {
        Self {
            generations: layout.generations().into_string(),
            copies: layout.copies().into_string(),
            tftp: layout.tftp().into_string(),
            rmtab: "/var/lib/nfs/rmtab".into(),
            system: String::new(),
            firmware: "/boot/firmware".into(),
            wanted: String::new(),
            packages: Vec::new(),
            prepare: Vec::new(),
            dns: Vec::new(),
            boards: Vec::new(),
        }
    }

    fn with(&self, own: &[(&str, &str)], parts: &[&str]) -> String {
        let active = format!("{}/active", self.generations);
        let shared = [
            ("generations", self.generations.as_str()),
            ("copies", &self.copies),
            ("active", &active),
            ("kernel", KERNEL),
            ("initramfs", INITRAMFS),
            ("init", INIT),
        ];
        let mut text: String = shared
            .iter()
            .chain(own)
            .map(|(name, value)| format!("{name}={}\n", quote(value)))
            .collect();
        for part in parts {
            text.push('\n');
            text.push_str(part);
        }
        text
    }

    /// Prints what [`super::Generations`] reads.
    pub(crate) fn survey(&self) -> String {
        self.with(&[], &[SURVEY])
    }

    /// Prints what [`super::Uses`] reads.
    pub(crate) fn uses(&self) -> String {
        self.with(&[("tftp", &self.tftp), ("rmtab", &self.rmtab)], &[USES])
    }

    /// Makes a generation. Prints `feeder-same-as NUMBER` and makes none when an upgrade changes nothing.
    pub(crate) fn create(&self, number: u32, source: Source, by: &str) -> String {
        let (from, origin, copy) = match source {
            Source::Master => (String::new(), by.to_owned(), CLONE),
            Source::Upgrade(from) => (from.to_string(), format!("upgrade of {from}"), UPGRADE),
        };
        let (dns, packages) = (self.dns.join(" "), self.packages.join(" "));
        let own = [
            ("number", &*number.to_string()),
            ("from", &from),
            ("origin", &origin),
            ("system", &self.system),
            ("firmware", &self.firmware),
            ("boot_files", BOOT_FILES),
            ("boards", &self.boards.join(" ")),
            ("dns", &dns),
            ("masked", &MASKED.join(" ")),
            ("wanted", &self.wanted),
            ("wanted_packages", &packages),
        ];
        let prepare = self.preparation();
        self.with(&own, &["set -eu\n", COMMON, BEGIN, copy, &prepare, PUBLISH])
    }

    /// What is done to every copy.
    fn preparation(&self) -> String {
        let mut text = format!(
            "{PREPARE}\nmkdir -p \"$root${{init%/*}}\"\ncat >\"$root$init\" <<'INIT'\n{WORKER_INIT}INIT\nchmod 0755 \"$root$init\"\n"
        );
        for script in &self.prepare {
            text.push_str(&format!("\n(\n{}\n)\n", script.trim_end()));
        }
        text
    }

    /// Fails, and says why, unless all of a generation belongs together.
    pub(crate) fn check(&self, number: u32) -> String {
        let check = format!(
            "[ -f \"$generations/{number}/kernel-release\" ] || fail 'there is no generation {number}'\nbelongs_together \"$generations/{number}\" {number}\n"
        );
        self.with(&[("boards", &self.boards.join(" "))], &["set -eu\n", COMMON, &check])
    }

    /// Has workers boot a generation, after the same check. What they boot follows from other files too.
    pub(crate) fn activate(&self, number: u32) -> String {
        let own = [("number", &*number.to_string()), ("boards", &self.boards.join(" "))];
        self.with(&own, &["set -eu\n", COMMON, ACTIVATE])
    }

    /// Takes generations away from where workers find them.
    pub(crate) fn remove(&self, numbers: &[u32]) -> String {
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        self.with(&[("numbers", &numbers.join(" "))], &["set -eu\n", REMOVE])
    }

    /// Frees the room of what was removed.
    pub(crate) fn sweep(&self) -> String {
        self.with(&[], &["set -eu\n", SWEEP])
    }
}

/// As the device trees of boards are called, by Raspberry Pi and by Linux.
fn device_tree(board: Board) -> &'static str {
    match board {
        Board::Pi3B => "3-b",
        Board::Pi3BPlus => "3-b-plus",
    }
}

/// What all modules put into a generation: packages, sorted, and scripts.
fn contributions(site: &Site<'_>) -> (Vec<String>, Vec<String>) {
    let parts: Vec<Part> = site.modules.iter().map(|module| module(site)).collect();
    let packages = parts.iter().flat_map(|part| part.packages.iter().cloned());
    let mut packages: Vec<String> = packages.chain(PACKAGES.map(str::to_owned)).collect();
    packages.sort_unstable();
    packages.dedup();
    (packages, parts.into_iter().flat_map(|part| part.in_generation).collect())
}

/// What modules want of a generation, whatever it is a copy of, and whatever its number is.
pub(crate) fn wanted(site: &Site<'_>) -> Wanted {
    let script = Script::on_master(site);
    let text = [
        CLONE.to_owned(),
        script.preparation(),
        BOOT_FILES.to_owned(),
        MASKED.join(" "),
        script.dns.join(" "),
        script.packages.join(" "),
    ];
    Wanted(Sha256::digest(text.join("\0")).into())
}
