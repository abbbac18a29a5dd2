//! What a boot ends in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::disk::Place;

/// A file's name and contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Name as it was asked for, with prefix directories; several joined by commas when concatenated.
    pub name: String,
    /// The contents.
    pub bytes: Vec<u8>,
}

/// A file that was read in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Name as it was asked for.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the contents.
    pub sha256: [u8; 32],
    /// Where it came from.
    pub source: Source,
    /// How often it was read in full with these contents.
    pub times: u32,
}

impl Fetched {
    /// The digest in lower-case hex.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        use fmt::Write;
        self.sha256.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// Where a file came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A partition of a disk.
    Disk {
        /// Where the disk is plugged in.
        place: Place,
        /// The partition's number, from 1 as in the partition table.
        partition: u8,
    },
    /// A TFTP server.
    Tftp {
        /// Its address.
        server: std::net::Ipv4Addr,
    },
}

/// Why a file counts as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Not in the file system.
    NotOnDisk,
    /// The server said so, with TFTP's error code and text.
    Refused {
        /// RFC 1350 error code.
        code: u16,
        /// The server's text.
        message: String,
    },
    /// No answer, or none any more: the firmware takes that for absence.
    TimedOut {
        /// How long without progress.
        after: Duration,
        /// Blocks received before that.
        blocks: u64,
    },
    /// The transfer broke a rule of the protocol.
    Broken(String),
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOnDisk => f.write_str("not on the disk"),
            Self::Refused { code, message } => {
                write!(f, "server says error {code} \"{message}\"")
            }
            Self::TimedOut { after, blocks: 0 } => {
                write!(f, "no answer for {after:?}, which the firmware takes for absent")
            }
            Self::TimedOut { after, blocks } => write!(
                f,
                "server fell silent for {after:?} after {blocks} blocks, which the firmware takes for absent"
            ),
            Self::Broken(how) => write!(f, "transfer broken off: {how}"),
        }
    }
}

/// The parts of the firmware, in the order in which they run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Stage {
    /// The mask ROM: finds `bootcode.bin`.
    Rom,
    /// `bootcode.bin`: finds `start.elf`.
    Bootcode,
    /// `start.elf`: loads kernel, device tree and the rest.
    Start,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { place, partition } => write!(f, "partition {partition} of {place}"),
            Self::Tftp { server } => write!(f, "TFTP server {server}"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rom => "the boot ROM",
            Self::Bootcode => "bootcode.bin",
            Self::Start => "start.elf",
        })
    }
}

/// What the board would start.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The kernel image, as stored (it may be compressed).
    pub kernel: Loaded,
    /// The initramfs, concatenated when several files were named.
    pub initramfs: Option<Loaded>,
    /// The device tree as stored, without what firmware writes into it and without overlays.
    pub device_tree: Option<Loaded>,
    /// Overlays and parameters that `config.txt` asks for, in order. They are fetched, not applied.
    pub overlays: Vec<Loaded>,
    /// The kernel's command line: the device tree's `/chosen/bootargs`, the firmware's own arguments,
    /// then `cmdline.txt`.
    pub command_line: String,
    /// Every file read in full, in the order of first reading.
    pub files: Vec<Fetched>,
    /// What a user should know although the board boots.
    pub warnings: Vec<String>,
    /// Keys of `config.txt` in effect that this twin does not know, sorted.
    pub unknown_keys: Vec<String>,
}

impl Boot {
    /// Where the kernel came from.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        let kernel = self.files.iter().find(|file| file.name == self.kernel.name);
        kernel.map(|file| &file.source)
    }
}

/// A boot that ended before a kernel could be started, for reasons common to disk and network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// No `bootcode.bin`.
    #[error(
        "the boot ROM found no bootcode.bin ({why}); put the firmware's bootcode.bin into the root directory"
    )]
    NoBootcode {
        /// Why it counts as absent.
        why: Absence,
    },
    /// No `start.elf`, or the one that `config.txt` names.
    #[error("bootcode.bin found no {name} ({why}); it needs the firmware's {name} {place}")]
    NoStart {
        /// The file asked for.
        name: String,
        /// Why it counts as absent.
        why: Absence,
        /// Where to put it.
        place: String,
    },
    /// No kernel under any name that was tried.
    #[error("start.elf found no kernel; tried {}", names_tried(.tried))]
    NoKernel {
        /// Names and why each counts as absent.
        tried: Vec<(String, Absence)>,
    },
    /// A kernel was seen and could then not be read.
    #[error("start.elf saw {name} but could not read it: {why}")]
    KernelLost {
        /// The kernel's name.
        name: String,
        /// Why.
        why: Absence,
    },
    /// The board would start a 32-bit kernel.
    #[error(
        "the board would start the 32-bit kernel {name}: {why}. This twin starts 64-bit kernels only: set arm_64bit=1 and kernel=kernel8.img in config.txt"
    )]
    Only64Bit {
        /// The kernel chosen.
        name: String,
        /// Why the choice fell on it.
        why: String,
    },
    /// Something a real board does and this twin does not.
    #[error(
        "{name} is present: a board would {what}, which this twin does not do; remove the file"
    )]
    NotReproduced {
        /// The file seen.
        name: String,
        /// What a board does with it.
        what: &'static str,
    },
}

fn names_tried(names: &[(String, Absence)]) -> String {
    names.iter().map(|(name, why)| format!("{name} ({why})")).collect::<Vec<_>>().join(", ")
}

/// The account of what was read, kept by whoever reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Vec<Fetched>);

impl Ledger {
    pub(crate) fn record(&mut self, name: &str, bytes: &[u8], source: Source) {
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        match self.0.iter_mut().find(|seen| seen.name == name && seen.sha256 == sha256) {
            Some(seen) => seen.times += 1,
            None => self.0.push(Fetched {
                name: name.into(),
                bytes: bytes.len() as u64,
                sha256,
                source,
                times: 1,
            }),
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Fetched> {
        std::mem::take(&mut self.0)
    }
}

/// File contents, shared so that re-reading a boot's answers costs nothing.
pub(crate) type Bytes = Arc<Vec<u8>>;
