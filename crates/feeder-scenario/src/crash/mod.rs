//! Power cuts between any two writes of a recorded machine, decided without booting it.
//!
//! A recording holds both disks of a node as they were, and all that was written to them. From it both are made as a power cut
//! would leave them at one point after the other, with the last write torn or with writes lost that no flush had followed.
//! Each time the boot firmware's twin says what a board would start, and fsck whether what it starts from can be mended.
//!
//! **The order between the disks.** Each log is in the order in which requests completed, which no other log knows of. While
//! the machine runs, the counts of both are read together after every write ([`feeder_machine::write_log::Follow`]). A point is a
//! pair of counts that was seen, or one between two such pairs of which only one disk went on: every point is a state in which
//! the machine was. Where both disks went on between two readings, nothing is claimed and no point lies.

mod copy;
mod e2fsck;
mod fat;
mod judge;
mod points;
mod table;
mod tally;
#[cfg(test)]
mod tests;

use camino::Utf8PathBuf;
use feeder_bootrom::BoardProfile;
use feeder_machine::write_log::{Moment, WriteLog};

pub use judge::{Boots, Judge};
pub use points::{Point, Region, Side, Variant};
pub use tally::{Chapter, Row, Tally, Tried};

/// A disk before it was recorded, and what was written to it.
#[derive(Debug)]
pub struct Disk {
    /// Raw image.
    pub image: Utf8PathBuf,
    /// All writes.
    pub log: WriteLog,
}

/// Both disks of a node.
#[derive(Debug)]
pub struct Recorded {
    /// The SD card.
    pub card: Disk,
    /// The SSD.
    pub ssd: Disk,
    /// How far both logs, that of the card first, were at the same moments, in their order.
    pub moments: Vec<Moment>,
    /// The board.
    pub profile: BoardProfile,
}
