//! Booting from a disk: partition table, FAT, then the same story as over the network.

mod autoboot;
mod gpt;
mod medium;
mod survey;
mod table;
mod window;

use std::fmt;
use std::io::{self, Read, Seek};

use crate::board::BoardProfile;
use crate::boot::{Boot, BootError, Bytes, Source};
use medium::{End, FatMedium};
use window::Window;

pub(crate) use survey::{Start, Survey};
pub use table::{Partition, PartitionType, read_extent};

/// Where a board looks for a disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The SD card's slot.
    SdSlot,
    /// All USB ports together.
    UsbPorts,
    /// One disk on a USB port, by the name it was given.
    UsbDisk(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SdSlot => f.write_str("the SD card"),
            Self::UsbPorts => f.write_str("USB"),
            Self::UsbDisk(name) => write!(f, "the USB disk {name}"),
        }
    }
}

/// Boots from a disk as a board boots from its SD card, with nothing else plugged in.
///
/// The boot ROM takes the first primary FAT partition that holds `bootcode.bin`, and `bootcode.bin` the first
/// that holds `start.elf`, or the one that `autoboot.txt` names; everything else comes from there. File names
/// are found whatever their case, as FAT has it. [`DiskBoot`](crate::DiskBoot) looks on USB, too.
///
/// # Errors
///
/// [`DiskBootError`] says what the disk lacks. Nothing is written to the disk.
pub fn boot_from_disk<D: Read + Seek>(
    disk: &mut D,
    board: &BoardProfile,
) -> Result<Boot, DiskBootError> {
    let survey = Survey::of(disk, &Place::SdSlot)?;
    let bootcode = survey.bootcode()?.clone();
    let start = match survey.start(board) {
        // The story then says what it lacks there.
        Err(DiskBootError::NoStart { .. }) => Start::at(&bootcode),
        other => other?,
    };
    let loaded = Loaded {
        source: Source::Disk { place: Place::SdSlot, partition: bootcode.number },
        bytes: read_bootcode(disk, &Place::SdSlot, &bootcode)?,
    };
    let mut boot = boot_from_partition(disk, &Place::SdSlot, &start, &loaded, board)?;
    boot.warnings.splice(0..0, survey.notes());
    Ok(boot)
}

/// `bootcode.bin`, once the ROM has it.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) source: Source,
    pub(crate) bytes: Bytes,
}

/// Reads the `bootcode.bin` that a survey has seen.
pub(crate) fn read_bootcode<D: Read + Seek>(
    disk: &mut D,
    place: &Place,
    partition: &Partition,
) -> Result<Bytes, DiskBootError> {
    let no_longer = |why| DiskBootError::NoBootcode { seen: vec![(partition.number, why)] };
    let fs = open(disk, partition)?.map_err(no_longer)?;
    let mut medium = FatMedium::new(&fs, place.clone(), partition.number);
    let bytes = medium.contents("bootcode.bin")?;
    bytes.ok_or_else(|| no_longer("FAT with a bootcode.bin that cannot be read".into()))
}

/// What `bootcode.bin` does once it has chosen a partition.
pub(crate) fn boot_from_partition<D: Read + Seek>(
    disk: &mut D,
    place: &Place,
    start: &Start,
    bootcode: &Loaded,
    board: &BoardProfile,
) -> Result<Boot, DiskBootError> {
    let partition = start.partition.number;
    let fs = open(disk, &start.partition)?
        .map_err(|why| DiskBootError::NoStart { seen: vec![(partition, why)] })?;
    let medium = FatMedium::new(&fs, place.clone(), partition).started_by(bootcode, start);
    match medium.boot(board) {
        Ok(mut boot) => {
            boot.warnings.splice(0..0, start.notes.iter().cloned());
            Ok(boot)
        }
        Err(End::Failed(source)) => Err(DiskBootError::Boot { partition, source }),
        Err(End::Disk(error)) => Err(error),
    }
}

/// The file system on a partition, or why there is none.
fn open<'d, D: Read + Seek>(
    disk: &'d mut D,
    partition: &Partition,
) -> Result<Result<medium::Fat<'d, D>, String>, DiskBootError> {
    let window = Window::new(disk, partition.start, partition.length);
    match fatfs::FileSystem::new(window, fatfs::FsOptions::new()) {
        Ok(fs) => Ok(Ok(fs)),
        Err(source) if source.raw_os_error().is_some() => {
            Err(DiskBootError::Io { what: format!("partition {}", partition.number), source })
        }
        Err(error) => Ok(Err(format!("no readable FAT file system ({error})"))),
    }
}

/// Why a disk does not boot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskBootError {
    /// Reading failed.
    #[error("cannot read {what} from the disk")]
    Io {
        /// What was being read.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// The first sector does not end in `55 aa`.
    #[error("no partition table: the first sector ends in {:02x} {:02x}, not in 55 aa; write an image with an MBR to the disk", .found[0], .found[1])]
    NoMbr {
        /// Its last two bytes.
        found: [u8; 2],
    },
    /// The disk says that it has a GPT, which cannot be read.
    #[error(
        "the disk's GPT is damaged: {why}; make the disk anew with an MBR, or repair the GPT from its copy with `sgdisk --verify` and gdisk's recovery menu"
    )]
    Gpt {
        /// What is wrong with it.
        why: String,
    },
    /// No partition has a FAT type.
    #[error("no FAT partition in the disk's table ({}); the firmware reads FAT only: give the boot partition type 0c{}", list(.partitions), gpt_hint(.partitions))]
    NoFatPartition {
        /// The partitions there are.
        partitions: Vec<Partition>,
    },
    /// No FAT partition holds `bootcode.bin`.
    #[error("no bootcode.bin on the disk: {}; copy the firmware into the boot partition", notes(.seen))]
    NoBootcode {
        /// Numbers of the FAT partitions and what was found there.
        seen: Vec<(u8, String)>,
    },
    /// No FAT partition holds `start.elf`.
    #[error("no start.elf on the disk: {}; copy the firmware into the boot partition", notes(.seen))]
    NoStart {
        /// Numbers of the FAT partitions and what was found there.
        seen: Vec<(u8, String)>,
    },
    /// `autoboot.txt` names a partition that cannot be booted.
    #[error(
        "autoboot.txt on partition {found_on} says boot_partition={named}, which is {what}; name a FAT partition with start.elf, or remove the file"
    )]
    Autoboot {
        /// The partition with the file.
        found_on: u8,
        /// The partition it names.
        named: i64,
        /// What is there.
        what: String,
    },
    /// The firmware was started and could not go on.
    #[error("booting from partition {partition} of the disk")]
    Boot {
        /// The partition, from 1.
        partition: u8,
        /// What was lacking.
        source: BootError,
    },
}

impl DiskBootError {
    /// Whether the host could not read its copy of the disk: that says nothing about the board.
    pub(crate) fn is_host(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.raw_os_error().is_some())
    }
}

fn list(partitions: &[Partition]) -> String {
    match partitions {
        [] => "all empty".into(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn gpt_hint(partitions: &[Partition]) -> &'static str {
    match partitions {
        [Partition { kind: PartitionType::Gpt(_), .. }, ..] => {
            " in an MBR, or in a GPT that of EFI system or Microsoft basic data"
        }
        _ => "",
    }
}

fn notes(seen: &[(u8, String)]) -> String {
    seen.iter().map(|(n, what)| format!("partition {n} is {what}")).collect::<Vec<_>>().join(", ")
}
