//! A FAT partition as the source of the firmware's files.

use std::io::{self, Read, Seek};

use super::window::Window;
use super::{DiskBootError, Loaded, Place, Start};
use crate::board::BoardProfile;
use crate::boot::{Absence, Boot, BootError, Bytes, Ledger, Source, Stage};
use crate::firmware::{self, Answer, Medium, Stop};

/// What the ROM looks for.
pub(super) const BOOTCODE: &str = "bootcode.bin";

/// A file system on one partition of a disk.
pub(super) type Fat<'d, D> = fatfs::FileSystem<Window<'d, D>>;

pub(super) struct FatMedium<'f, 'd, D: Read + Seek> {
    root: fatfs::Dir<'f, Window<'d, D>>,
    source: Source,
    /// What was read before this partition was chosen, in that order.
    earlier: Vec<(&'static str, Source, Bytes)>,
    trial_by_partition: bool,
    ledger: Ledger,
    /// Set when [`Stop::Medium`] was returned.
    error: Option<(String, io::Error)>,
}

/// How a boot ends that finds no kernel.
pub(super) enum End {
    Failed(BootError),
    Disk(DiskBootError),
}

impl<'f, 'd, D: Read + Seek> FatMedium<'f, 'd, D> {
    pub(super) fn new(fs: &'f Fat<'d, D>, place: Place, partition: u8) -> Self {
        Self {
            root: fs.root_dir(),
            source: Source::Disk { place, partition },
            earlier: Vec::new(),
            trial_by_partition: false,
            ledger: Ledger::default(),
            error: None,
        }
    }

    /// The ROM found `bootcode.bin`, perhaps elsewhere, and that chose this partition.
    pub(super) fn started_by(mut self, bootcode: &Loaded, start: &Start) -> Self {
        let bytes = Bytes::clone(&bootcode.bytes);
        self.earlier.push((BOOTCODE, bootcode.source.clone(), bytes));
        if let Some((source, bytes)) = &start.autoboot {
            self.earlier.push(("autoboot.txt", source.clone(), Bytes::clone(bytes)));
        }
        self.trial_by_partition = start.trial_by_partition;
        self
    }

    pub(super) fn boot(mut self, board: &BoardProfile) -> Result<Boot, End> {
        match firmware::boot(board, &mut self) {
            Ok(mut boot) => {
                boot.files = self.ledger.take();
                Ok(boot)
            }
            Err(Stop::Failed(source)) => Err(End::Failed(source)),
            Err(Stop::Medium | Stop::Pending) => Err(End::Disk(self.failure())),
        }
    }

    /// Whether a file is there.
    pub(super) fn has(&mut self, name: &str) -> Result<bool, DiskBootError> {
        self.probe(name).map(|found| found.is_ok()).map_err(|_| self.failure())
    }

    /// A file's contents, if it is there and can be read.
    pub(super) fn contents(&mut self, name: &str) -> Result<Option<Bytes>, DiskBootError> {
        self.read(name).map(Result::ok).map_err(|_| self.failure())
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
        if name == BOOTCODE
            && let Some((_, _, bootcode)) = self.earlier.first()
        {
            for (name, source, bytes) in &self.earlier {
                self.ledger.record(name, bytes, source.clone());
            }
            return Ok(Ok(Bytes::clone(bootcode)));
        }
        let mut file = match self.open(name)? {
            Ok(file) => file,
            Err(absent) => return Ok(Err(absent)),
        };
        let mut bytes = Vec::new();
        match file.read_to_end(&mut bytes) {
            Ok(_) => {
                self.ledger.record(name, &bytes, self.source.clone());
                Ok(Ok(Bytes::new(bytes)))
            }
            Err(error) => self.absent(name, error).map(Err),
        }
    }

    fn is_network(&self) -> bool {
        false
    }

    fn config_file(&self, board: &BoardProfile) -> &'static str {
        if self.trial_by_partition { "config.txt" } else { firmware::config_file(board) }
    }
}
