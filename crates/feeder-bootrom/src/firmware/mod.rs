//! What the firmware does between power and kernel, told in order and knowing nothing of where the
//! files come from: the same story for disk and network.

mod bootcode;
mod choice;
mod start;

use crate::board::BoardProfile;
use crate::boot::{Absence, Boot, BootError, Bytes, Stage};

/// Where the firmware's files come from.
///
/// A medium that cannot answer yet says [`Stop::Pending`]; the story is then told again from the
/// beginning once it can, so an answer once given must stay the same.
pub(crate) trait Medium {
    /// A stage begins.
    fn enter(&mut self, stage: Stage) -> Result<(), Stop>;

    /// Asks whether a file exists.
    fn probe(&mut self, name: &str) -> Answer<()>;

    /// Reads a whole file.
    fn read(&mut self, name: &str) -> Answer<Bytes>;

    /// Whether files come over the network: then there is a prefix, and existence is asked for more
    /// often.
    fn is_network(&self) -> bool;

    /// The name of `config.txt`, which is another one during a trial boot.
    fn config_file(&self, board: &BoardProfile) -> &'static str {
        config_file(board)
    }
}

/// The name of `config.txt` where nothing says that a trial boot is one of another partition.
pub(crate) fn config_file(board: &BoardProfile) -> &'static str {
    if board.tryboot { "tryboot.txt" } else { "config.txt" }
}

/// What a medium answers: the thing, or why the file counts as absent.
pub(crate) type Answer<T> = Result<Result<T, Absence>, Stop>;

/// Why the story stops short of its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The medium has to find out first.
    Pending,
    /// The board cannot boot.
    Failed(BootError),
    /// The medium itself failed and keeps the reason.
    Medium,
}

impl From<BootError> for Stop {
    fn from(error: BootError) -> Self {
        Self::Failed(error)
    }
}

/// From power-on to the kernel.
pub(crate) fn boot(board: &BoardProfile, medium: &mut dyn Medium) -> Result<Boot, Stop> {
    medium.enter(Stage::Rom)?;
    medium.read("bootcode.bin")?.map_err(|why| BootError::NoBootcode { why })?;
    if medium.is_network() {
        // A signature that no board of this family has; asked for all the same (boot-net.adoc).
        let _ = medium.read("bootsig.bin")?;
    }
    medium.enter(Stage::Bootcode)?;
    let mut warnings = Vec::new();
    let prefix = bootcode::run(board, medium, &mut warnings)?;
    medium.enter(Stage::Start)?;
    start::run(board, medium, &prefix, warnings)
}

/// Reads a file the way `start.elf` does: over the network it first asks for the size, breaks off, and
/// asks again.
fn probe_and_read(medium: &mut dyn Medium, name: &str) -> Answer<Bytes> {
    if medium.is_network()
        && let Err(absent) = medium.probe(name)?
    {
        return Ok(Err(absent));
    }
    medium.read(name)
}

/// Fails when a file is present that would make a board leave the path this twin follows.
fn must_be_absent(medium: &mut dyn Medium, name: String, what: &'static str) -> Result<(), Stop> {
    match medium.probe(&name)? {
        Ok(()) => Err(BootError::NotReproduced { name, what }.into()),
        Err(_) => Ok(()),
    }
}

const RECOVERY: &str = "start NOOBS recovery";
