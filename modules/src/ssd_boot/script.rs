//! The shell of the move: a head that sets what it is about, then what steps share, then the step.

use feeder_cluster::{DiskId, FileSystem, Ssd};
use feeder_process::quote;

use super::{Disks, refuse};
use crate::{Site, registry};

/// Where the move mounts things, on the master.
pub(super) const WORK: &str = "/run/feeder-ssd";

/// Units that write where workers or people would miss it, stopped for the last copy. Sockets before what they start.
const SERVICES: &[&str] = &[
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "cron.service",
    "docker.socket",
    "docker.service",
    "containerd.service",
    "k3s.service",
    registry::UNIT,
    registry::CACHE_UNIT,
    "dnsmasq.service",
    "nfs-server.service",
];

const DISK: &str = include_str!("scripts/disk.sh");
const BLAME: &str = include_str!("scripts/blame.sh");
const STATE: &str = include_str!("scripts/state.sh");
const SURVEY: &str = include_str!("scripts/survey.sh");
const PARTITION: &str = include_str!("scripts/partition.sh");
const FORMAT: &str = include_str!("scripts/format.sh");
const BLOCKS: &str = include_str!("scripts/blocks.sh");
const COPY: &str = include_str!("scripts/copy.sh");
const FIRST_COPY: &str = include_str!("scripts/first-copy.sh");
const BOOT: &str = include_str!("scripts/boot.sh");
const CARD: &str = include_str!("scripts/card.sh");
const NEEDS: &str = include_str!("scripts/needs.sh");
const TRY: &str = include_str!("scripts/try.sh");
const EEPROM: &str = include_str!("scripts/eeprom.sh");
const CARDS: &str = include_str!("scripts/cards.sh");
const FINISH: &str = include_str!("scripts/finish.sh");
const MOVE: &str = include_str!("scripts/move.sh");

/// How the board comes to prefer the SSD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// 3B and 3B+: the card stays in its slot and only begins the boot.
    Kept,
    /// 3B and 3B+: somebody takes the card out.
    Removed,
    /// 4 and 5: the boot order in the EEPROM.
    Eeprom,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Removed => "removed",
            Self::Eeprom => "eeprom",
        }
    }
}

impl Script {
    /// On the master.
    pub(crate) fn on_master(site: &Site<'_>, ssd: &Ssd, disks: &Disks) -> Self {
        let disk = disks.named(ssd.disk.name());
        let mut drivers = match disk.map(|disk| disk.transport.as_str()) {
            Some("usb") => vec!["usb-storage", "sd_mod"],
            Some("nvme") => vec!["nvme"],
            _ => Vec::new(),
        };
        drivers.push(ssd.file_system.as_str());
        Self {
            disk: ssd.disk.to_string(),
            serial: disk.map_or_else(String::new, |disk| disk.serial.clone()),
            images: site.layout.base().join("state").into_string(),
            boot_mib: refuse::boot_mib(disks),
            file_system: ssd.file_system,
            services: SERVICES.to_vec(),
            drivers,
            way: refuse::way(disks, ssd),
            ..Self::asking(&ssd.disk)
        }
    }

    /// On the master, only to ask about it.
    pub(crate) fn asking(disk: &DiskId) -> Self {
        Self {
            disk: disk.to_string(),
            serial: String::new(),
            source: "/".into(),
            firmware: "/boot/firmware".into(),
            firmware_name: "/boot/firmware".into(),
            work: WORK.into(),
            images: String::new(),
            boot_mib: 0,
            file_system: FileSystem::Ext4,
            services: Vec::new(),
            drivers: Vec::new(),
            initramfs: crate::generation::INITRAMFS,
            way: Way::Kept,
        }
    }
}

/// What the scripts are about. Tests run the same scripts on two loop devices.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// The SSD; a link to a whole disk.
    pub(crate) disk: String,
    /// Its serial number, as it was shown to whoever agreed; may be empty.
    pub(crate) serial: String,
    /// The root that is copied.
    pub(crate) source: String,
    /// Where the boot partition is mounted.
    pub(crate) firmware: String,
    /// What the boot partition is called in fstab.
    pub(crate) firmware_name: String,
    /// A folder that a restart forgets.
    pub(crate) work: String,
    /// The folder of the workers' states within the root.
    pub(crate) images: String,
    /// The size of the boot partition to make, in MiB.
    pub(crate) boot_mib: u64,
    /// The file system of the root to make.
    pub(crate) file_system: FileSystem,
    /// Units that write, stopped for the last copy.
    pub(crate) services: Vec<&'static str>,
    /// Drivers that the SSD's kernel or initramfs must hold.
    pub(crate) drivers: Vec<&'static str>,
    /// The initramfs that the firmware loads, by its name on the boot partition.
    pub(crate) initramfs: &'static str,
    /// How the board comes to prefer the SSD.
    pub(crate) way: Way,
}

impl Script {
    fn head(&self) -> String {
        let boot_mib = self.boot_mib.to_string();
        let (services, drivers) = (self.services.join(" "), self.drivers.join(" "));
        [
            ("disk", self.disk.as_str()),
            ("serial", &self.serial),
            ("source", &self.source),
            ("firmware", &self.firmware),
            ("firmware_name", &self.firmware_name),
            ("work", &self.work),
            ("images", &self.images),
            ("boot_mib", &boot_mib),
            ("file_system", self.file_system.as_str()),
            ("services", &services),
            ("drivers", &drivers),
            ("initramfs", self.initramfs),
            ("way", self.way.as_str()),
        ]
        .into_iter()
        .map(|(name, value)| format!("{name}={}\n", quote(value)))
        .collect()
    }

    fn with(&self, parts: &[&str]) -> String {
        let mut text = self.head();
        for part in parts {
            text.push('\n');
            text.push_str(part);
        }
        text
    }

    /// Prints `present` when the move has come as far as one of `stages`, else how far it is.
    pub(crate) fn probe(&self, stages: &[&str]) -> String {
        let probe = format!(
            "on_disk\ncase $state in\n  {}) echo present ;;\n  none) echo absent ;;\n  *) echo \"$state\" ;;\nesac\n",
            stages.join(" | "),
        );
        self.with(&[DISK, STATE, &probe])
    }

    /// Prints what [`super::Disks`] reads.
    pub(crate) fn survey(&self) -> String {
        self.with(&[DISK, STATE, SURVEY])
    }

    /// Prints where the SD card is, for [`super::Card`] to read.
    pub(crate) fn card(&self) -> String {
        self.with(&[CARDS, "find_card\n"])
    }

    /// Frees the SD card of a master that has moved.
    pub(crate) fn finish(&self) -> String {
        self.with(&[DISK, STATE, CARDS, FINISH])
    }

    pub(crate) fn partition(&self) -> String {
        self.with(&[DISK, BLAME, NEEDS, PARTITION])
    }

    pub(crate) fn format(&self) -> String {
        self.with(&[DISK, BLAME, FORMAT])
    }

    pub(crate) fn first_copy(&self) -> String {
        self.with(&[DISK, BLAME, COPY, BLOCKS, FIRST_COPY])
    }

    /// Prepares one start with the root on the SSD.
    pub(crate) fn trial(&self) -> String {
        self.with(&[DISK, BLAME, NEEDS, COPY, BOOT, CARD, TRY])
    }

    /// Prints `yes` when the root is on the SSD at this moment, whatever stage that has.
    pub(crate) fn runs_here(&self) -> String {
        self.with(&[DISK, STATE, "find_disk && on_root && echo yes || echo no\n"])
    }

    pub(crate) fn last_move(&self) -> String {
        self.with(&[DISK, BLAME, NEEDS, COPY, BOOT, CARD, EEPROM, MOVE])
    }
}
