//! The master's disks, as a survey finds them.

use std::collections::BTreeMap;

use feeder_ui::size;
use serde::{Deserialize, Serialize};

/// How far the move to the SSD is. Found on the disk itself, and what it is mounted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveState {
    /// The disk is not ours: absent, somebody else's, or repartitioned since.
    None,
    /// It has partitions of ours.
    Made,
    /// And a root file system.
    Formatted,
    /// And a copy of the system, made while that ran.
    Copied,
    /// And a verified last copy; it boots.
    Sealed,
    /// The master runs from it.
    Running,
}

impl MoveState {
    fn parse(text: &str) -> Self {
        match text {
            "made" => Self::Made,
            "formatted" => Self::Formatted,
            "copied" => Self::Copied,
            "sealed" => Self::Sealed,
            "running" => Self::Running,
            _ => Self::None,
        }
    }
}

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What the kernel calls it this time.
    pub path: String,
    /// Its names below `/dev/disk/by-id`.
    pub names: Vec<String>,
    /// In bytes.
    pub size: u64,
    /// As the disk says; may be empty.
    pub model: String,
    /// As the disk says; may be empty.
    pub serial: String,
    /// `usb`, `mmc`, `nvme`, …; may be empty.
    pub transport: String,
    /// Write-protected.
    pub read_only: bool,
    /// The identity of its partition table.
    pub table: Option<String>,
    /// Bytes of a sector.
    pub sector: u64,
    /// What is on it, partitions and what lies in them, each for people.
    pub parts: Vec<String>,
    /// Where it or a part of it is mounted, in use as swap or part of something larger.
    pub uses: Vec<String>,
}

impl Disk {
    /// `Samsung Portable SSD T5, 500.1 GB, serial S49WNP0N`
    #[must_use]
    pub fn describe(&self) -> String {
        let model = if self.model.is_empty() { "unknown model" } else { &self.model };
        let serial = if self.serial.is_empty() { "no serial number" } else { "serial " };
        format!("{model}, {}, {serial}{}", size(self.size), self.serial)
    }

    /// What it holds now, in a few words.
    #[must_use]
    pub fn holds(&self) -> String {
        if self.parts.is_empty() { "nothing".to_owned() } else { self.parts.join(", ") }
    }

    pub(super) fn runs_the_master(&self) -> bool {
        self.uses.iter().any(|used| used == "mounted on /")
    }
}

/// What a survey finds about the master's disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disks {
    /// Every disk that holds something or could, in the kernel's order.
    pub all: Vec<Disk>,
    /// How far the move is.
    pub state: MoveState,
    /// Bytes in use on the root that would be copied.
    pub used: u64,
    /// The size of the present boot partition, in bytes.
    pub boot_size: u64,
    /// The board, as its device tree says; may be empty.
    pub board: String,
    /// Row 17 of the board's one-time programmable memory, where it can be read.
    pub otp: Option<u32>,
    /// `BOOT_ORDER` of the board's EEPROM, where it has one.
    pub boot_order: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    blockdevices: Vec<Row>,
}

/// A row of `lsblk --json --bytes`.
#[derive(Deserialize)]
struct Row {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    size: Option<u64>,
    model: Option<String>,
    serial: Option<String>,
    tran: Option<String>,
    ro: bool,
    ptuuid: Option<String>,
    fstype: Option<String>,
    label: Option<String>,
    #[serde(default)]
    mountpoints: Vec<Option<String>>,
    #[serde(rename = "log-sec")]
    sector: Option<u64>,
    #[serde(default)]
    children: Vec<Self>,
}

impl Disks {
    /// Reads the facts of a survey, by key without `ssd.`; `None` when it did not ask about disks.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lines: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.strip_prefix("ssd.")?.split_once('=')).collect();
        let facts: BTreeMap<&str, &str> = lines.iter().copied().collect();
        let listed: Listed = serde_json::from_str(facts.get("disks")?).ok()?;
        let mut names: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (_, link) in lines.iter().filter(|(key, _)| *key == "link") {
            if let Some((name, path)) = link.split_once(' ') {
                names.entry(path).or_default().push(name.to_owned());
            }
        }
        let number = |key: &str| facts.get(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        let boot = find(&listed.blockdevices, "/boot/firmware").and_then(|row| row.size);
        let all = listed
            .blockdevices
            .into_iter()
            .filter(|row| row.kind == "disk" && row.size.is_some_and(|size| size > 0))
            // Memory that looks like disks.
            .filter(|row| !row.path.starts_with("/dev/zram") && !row.path.starts_with("/dev/ram"))
            .map(|row| row.disk(&names))
            .collect();
        Some(Self {
            all,
            state: MoveState::parse(facts.get("state").unwrap_or(&"")),
            used: number("used"),
            boot_size: boot.unwrap_or(0),
            board: (*facts.get("board").unwrap_or(&"")).to_owned(),
            otp: facts.get("otp").and_then(|text| u32::from_str_radix(text, 16).ok()),
            boot_order: facts.get("order").map(|text| (*text).to_owned()),
        })
    }

    /// The disk of that name below `/dev/disk/by-id`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Disk> {
        self.all.iter().find(|disk| disk.names.iter().any(|given| given == name))
    }

    /// The disk that the master runs from.
    #[must_use]
    pub fn root(&self) -> Option<&Disk> {
        self.all.iter().find(|disk| disk.runs_the_master())
    }

    /// Disks that the master could move to: those it does not run from, with a stable name.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Disk> {
        self.all.iter().filter(|disk| !disk.runs_the_master() && !disk.names.is_empty())
    }
}

fn find<'r>(rows: &'r [Row], mount: &str) -> Option<&'r Row> {
    rows.iter().find_map(|row| {
        let here = row.mountpoints.iter().flatten().any(|point| point == mount);
        if here { Some(row) } else { find(&row.children, mount) }
    })
}

impl Row {
    fn disk(self, names: &BTreeMap<&str, Vec<String>>) -> Disk {
        let (mut parts, mut uses) = (Vec::new(), Vec::new());
        self.uses(&mut uses);
        for part in &self.children {
            part.tell(&mut parts, &mut uses);
        }
        if self.children.is_empty() && self.fstype.is_some() {
            parts.push(self.contents());
        }
        // udev names a disk several times; that with its maker's name says most.
        let mut names = names.get(self.path.as_str()).cloned().unwrap_or_default();
        names.sort_by_key(|name| (name.starts_with("wwn-"), name.clone()));
        let text = |text: Option<String>| text.unwrap_or_default().trim().to_owned();
        Disk {
            names,
            size: self.size.unwrap_or(0),
            model: text(self.model),
            serial: text(self.serial),
            transport: text(self.tran),
            read_only: self.ro,
            table: self.ptuuid,
            sector: self.sector.unwrap_or(512),
            parts,
            uses,
            path: self.path,
        }
    }

    fn tell(&self, parts: &mut Vec<String>, uses: &mut Vec<String>) {
        parts.push(self.contents());
        self.uses(uses);
        for part in &self.children {
            part.tell(parts, uses);
        }
    }

    /// `sda1 vfat "bootfs" 536.9 MB`
    fn contents(&self) -> String {
        let name = self.path.trim_start_matches("/dev/");
        let label = self.label.as_ref().map_or_else(String::new, |label| format!(" \"{label}\""));
        let kind = self.fstype.as_deref().unwrap_or("without a file system");
        format!("{name} {kind}{label} {}", size(self.size.unwrap_or(0)))
    }

    fn uses(&self, uses: &mut Vec<String>) {
        for point in self.mountpoints.iter().flatten() {
            uses.push(if point == "[SWAP]" {
                "swap".to_owned()
            } else {
                format!("mounted on {point}")
            });
        }
        // Volumes, arrays and encrypted containers appear below what they are made of.
        if !matches!(self.kind.as_str(), "disk" | "part") {
            uses.push(format!("part of {} ({})", self.path, self.kind));
        }
        if let Some(member @ ("LVM2_member" | "linux_raid_member" | "bcache" | "zfs_member")) =
            self.fstype.as_deref()
        {
            uses.push(format!("{member}: belongs to a set of disks"));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A 3B+ with its card, an SSD with somebody's data, and a disk of an array.
    const SURVEY: &str = include_str!("tests/survey.txt");

    pub(crate) fn disks() -> Disks {
        Disks::parse(SURVEY).expect("the sample is whole")
    }

    #[test]
    fn disks_with_what_is_on_them_and_who_uses_them() {
        let disks = disks();
        let told: Vec<String> = disks
            .all
            .iter()
            .map(|disk| {
                let (names, uses) = (disk.names.join(" "), disk.uses.join(", "));
                format!(
                    "{} [{names}]: {}\n  {}\n  {uses}",
                    disk.path,
                    disk.describe(),
                    disk.holds()
                )
            })
            .collect();
        insta::assert_snapshot!("disks", told.join("\n"));
        assert_eq!(disks.root().map(|disk| disk.path.as_str()), Some("/dev/mmcblk0"));
        assert_eq!((disks.used, disks.boot_size), (3_400_000_000, 536_870_912));
        assert_eq!((disks.otp, disks.state), (Some(0x3020_000a), MoveState::None));
    }

    #[test]
    fn a_survey_that_did_not_ask_about_disks_knows_none() {
        assert_eq!(Disks::parse("kernel=6.12\nsystem=Debian\n"), None);
        assert_eq!(Disks::parse("ssd.disks=nonsense\n"), None);
    }
}
