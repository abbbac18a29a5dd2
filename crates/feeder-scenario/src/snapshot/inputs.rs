//! Named inputs: what a state was made from, in words that a difference can be told in.

use std::collections::BTreeMap;

use feeder_store::Digest;
use serde::{Deserialize, Serialize};

/// One thing that decides what happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Short enough to be shown: a version, a seed.
    Text(String),
    /// Something long, by its digest.
    Digest(Digest),
    /// Many files, by name.
    Files(BTreeMap<String, Digest>),
}

/// Inputs by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inputs(BTreeMap<String, Input>);

/// An input that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The input's name, or the name of a file in it.
    pub what: String,
    /// What became of it: `changed`, `is new`, `is gone`, `was 10.0.2, is 10.1.0`.
    pub how: String,
}

impl Inputs {
    /// Of this name, replacing what had it.
    pub fn set(&mut self, name: impl Into<String>, input: Input) {
        self.0.insert(name.into(), input);
    }

    /// With a short text.
    #[must_use]
    pub fn text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.set(name, Input::Text(text.into()));
        self
    }

    /// With something long, by its digest.
    #[must_use]
    pub fn digest(mut self, name: impl Into<String>, digest: Digest) -> Self {
        self.set(name, Input::Digest(digest));
        self
    }

    /// The input of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Input> {
        self.0.get(name)
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Input)> {
        self.0.iter().map(|(name, input)| (name.as_str(), input))
    }

    /// What became of them today.
    #[must_use]
    pub fn differences(&self, today: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        for (name, then, now) in pairs(&self.0, &today.0) {
            match (then, now) {
                (Some(Input::Files(then)), Some(Input::Files(now))) => {
                    for (file, then, now) in pairs(then, now) {
                        found.extend(difference(file, then, now, |_, _| "changed".to_owned()));
                    }
                }
                _ => found.extend(difference(name, then, now, |then, now| match (then, now) {
                    (Input::Text(then), Input::Text(now)) => format!("was {then}, is {now}"),
                    _ => "changed".to_owned(),
                })),
            }
        }
        found
    }
}

impl<N: Into<String>> FromIterator<(N, Input)> for Inputs {
    fn from_iter<I: IntoIterator<Item = (N, Input)>>(iter: I) -> Self {
        Self(iter.into_iter().map(|(name, input)| (name.into(), input)).collect())
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.what, self.how)
    }
}

/// Everything that is in either, with what each has.
fn pairs<'a, V>(
    then: &'a BTreeMap<String, V>,
    now: &'a BTreeMap<String, V>,
) -> impl Iterator<Item = (&'a str, Option<&'a V>, Option<&'a V>)> {
    let new = now.keys().filter(|name| !then.contains_key(*name));
    then.keys().chain(new).map(|name| (name.as_str(), then.get(name), now.get(name)))
}

fn difference<V: PartialEq>(
    what: &str,
    then: Option<&V>,
    now: Option<&V>,
    changed: impl FnOnce(&V, &V) -> String,
) -> Option<Difference> {
    let how = match (then, now) {
        (Some(then), Some(now)) if then == now => return None,
        (Some(then), Some(now)) => changed(then, now),
        (None, Some(_)) => "is new".to_owned(),
        (Some(_), None) => "is gone".to_owned(),
        (None, None) => return None,
    };
    Some(Difference { what: what.to_owned(), how })
}
