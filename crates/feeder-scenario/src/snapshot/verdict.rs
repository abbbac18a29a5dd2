//! Runs that passed, so that what has not changed need not run again.

use std::time::Duration;

use camino::Utf8PathBuf;
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::{Code, Inputs, Key, Shelf, ShelfError, error::io, shelf};

/// A run that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Of what.
    pub scenario: String,
    /// Its directory of evidence.
    pub run: Utf8PathBuf,
    /// When it ended, as RFC 3339 in UTC.
    pub when: String,
    /// How long it took.
    pub took: Duration,
    /// Its steps on the outermost level.
    pub steps: usize,
}

/// The key of a scenario's verdict: everything that it could have used. None when its code is not known.
#[must_use]
pub fn verdict_key(
    scenario: &str,
    base: &Inputs,
    ingredients: &Inputs,
    code: &Code,
) -> Option<Key> {
    let own = code.scenarios.get(scenario)?;
    Some(Key::of(&("verdict", scenario, base, ingredients, own)))
}

impl Shelf {
    /// The run that proves it, if its evidence is still there.
    ///
    /// # Errors
    /// The shelf cannot be locked.
    pub fn proof(&self, key: Key) -> Result<Option<Proof>, ShelfError> {
        let _nothing_goes = self.shared()?;
        let path = self.part("verdicts").join(format!("{key}.json"));
        let read = fs::read(&path).ok();
        let proof: Option<Proof> = read.and_then(|text| serde_json::from_slice(&text).ok());
        Ok(proof.filter(|proof| proof.run.is_dir()))
    }

    /// Keeps a proof. The caller has seen the run pass.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn prove(&self, key: Key, proof: &Proof) -> Result<(), ShelfError> {
        let _alone = self.exclusive()?;
        shelf::publish(&self.part("verdicts").join(format!("{key}.json")), proof)
    }
}

/// Removes the proofs whose evidence is gone. The caller has the shelf for himself.
pub(super) fn remove_unproven(shelf: &Shelf) -> Result<(), ShelfError> {
    for path in shelf.names("verdicts")? {
        let text = fs::read(&path).map_err(io("read", &path))?;
        let proven = serde_json::from_slice::<Proof>(&text).is_ok_and(|proof| proof.run.is_dir());
        if !proven {
            fs::remove_file(&path).map_err(io("remove", &path))?;
        }
    }
    Ok(())
}
