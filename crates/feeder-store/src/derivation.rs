//! What an output is built from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A name and everything that decides the bytes of the result: recipe text, lock text, tool versions, a schema
/// number of the code that builds. Two derivations with the same inputs are the same output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derivation {
    name: String,
    inputs: BTreeMap<String, String>,
}

impl Derivation {
    /// A derivation without inputs.
    ///
    /// # Panics
    ///
    /// When `name` is no plain file name of lower-case letters, digits, `-`, `_` and `.`: it becomes part of a
    /// path.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        assert!(
            !name.is_empty() && !name.starts_with('.') && name.chars().all(plain),
            "bad name `{name}`"
        );
        Self { name, inputs: BTreeMap::new() }
    }

    /// Adds an input. Long inputs are better given as their digest.
    #[must_use]
    pub fn input(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.inputs.insert(key.into(), value.into());
        self
    }

    /// What kind of thing this is, for people: `master-sd`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every input, by key.
    #[must_use]
    pub fn inputs(&self) -> &BTreeMap<String, String> {
        &self.inputs
    }

    /// SHA-256 over the canonical JSON: keys sorted, no spaces.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::of(serde_json::to_vec(self).expect("maps of strings serialise"))
    }

    /// The directory name of its output: `<hash>-<name>`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}", self.hash(), self.name)
    }

    /// The JSON kept with the output, so that one can ask why something was rebuilt.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("maps of strings serialise");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_is_that_of_the_canonical_text() {
        let derivation = Derivation::new("disk").input("b", "2").input("a", "1");
        assert_eq!(derivation.hash(), Digest::of(r#"{"name":"disk","inputs":{"a":"1","b":"2"}}"#));
        assert!(derivation.file_name().ends_with("-disk"));
    }

    #[test]
    #[should_panic(expected = "bad name")]
    fn a_name_cannot_leave_its_directory() {
        let _ = Derivation::new("../escape");
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_every_input_does(inputs: BTreeMap<String, String>, key: String) {
            let forward = inputs.iter().fold(Derivation::new("x"), |d, (k, v)| d.input(k, v));
            let backward = inputs.iter().rev().fold(Derivation::new("x"), |d, (k, v)| d.input(k, v));
            prop_assert_eq!(forward.hash(), backward.hash());
            let other = format!("{}!", inputs.get(&key).map_or("", String::as_str));
            prop_assert_ne!(forward.clone().input(key, other).hash(), forward.hash());
        }
    }
}
