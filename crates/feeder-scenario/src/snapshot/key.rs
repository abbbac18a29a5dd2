//! Keys of states: hashes of everything that led there.

use std::{collections::BTreeSet, fmt, str::FromStr};

use feeder_store::{Digest, ParseDigestError};
use serde::{Deserialize, Serialize};

use super::{Entry, Inputs, StepCode};

/// Of a state, a slot or a verdict: the hash of all that it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Digest);

/// A step that was taken: all that decided what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The step's name.
    pub name: String,
    /// Its code.
    pub code: Inputs,
    /// The ingredients that it used.
    pub used: Inputs,
    /// Where its code stands; to find it again, not part of any key.
    pub site: String,
}

/// The step that comes next, and what is known of it before it runs.
#[derive(Debug, Clone)]
pub struct Next {
    pub(super) slot: Option<Key>,
    pub(super) name: String,
    code: Inputs,
    site: String,
}

/// A scenario's way through its steps, as far as it has come.
#[derive(Debug, Clone)]
pub struct Chain {
    pub(super) scenario: String,
    pub(super) base: Inputs,
    ingredients: Inputs,
    pub(super) trail: Vec<Taken>,
    key: Option<Key>,
}

impl Chain {
    /// Before the first step. `base` decides about everything; of `ingredients` counts what a step says to have used, from
    /// that step on.
    #[must_use]
    pub fn new(scenario: impl Into<String>, base: Inputs, ingredients: Inputs) -> Self {
        let scenario = scenario.into();
        let key = Some(start(&scenario, &base));
        Self { scenario, base, ingredients, trail: Vec::new(), key }
    }

    /// The key of the state that it has come to. None after a step whose code is not known.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        self.key
    }

    /// The ingredients of today.
    #[must_use]
    pub fn ingredients(&self) -> &Inputs {
        &self.ingredients
    }

    /// What would come next. A step whose code is not known is never found, nor anything behind it.
    #[must_use]
    pub fn next(&self, name: impl Into<String>, code: Option<&StepCode>) -> Next {
        let name = name.into();
        let site = code.map(|code| code.site.clone()).unwrap_or_default();
        let inputs = code.map(|code| code.parts.clone());
        let slot = self.key.zip(inputs.as_ref()).map(|(key, code)| slot(key, &name, code));
        Next { slot, name, code: inputs.unwrap_or_default(), site }
    }

    /// The step was taken, by running it or by going on from its state, and used these ingredients.
    pub fn took<N: AsRef<str>>(&mut self, next: Next, used: impl IntoIterator<Item = N>) {
        let names: BTreeSet<String> =
            used.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let used: Option<Inputs> = names
            .into_iter()
            .map(|name| self.ingredients.get(&name).cloned().map(|input| (name, input)))
            .collect();
        // An ingredient that nobody has a digest of is like code that is not known.
        self.key = next.slot.zip(used.as_ref()).map(|(slot, used)| state(slot, used));
        let Next { name, code, site, .. } = next;
        self.trail.push(Taken { name, code, used: used.unwrap_or_default(), site });
    }

    /// The step was not run: its state was found.
    pub fn resumed(&mut self, next: Next, entry: &Entry) {
        let used = entry.trail.last().map(|last| last.used.clone()).unwrap_or_default();
        self.took(next, used.iter().map(|(name, _)| name));
    }
}

/// The key that a trail leads to.
pub(super) fn key_of(scenario: &str, base: &Inputs, trail: &[Taken]) -> Key {
    trail.iter().fold(start(scenario, base), |key, step| {
        state(slot(key, &step.name, &step.code), &step.used)
    })
}

/// The slot that the last step of a trail fills.
pub(super) fn slot_of(scenario: &str, base: &Inputs, trail: &[Taken]) -> Option<Key> {
    let (last, before) = trail.split_last()?;
    Some(slot(key_of(scenario, base, before), &last.name, &last.code))
}

fn start(scenario: &str, base: &Inputs) -> Key {
    Key::of(&("start", scenario, base))
}

fn slot(before: Key, name: &str, code: &Inputs) -> Key {
    Key::of(&("step", before, name, code))
}

fn state(slot: Key, used: &Inputs) -> Key {
    Key::of(&("state", slot, used))
}

impl Key {
    /// The hash of a value's JSON, in which maps are ordered and texts are quoted: no two values have the same.
    pub(super) fn of(value: &impl Serialize) -> Self {
        let mut hasher = feeder_store::Hasher::new(std::io::sink());
        #[expect(
            clippy::expect_used,
            reason = "a sink takes everything, and keys of maps are texts"
        )]
        serde_json::to_writer(&mut hasher, value).expect("inputs are JSON");
        Self(hasher.finish().0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Key {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
