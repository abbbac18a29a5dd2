//! Where a master runs from, and the end of its move.

use feeder_cluster::{Cluster, Ssd};
use feeder_remote::{Host, RemoteError};
use serde::Serialize;

use super::{Disk, Disks, MoveState, Script};

/// The SD card of a master that runs from its SSD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Its boot partition, as the kernel calls it this time.
    pub partition: String,
    /// It holds what the master booted from, moved aside; otherwise it would still boot.
    pub kept: bool,
}

/// Where a master runs from, and what is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SsdStatus {
    /// The master.
    pub host: String,
    /// The disk it runs from.
    pub runs_from: Option<Disk>,
    /// The disk of `[master.ssd]`, when it is there.
    pub ssd: Option<Disk>,
    /// How far the move is.
    pub state: MoveState,
    /// Its card, when that is in its slot and the master runs from the SSD.
    pub card: Option<Card>,
    /// What is left to do, in order.
    pub left: Vec<String>,
}

impl Card {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let cards = text.lines().filter_map(|line| line.strip_prefix("ssd.card=")?.split_once(' '));
        let mut cards: Vec<Self> = cards
            .map(|(partition, what)| Self { partition: partition.to_owned(), kept: what == "kept" })
            .collect();
        cards.sort_by_key(|card| !card.kept);
        cards.into_iter().next()
    }
}

/// Asks a master where it runs from. Two round trips.
///
/// # Errors
/// When the host cannot be asked.
pub fn status(host: &dyn Host, cluster: &Cluster, ssd: &Ssd) -> Result<SsdStatus, RemoteError> {
    let script = Script::asking(&ssd.disk);
    let survey = host.run(&script.survey())?.stdout_text();
    let disks = Disks::parse(&survey).ok_or_else(|| not_understood(host))?;
    let card = if disks.state == MoveState::Running {
        Card::parse(&host.run(&script.card())?.stdout_text())
    } else {
        None
    };
    Ok(SsdStatus {
        host: cluster.master.name.to_string(),
        runs_from: disks.root().cloned(),
        ssd: disks.named(ssd.disk.name()).cloned(),
        state: disks.state,
        left: left(&disks, card.as_ref(), ssd),
        card,
    })
}

fn not_understood(host: &dyn Host) -> RemoteError {
    RemoteError::Ssh {
        host: host.name().to_owned(),
        why: "lsblk's list of disks is not understood".into(),
    }
}

fn left(disks: &Disks, card: Option<&Card>, ssd: &Ssd) -> Vec<String> {
    let steps = [
        "partition the SSD",
        "make its file system",
        "copy the system",
        "copy what changed, verify, and start from the SSD",
    ];
    let done = match disks.state {
        MoveState::None => 0,
        MoveState::Made => 1,
        MoveState::Formatted => 2,
        // A sealed copy that the master does not run from is made up to date again.
        MoveState::Copied | MoveState::Sealed => 3,
        MoveState::Running => {
            return match card {
                Some(card) if card.kept => {
                    vec!["free the SD card: `cargo xtask ssd finish`".to_owned()]
                }
                Some(card) => vec![format!(
                    "the card ({}) would still boot: take it out, or format it",
                    card.partition
                )],
                None => Vec::new(),
            };
        }
    };
    let mut left: Vec<String> = steps[done..].iter().map(|step| (*step).to_owned()).collect();
    let erase = if done == 0 { format!(" --erase {}", ssd.disk.name()) } else { String::new() };
    left[0] = format!("{}: `cargo xtask provision{erase}`", left[0]);
    left
}

/// Deletes what the card holds of the system that was moved: the old boot files, and the old root file system. What starts
/// the board (`bootcode.bin`, `timeout`) stays.
///
/// # Errors
/// When the master does not run from the SSD, or cannot be asked.
pub fn finish(host: &dyn Host, ssd: &Ssd) -> Result<(), RemoteError> {
    host.run(&Script::asking(&ssd.disk).finish()).map(drop)
}
