//! What a search looked at, in the words of a user.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::boot::Stage;
use crate::disk::{DiskBootError, Place};

/// One place that was looked at.
#[derive(Debug)]
pub struct Tried {
    /// Who looked.
    pub stage: Stage,
    /// Where.
    pub place: Place,
    /// What came of it.
    pub went: Went,
}

/// What came of a look.
#[derive(Debug)]
pub enum Went {
    /// There it went on.
    Found {
        /// What was found and started.
        file: &'static str,
        /// The partition, from 1.
        partition: u8,
    },
    /// Why it did not.
    Past(PassedOver),
}

/// Why a place led nowhere.
#[derive(Debug)]
#[non_exhaustive]
pub enum PassedOver {
    /// Nothing is plugged in.
    Empty,
    /// A disk did not answer in time.
    Silent {
        /// When it would have answered.
        answers_after: Duration,
        /// How long the firmware waited.
        waited: Duration,
    },
    /// The boot mode is not enabled.
    Disabled {
        /// Row 17 of the OTP.
        boot_mode: u32,
    },
    /// What the disk lacks.
    Disk(DiskBootError),
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} looked at {}: ", self.stage, self.place)?;
        match &self.went {
            Went::Found { file, partition } => write!(f, "{file} on partition {partition}"),
            Went::Past(PassedOver::Empty) => f.write_str("nothing is plugged in"),
            Went::Past(PassedOver::Silent { answers_after, waited }) => write!(
                f,
                "no answer within {waited:?}, it needs {answers_after:?}{}",
                remedy(self.stage, &self.place, *answers_after)
            ),
            Went::Past(PassedOver::Disabled { boot_mode }) => write!(
                f,
                "not enabled: row 17 of the OTP reads {boot_mode:08x}, without bit 29; leave an SD card with bootcode.bin in the slot, or set the bit for good with program_usb_boot_mode=1 in config.txt"
            ),
            Went::Past(PassedOver::Disk(error)) => {
                write!(f, "{error}")?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

fn remedy(stage: Stage, place: &Place, answers_after: Duration) -> &'static str {
    match place {
        Place::SdSlot | Place::UsbPorts => "",
        Place::UsbDisk(_) if answers_after > super::USB_LONG => {
            "; no setting makes these boards wait that long: power the disk from a hub, or use another bridge"
        }
        Place::UsbDisk(_) if stage == Stage::Rom => {
            "; leave an SD card in the slot with bootcode.bin and an empty file timeout, and nothing else"
        }
        Place::UsbDisk(_) => "; put an empty file timeout beside bootcode.bin on the SD card",
    }
}
