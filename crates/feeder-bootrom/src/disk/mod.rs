//! Booting from an SD card: MBR, FAT, then the same story as over the network.

mod mbr;
mod window;

use std::fmt;
use std::io::{self, Read, Seek};

use crate::board::BoardProfile;
use crate::boot::{Absence, Boot, BootError, Bytes, Ledger, Source, Stage};
use crate::firmware::{self, Answer, Medium, Stop};
use window::Window;

pub use mbr::Partition;

/// Boots from a disk as a board boots from its SD card.
///
/// The boot ROM takes the first primary FAT partition that holds `bootcode.bin`; everything else comes
/// from that partition. File names are found whatever their case, as FAT has it.
///
/// # Errors
///
/// [`DiskBootError`] says what the disk lacks. Nothing is written to the disk.
pub fn boot_from_disk<D: Read + Seek>(
    disk: &mut D,
    board: &BoardProfile,
) -> Result<Boot, DiskBootError> {
    let partitions = mbr::partitions(disk)?;
    let mut seen = Vec::new();
    for partition in partitions.iter().filter(|p| p.is_fat()) {
        let window = Window::new(&mut *disk, partition.start, partition.length);
        let fs = match fatfs::FileSystem::new(window, fatfs::FsOptions::new()) {
            Ok(fs) => fs,
            Err(error) => {
                seen.push((partition.number, format!("no readable FAT file system ({error})")));
                continue;
            }
        };
        let mut medium = FatMedium {
            root: fs.root_dir(),
            partition: partition.number,
            ledger: Ledger::default(),
            error: None,
        };
        match medium.probe("bootcode.bin") {
            Ok(Ok(())) => return medium.boot(board),
            Ok(Err(_)) => seen.push((partition.number, "FAT without bootcode.bin".into())),
            Err(_) => return Err(medium.failure()),
        }
    }
    Err(match seen.is_empty() {
        true => DiskBootError::NoFatPartition { partitions },
        false => DiskBootError::NoBootcode { seen },
    })
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
    /// No primary partition has a FAT type.
    #[error("no FAT partition among the four primary ones ({}); the firmware reads FAT only: give the boot partition type 0c", list(.partitions))]
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
    /// The firmware was started and could not go on.
    #[error("booting from partition {partition} of the disk")]
    Boot {
        /// The partition, from 1.
        partition: u8,
        /// What was lacking.
        source: BootError,
    },
}

fn list(partitions: &[Partition]) -> String {
    match partitions {
        [] => "all empty".into(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn notes(seen: &[(u8, String)]) -> String {
    seen.iter().map(|(n, what)| format!("partition {n} is {what}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: type {:02x}", self.number, self.kind)?;
        if self.kind == 0xee { f.write_str(" (GPT)") } else { Ok(()) }
    }
}

/// A FAT partition as the source of the firmware's files.
struct FatMedium<'f, 'd, D: Read + Seek> {
    root: fatfs::Dir<'f, Window<'d, D>>,
    partition: u8,
    ledger: Ledger,
    /// Set when [`Stop::Medium`] was returned.
    error: Option<(String, io::Error)>,
}

impl<'f, 'd, D: Read + Seek> FatMedium<'f, 'd, D> {
    fn boot(mut self, board: &BoardProfile) -> Result<Boot, DiskBootError> {
        match firmware::boot(board, &mut self) {
            Ok(mut boot) => {
                boot.files = self.ledger.take();
                Ok(boot)
            }
            Err(Stop::Failed(source)) => {
                Err(DiskBootError::Boot { partition: self.partition, source })
            }
            Err(Stop::Medium | Stop::Pending) => Err(self.failure()),
        }
    }

    fn failure(&mut self) -> DiskBootError {
        let (what, source) = self
            .error
            .take()
            .unwrap_or_else(|| ("a file".into(), io::Error::other("the medium gave no answer")));
        DiskBootError::Io { what, source }
    }

    fn open(&mut self, name: &str) -> Answer<fatfs::File<'f, Window<'d, D>>> {
        match self.root.open_file(name) {
            Ok(file) => Ok(Ok(file)),
            Err(error) => self.absent(name, error).map(Err),
        }
    }

    /// A damaged file system makes the firmware find nothing; a disk that cannot be read is the host's
    /// trouble and must not pass for the board's.
    fn absent(&mut self, name: &str, error: io::Error) -> Result<Absence, Stop> {
        if error.kind() == io::ErrorKind::NotFound {
            Ok(Absence::NotOnDisk)
        } else if error.raw_os_error().is_some() {
            self.error = Some((name.into(), error));
            Err(Stop::Medium)
        } else {
            Ok(Absence::Broken(format!("the file system is damaged there: {error}")))
        }
    }
}

impl<D: Read + Seek> Medium for FatMedium<'_, '_, D> {
    fn enter(&mut self, _stage: Stage) -> Result<(), Stop> {
        Ok(())
    }

    fn probe(&mut self, name: &str) -> Answer<()> {
        Ok(self.open(name)?.map(drop))
    }

    fn read(&mut self, name: &str) -> Answer<Bytes> {
        let mut file = match self.open(name)? {
            Ok(file) => file,
            Err(absent) => return Ok(Err(absent)),
        };
        let mut bytes = Vec::new();
        match file.read_to_end(&mut bytes) {
            Ok(_) => {
                self.ledger.record(name, &bytes, Source::Disk { partition: self.partition });
                Ok(Ok(Bytes::new(bytes)))
            }
            Err(error) => self.absent(name, error).map(Err),
        }
    }

    fn is_network(&self) -> bool {
        false
    }
}
