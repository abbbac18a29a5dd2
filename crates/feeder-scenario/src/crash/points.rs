//! Where power can fail.

use std::fmt;

use feeder_machine::write_log::{Cut, Entry, Kind, Moment};

use super::{
    Recorded,
    table::{SECTOR, Table},
};

/// One of the two disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The SD card.
    Card,
    /// The SSD.
    Ssd,
}

/// Where on a disk a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// Before the first partition, or where there is none.
    Table,
    /// The boot partition.
    Boot,
    /// The root.
    Root,
}

/// The moment after a write to one of the disks, and before every later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Requests that the card had done.
    pub card: usize,
    /// Requests that the SSD had done.
    pub ssd: usize,
    /// Which of them did the last one.
    pub side: Side,
    /// Where that went.
    pub region: Region,
    /// Sectors that it wrote.
    pub sectors: u64,
    /// The last words that were said before.
    pub said: String,
    /// The first words that were said after it.
    pub next: String,
}

/// What a power cut left beside whole writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Nothing was lost.
    Whole,
    /// Of the last write only so many sectors were done.
    Torn(u64),
    /// Of what no flush had followed, each write was lost or not, by this seed.
    Lost(u64),
}

impl Point {
    /// What of the card's log, and of the SSD's, had reached them.
    #[must_use]
    pub fn cuts(&self, variant: Variant) -> [Cut; 2] {
        let mut cuts = [Cut::after(self.card), Cut::after(self.ssd)];
        match variant {
            Variant::Whole => {}
            Variant::Torn(sectors) => cuts[self.side as usize].torn = Some(sectors),
            Variant::Lost(seed) => cuts.iter_mut().for_each(|cut| cut.lost = Some(seed)),
        }
        cuts
    }

    /// What is worth trying at it: torn at no more than `most` places, and with each of so many seeds.
    #[must_use]
    pub fn variants(&self, most: usize) -> Vec<Variant> {
        let mut torn = vec![self.sectors / 2, 1, self.sectors.saturating_sub(1)];
        torn.retain(|sectors| (1..self.sectors).contains(sectors));
        torn.dedup();
        torn.truncate(most);
        let lost = (1..=most as u64).map(Variant::Lost);
        [Variant::Whole]
            .into_iter()
            .chain(torn.into_iter().map(Variant::Torn))
            .chain(lost)
            .collect()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "partition table",
            Self::Boot => "boot partition",
            Self::Root => "root",
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Card => "card",
            Self::Ssd => "SSD",
        })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, ssd, side, region, said, .. } = self;
        write!(
            f,
            "{said}, after {card} requests of the card and {ssd} of the SSD, the last to the {region} of the {side}"
        )
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("nothing lost"),
            Self::Torn(sectors) => write!(f, "torn after sector {sectors}"),
            Self::Lost(seed) => write!(f, "unflushed writes lost, seed {seed}"),
        }
    }
}

/// All points of a recording that are known to have been, in their order; and how many writes came between two readings in which
/// both disks went on.
pub(super) fn points(recorded: &Recorded, tables: &[Table; 2]) -> (Vec<Point>, usize) {
    let (mut points, mut unordered) = (Vec::new(), 0);
    let mut said = "power on";
    for (index, pair) in recorded.moments.windows(2).enumerate() {
        let [from, to] = pair else { continue };
        said = from.said.as_deref().unwrap_or(said);
        let next = recorded.moments[index + 1..].iter().find_map(|moment| moment.said.as_deref());
        let next = next.unwrap_or("the end");
        let (Some(was), Some(is)) = (counts(from), counts(to)) else { continue };
        let side = match (was[0] == is[0], was[1] == is[1]) {
            (true, true) => continue,
            (false, true) => Side::Card,
            (true, false) => Side::Ssd,
            (false, false) => {
                unordered += is[0] - was[0] + is[1] - was[1];
                continue;
            }
        };
        let log = &[&recorded.card.log, &recorded.ssd.log][side as usize];
        for count in was[side as usize] + 1..=is[side as usize] {
            let Some(entry) = log.entries().get(count - 1).filter(|entry| changes(entry)) else {
                continue;
            };
            let mut at = was;
            at[side as usize] = count;
            points.push(Point {
                card: at[0],
                ssd: at[1],
                side,
                region: region(&tables[side as usize], entry.offset),
                sectors: if entry.kind == Kind::Write { entry.length / SECTOR } else { 1 },
                said: said.to_owned(),
                next: next.to_owned(),
            });
        }
    }
    (points, unordered)
}

fn counts(moment: &Moment) -> Option<[usize; 2]> {
    moment.counts.as_slice().try_into().ok()
}

fn changes(entry: &Entry) -> bool {
    entry.length > 0 && !matches!(entry.kind, Kind::Mark(_))
}

fn region(table: &Table, offset: u64) -> Region {
    match table.partitions.iter().find(|partition| partition.holds(offset)) {
        Some(partition) if partition.is_fat() => Region::Boot,
        Some(_) => Region::Root,
        None => Region::Table,
    }
}
