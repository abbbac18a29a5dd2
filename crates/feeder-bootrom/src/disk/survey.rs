//! What the firmware can see of a disk before it starts anything from it.

use std::io::{Read, Seek};

use super::autoboot::{self, Autoboot};
use super::medium::FatMedium;
use super::table::{self, Partition, Tables};
use super::{DiskBootError, Place, open};
use crate::board::BoardProfile;
use crate::boot::{Bytes, Source};

/// The FAT partitions of a disk, in the order of its table, and what they hold.
pub(crate) struct Survey {
    place: Place,
    fat: Vec<(Partition, Content)>,
    notes: Vec<String>,
}

enum Content {
    /// No file system, and why not.
    None(String),
    Files(Files),
}

struct Files {
    bootcode: bool,
    start: bool,
    /// The empty file that makes `bootcode.bin` wait longer for USB disks.
    timeout: bool,
    autoboot: Option<Bytes>,
}

/// Where `start.elf` is to come from.
pub(crate) struct Start {
    pub(crate) partition: Partition,
    /// What a user should know about the choice.
    pub(crate) notes: Vec<String>,
    /// The file that named the partition.
    pub(super) autoboot: Option<(Source, Bytes)>,
    /// A trial boot reads `config.txt` of another partition, not `tryboot.txt`.
    pub(super) trial_by_partition: bool,
}

impl Start {
    /// This partition, which nothing named.
    pub(super) fn at(partition: &Partition) -> Self {
        Self {
            partition: partition.clone(),
            notes: Vec::new(),
            autoboot: None,
            trial_by_partition: false,
        }
    }
}

impl Survey {
    /// Looks at a disk as the firmware does in this place.
    pub(crate) fn of<D: Read + Seek>(disk: &mut D, place: &Place) -> Result<Self, DiskBootError> {
        let tables = match place {
            Place::SdSlot => Tables::Mbr,
            Place::UsbPorts | Place::UsbDisk(_) => Tables::MbrAndGpt,
        };
        let table = table::read(disk, tables)?;
        let mut fat = Vec::new();
        for partition in table.fat() {
            let content = match open(disk, partition)? {
                Err(why) => Content::None(why),
                Ok(fs) => {
                    let mut files = FatMedium::new(&fs, place.clone(), partition.number);
                    Content::Files(Files {
                        bootcode: files.has("bootcode.bin")?,
                        start: files.has("start.elf")?,
                        timeout: files.has("timeout")?,
                        autoboot: files.contents("autoboot.txt")?,
                    })
                }
            };
            fat.push((partition.clone(), content));
        }
        if fat.is_empty() {
            return Err(DiskBootError::NoFatPartition { partitions: table.partitions });
        }
        Ok(Self { place: place.clone(), fat, notes: table.notes })
    }

    /// What a user should know although the disk can be booted from.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.place == Place::SdSlot
            && let Ok(partition) = self.bootcode()
            && partition.number > 1
        {
            // The documentation promises a search for USB disks only; whether the ROM has one for cards is disputed.
            notes.push(format!(
                "bootcode.bin is on partition {} of the SD card; a 3B was seen to look on the first only (raspberrypi/documentation#1291)",
                partition.number
            ));
        }
        notes
    }

    /// Where the ROM finds `bootcode.bin`.
    pub(crate) fn bootcode(&self) -> Result<&Partition, DiskBootError> {
        let found = self.with(|files| files.bootcode).next();
        found.ok_or_else(|| DiskBootError::NoBootcode { seen: self.lacking("bootcode.bin") })
    }

    /// Whether a file `timeout` lies beside the `bootcode.bin` that the ROM finds.
    pub(crate) fn has_timeout(&self) -> bool {
        let bootcode = self.bootcode().ok();
        self.with(|files| files.timeout).any(|partition| Some(partition) == bootcode)
    }

    /// Where `bootcode.bin` finds `start.elf`: autoboot.txt's partition, or else the first that has one
    /// (autoboot.adoc: "the first bootable FAT partition").
    pub(crate) fn start(&self, board: &BoardProfile) -> Result<Start, DiskBootError> {
        let (mut notes, mut autoboot, mut trial_by_partition) = (Vec::new(), None, false);
        if let Some((found_on, text)) = self.autoboot() {
            let source = Source::Disk { place: self.place.clone(), partition: found_on.number };
            let Autoboot { partition, tryboot_a_b, warnings } = autoboot::parse(text, board);
            notes = warnings;
            trial_by_partition = tryboot_a_b;
            autoboot = Some((source, Bytes::clone(text)));
            if let Some(named) = partition {
                let partition = self.named(found_on.number, named)?;
                return Ok(Start { partition, notes, autoboot, trial_by_partition });
            }
        }
        let found = self.with(|files| files.start).next();
        let partition = found
            .ok_or_else(|| DiskBootError::NoStart { seen: self.lacking("start.elf") })?
            .clone();
        Ok(Start { partition, notes, autoboot, trial_by_partition })
    }

    /// The first FAT file system's `autoboot.txt`; that it must be the first is inferred from the example in
    /// autoboot.adoc, where partitions 2 and 3 hold systems.
    fn autoboot(&self) -> Option<(&Partition, &Bytes)> {
        let mut files = self.fat.iter().filter_map(|(partition, content)| match content {
            Content::Files(files) => Some((partition, files)),
            Content::None(_) => None,
        });
        let (partition, first) = files.next()?;
        Some((partition, first.autoboot.as_ref()?))
    }

    fn named(&self, found_on: u8, named: i64) -> Result<Partition, DiskBootError> {
        let here = self.fat.iter().find(|(partition, _)| i64::from(partition.number) == named);
        let what = match here {
            None => "no FAT partition".into(),
            Some((_, Content::None(why))) => why.clone(),
            Some((_, Content::Files(files))) if !files.start => "FAT without start.elf".into(),
            Some((partition, _)) => return Ok(partition.clone()),
        };
        Err(DiskBootError::Autoboot { found_on, named, what })
    }

    fn with(&self, wanted: impl Fn(&Files) -> bool) -> impl Iterator<Item = &Partition> {
        self.fat.iter().filter_map(move |(partition, content)| match content {
            Content::Files(files) if wanted(files) => Some(partition),
            Content::Files(_) | Content::None(_) => None,
        })
    }

    fn lacking(&self, file: &str) -> Vec<(u8, String)> {
        let what = |content: &Content| match content {
            Content::None(why) => why.clone(),
            Content::Files(_) => format!("FAT without {file}"),
        };
        self.fat.iter().map(|(partition, content)| (partition.number, what(content))).collect()
    }
}
