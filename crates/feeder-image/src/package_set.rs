//! What somebody wants installed, before apt says what that takes.

use std::collections::BTreeSet;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::ImageError;

/// A named list of packages, one file of `fixtures/packages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageSet {
    /// The file's name without `.toml`.
    #[serde(default)]
    pub name: String,
    /// Sets that are installed already where this one is installed; their packages are not in this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// Whether every package that Debian marks as essential belongs to it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub essential: bool,
    /// Whether only files are taken out of these packages: then what they depend on is not needed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub files_only: bool,
    /// Names of packages.
    pub packages: Vec<String>,
}

impl PackageSet {
    /// Reads a set from the text of its file.
    ///
    /// # Errors
    ///
    /// What is wrong, with line and column.
    pub fn parse(name: &str, text: &str) -> Result<Self, toml::de::Error> {
        let mut set: Self = toml::from_str(text)?;
        name.clone_into(&mut set.name);
        Ok(set)
    }

    /// Every set in a directory, in an order in which each comes after those it is installed on.
    ///
    /// # Errors
    ///
    /// [`ImageError::Input`] when a file is wrong, or names a set that is not there or that needs it in turn.
    pub fn load_dir(dir: &Utf8Path) -> Result<Vec<Self>, ImageError> {
        let mut sets = Vec::new();
        for entry in dir.read_dir_utf8().map_err(ImageError::input(dir))? {
            let path = entry.map_err(ImageError::input(dir))?.into_path();
            let (Some(name), Some("toml")) = (path.file_stem(), path.extension()) else { continue };
            let text = fs_err::read_to_string(&path).map_err(ImageError::input(&path))?;
            sets.push(Self::parse(name, &text).map_err(ImageError::input(&path))?);
        }
        in_order(sets).map_err(ImageError::input(dir))
    }
}

/// Sorts by name, then moves each set behind those it is installed on.
fn in_order(mut sets: Vec<PackageSet>) -> Result<Vec<PackageSet>, String> {
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    let mut placed = BTreeSet::new();
    let mut ordered = Vec::new();
    while !sets.is_empty() {
        let ready = |set: &PackageSet| set.on.iter().all(|base| placed.contains(base));
        let Some(next) = sets.iter().position(ready) else {
            let set = &sets[0];
            return Err(format!(
                "set `{}` is installed on {:?}, which are not all there, or need it in turn",
                set.name, set.on
            ));
        };
        let set = sets.remove(next);
        placed.insert(set.name.clone());
        ordered.push(set);
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, on: &[&str]) -> PackageSet {
        let on: Vec<_> = on.iter().map(|base| format!("{base:?}")).collect();
        PackageSet::parse(name, &format!("on = [{}]\npackages = []", on.join(", "))).unwrap()
    }

    #[test]
    fn a_set_comes_after_its_bases() {
        let sets = in_order(vec![set("a", &["z"]), set("z", &[]), set("b", &["a", "z"])]).unwrap();
        assert_eq!(sets.iter().map(|set| &*set.name).collect::<Vec<_>>(), ["z", "a", "b"]);
    }

    #[test]
    fn a_missing_or_circular_base_is_told() {
        assert!(in_order(vec![set("a", &["z"])]).unwrap_err().contains("`a`"));
        assert!(in_order(vec![set("a", &["b"]), set("b", &["a"])]).is_err());
    }

    #[test]
    fn an_unknown_key_is_told_with_its_line() {
        let error =
            PackageSet::parse("a", "packages = []\nessentail = true").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("essentail"), "{error}");
    }

    #[test]
    fn the_project_s_own_sets_can_be_read() {
        let dir = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/packages");
        let sets = PackageSet::load_dir(&dir).unwrap();
        assert!(sets.iter().any(|set| set.name == "master" && set.essential));
        assert!(sets.iter().any(|set| set.name == "provision" && set.on == ["master"]));
    }
}
