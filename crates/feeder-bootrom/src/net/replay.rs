//! The network as a [`Medium`] that never waits: known answers are given again, the first unknown one
//! is noted down and the story stops there.
//!
//! So the firmware's order of events is written once, as straight code, and the network needs no state
//! of its own for it. Telling the story again costs a few parsings of `config.txt` per boot.

use crate::boot::{Absence, Bytes, Stage};
use crate::firmware::{Answer, Medium, Stop};

/// What the story needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Enter(Stage),
    Probe(String),
    Read(String),
}

/// The answer to a [`Need`] of the same kind.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Entered,
    Probed(Result<(), Absence>),
    Read(Result<Bytes, Absence>),
}

/// Everything answered so far.
#[derive(Debug, Default)]
pub(crate) struct Answers(Vec<Known>);

impl Answers {
    pub(crate) fn add(&mut self, known: Known) {
        self.0.push(known);
    }

    pub(crate) fn replay(&self) -> Replay<'_> {
        Replay { known: self.0.iter(), need: None }
    }
}

/// One telling.
pub(crate) struct Replay<'a> {
    known: std::slice::Iter<'a, Known>,
    /// Set when the telling stopped for want of it.
    pub(crate) need: Option<Need>,
}

impl Replay<'_> {
    fn next(&mut self, need: impl FnOnce() -> Need) -> Result<Known, Stop> {
        match self.known.next() {
            Some(known) => Ok(known.clone()),
            None => {
                self.need = Some(need());
                Err(Stop::Pending)
            }
        }
    }
}

/// The story is the same each time, so a question of another kind than before is a bug.
const ORDER: &str = "the firmware asks in the same order each time";

impl Medium for Replay<'_> {
    fn enter(&mut self, stage: Stage) -> Result<(), Stop> {
        match self.next(|| Need::Enter(stage))? {
            Known::Entered => Ok(()),
            Known::Probed(_) | Known::Read(_) => unreachable!("{ORDER}"),
        }
    }

    fn probe(&mut self, name: &str) -> Answer<()> {
        match self.next(|| Need::Probe(name.into()))? {
            Known::Probed(answer) => Ok(answer),
            Known::Entered | Known::Read(_) => unreachable!("{ORDER}"),
        }
    }

    fn read(&mut self, name: &str) -> Answer<Bytes> {
        match self.next(|| Need::Read(name.into()))? {
            Known::Read(answer) => Ok(answer),
            Known::Entered | Known::Probed(_) => unreachable!("{ORDER}"),
        }
    }

    fn is_network(&self) -> bool {
        true
    }
}
