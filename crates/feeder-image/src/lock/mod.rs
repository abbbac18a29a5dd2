//! The lock: every package by name, version, size and SHA-256.
//!
//! It says nothing about where packages come from, so it is the same on every machine.

mod resolve;

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_store::Digest;
use feeder_ui::{Exit, Expected};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::PackageSet;
pub use resolve::lock;

/// Of the file's format. Another number means another meaning.
const SCHEMA: u32 = 1;

const HEADER: &str = "\
# Written by `cargo xtask image lock`; do not edit. What the package sets in fixtures/packages took when apt last
# resolved them, and the SHA-256 of every file. Builds use these files and no others, from whichever mirror has them.
";

/// What apt resolved, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    schema: u32,
    /// Codename of the release.
    pub suite: String,
    /// Debian's name of the processor architecture.
    pub architecture: String,
    /// When the archive's index was made. It is also the date of everything built from this lock.
    pub release_date: Timestamp,
    /// SHA-256 of the signed index (`InRelease`) that was resolved against.
    pub release_sha256: Digest,
    /// The sets as they were asked for.
    #[serde(rename = "set")]
    sets: Vec<PackageSet>,
    /// Sorted by name.
    #[serde(rename = "package")]
    packages: Vec<LockedPackage>,
}

/// One `.deb`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Name of the package.
    pub name: String,
    /// Its version, epoch included.
    pub version: String,
    /// The lock's architecture, or `all`.
    pub architecture: String,
    /// Where an archive keeps it: `pool/main/…`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Of the file.
    pub sha256: Digest,
    /// The sets it belongs to, sorted.
    pub sets: Vec<String>,
}

impl LockedPackage {
    /// The part of the archive it is in: `main`, `non-free-firmware`.
    #[must_use]
    pub fn component(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }
}

/// A lock that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// There is no such file.
    #[error("cannot read the lock {file}")]
    Read {
        /// The lock's file.
        file: Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is no lock.
    #[error("{file}:{line}: {why}")]
    Parse {
        /// The lock's file.
        file: String,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// It lacks a set that is needed.
    #[error("the lock has no package set `{set}`")]
    NoSet {
        /// Name of the set.
        set: String,
    },
    /// A set was changed since.
    #[error("the package set `{set}` was changed since the lock was written")]
    Stale {
        /// Name of the set.
        set: String,
    },
}

impl Expected for LockError {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        Some("`cargo xtask image lock` writes it anew".into())
    }
}

impl Lock {
    /// Reads a lock from its file.
    ///
    /// # Errors
    ///
    /// [`LockError::Read`], or what [`Lock::parse`] returns.
    pub fn load(file: &Utf8Path) -> Result<Self, LockError> {
        let text = fs_err::read_to_string(file)
            .map_err(|source| LockError::Read { file: file.to_owned(), source })?;
        Self::parse(&text, file.as_str())
    }

    /// Reads a lock from its text. `file` is for messages.
    ///
    /// # Errors
    ///
    /// [`LockError::Parse`] with the line of what is wrong.
    pub fn parse(text: &str, file: &str) -> Result<Self, LockError> {
        let wrong =
            |line: usize, why: String| LockError::Parse { file: file.to_owned(), line, why };
        let lock: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            wrong(line, error.message().to_owned())
        })?;
        if lock.schema != SCHEMA {
            let line = find_line(text, "schema");
            return Err(wrong(line, format!("schema {} is not known, only {SCHEMA}", lock.schema)));
        }
        for (index, package) in lock.packages.iter().enumerate() {
            if let Some(why) = lock.fault(index, package) {
                return Err(wrong(find_line(text, &format!("path = \"{}\"", package.path)), why));
            }
        }
        Ok(lock)
    }

    /// What is wrong with a package, when something is. A path leads to where things are written, so it may not
    /// leave the pool.
    fn fault(&self, index: usize, package: &LockedPackage) -> Option<String> {
        let LockedPackage { name, path, .. } = package;
        let inside = path.starts_with("pool/")
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside || path.split('/').count() < 4 {
            return Some(format!("`{path}` is no path in a pool"));
        }
        if index > 0 && self.packages[index - 1].name >= *name {
            return Some(format!("package {name} is there twice, or out of order"));
        }
        let unknown =
            package.sets.iter().find(|set| !self.sets.iter().any(|known| known.name == **set));
        unknown.map(|set| {
            format!("package {name} belongs to the set `{set}`, which is not in the lock")
        })
    }

    /// Every package, sorted by name.
    #[must_use]
    pub fn packages(&self) -> &[LockedPackage] {
        &self.packages
    }

    /// The packages of these sets, sorted by name. What a set is installed on is not part of it.
    ///
    /// # Errors
    ///
    /// [`LockError::NoSet`].
    pub fn of_sets<S: AsRef<str>>(&self, sets: &[S]) -> Result<Vec<&LockedPackage>, LockError> {
        for set in sets.iter().map(AsRef::as_ref) {
            if !self.sets.iter().any(|known| known.name == set) {
                return Err(LockError::NoSet { set: set.to_owned() });
            }
        }
        let wanted = |package: &&LockedPackage| {
            sets.iter().any(|set| package.sets.iter().any(|own| own == set.as_ref()))
        };
        Ok(self.packages.iter().filter(wanted).collect())
    }

    /// Names of all sets.
    pub fn set_names(&self) -> impl Iterator<Item = &str> {
        self.sets.iter().map(|set| &*set.name)
    }

    /// Whether the lock was made of these sets as they are now.
    ///
    /// # Errors
    ///
    /// [`LockError::Stale`] or [`LockError::NoSet`] with the first that differs.
    pub fn check(&self, sets: &[PackageSet]) -> Result<(), LockError> {
        for set in sets {
            match self.sets.iter().find(|known| known.name == set.name) {
                None => return Err(LockError::NoSet { set: set.name.clone() }),
                Some(known) if known != set => {
                    return Err(LockError::Stale { set: set.name.clone() });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What decides the bytes of something built from these packages: the release's date, and name, version and
    /// SHA-256 of each.
    pub(crate) fn digest_of(&self, packages: &[&LockedPackage]) -> Digest {
        let mut text = format!("{} {} {}\n", self.suite, self.architecture, self.release_date);
        for LockedPackage { name, version, path, sha256, .. } in packages {
            text.push_str(&format!("{name} {version} {path} {sha256}\n"));
        }
        Digest::of(text)
    }

    fn new(
        sets: &[PackageSet],
        release: resolve::Release,
        packages: BTreeMap<String, LockedPackage>,
    ) -> Self {
        Self {
            schema: SCHEMA,
            suite: release.suite,
            architecture: release.architecture,
            release_date: release.date,
            release_sha256: release.sha256,
            sets: sets.to_vec(),
            packages: packages.into_values().collect(),
        }
    }
}

impl std::fmt::Display for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = toml::to_string(self).map_err(|_| std::fmt::Error)?;
        write!(f, "{HEADER}\n{body}")
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

fn find_line(text: &str, part: &str) -> usize {
    text.find(part).map_or(1, |offset| line_of(text, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"schema = 1
suite = "trixie"
architecture = "arm64"
release_date = "2026-09-05T09:00:00Z"
release_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

[[set]]
name = "base"
packages = ["a"]

[[package]]
name = "a"
version = "1:2-3"
architecture = "all"
path = "pool/main/a/a_2-3_all.deb"
size = 3
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
sets = ["base"]

[[package]]
name = "b"
version = "1"
architecture = "arm64"
path = "pool/non-free-firmware/b/b/b_1_arm64.deb"
size = 3
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
sets = ["base"]
"#;

    fn error(text: &str) -> String {
        Lock::parse(text, "x.lock").unwrap_err().to_string()
    }

    #[test]
    fn text_and_back() {
        let lock = Lock::parse(LOCK, "x.lock").unwrap();
        assert_eq!(lock.packages()[1].component(), "non-free-firmware");
        let text = lock.to_string();
        assert!(text.starts_with("# Written by"), "{text}");
        assert_eq!(Lock::parse(&text, "x.lock").unwrap(), lock);
    }

    #[test]
    fn errors_name_the_line() {
        insta::assert_snapshot!(error(&LOCK.replace("size = 3", "size = \"3\"")), @"x.lock:16: invalid type: string \"3\", expected u64");
        insta::assert_snapshot!(error(&LOCK.replace("schema = 1", "schema = 2")), @"x.lock:1: schema 2 is not known, only 1");
        insta::assert_snapshot!(error(&LOCK.replace("ba78", "xx78")), @"x.lock:17: `xx7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad` is no SHA-256: 64 hex digits are wanted");
        insta::assert_snapshot!(error(&LOCK.replace("main/a/a_2", "../../a_2")), @"x.lock:15: `pool/../../a_2-3_all.deb` is no path in a pool");
        insta::assert_snapshot!(error(&LOCK.replace("name = \"b\"", "name = \"a\"")), @"x.lock:24: package a is there twice, or out of order");
        insta::assert_snapshot!(error(&LOCK.replace("name = \"base\"", "name = \"bass\"")), @"x.lock:15: package a belongs to the set `base`, which is not in the lock");
    }

    #[test]
    fn knows_when_a_set_was_changed() {
        let lock = Lock::parse(LOCK, "x.lock").unwrap();
        let set = |text| PackageSet::parse("base", text).unwrap();
        lock.check(&[set("packages = ['a']")]).unwrap();
        let changed = lock.check(&[set("packages = ['a', 'b']")]).unwrap_err();
        assert!(matches!(&changed, LockError::Stale { set } if set == "base"));
        assert!(changed.hint().unwrap().contains("image lock"));
    }

    #[test]
    fn packages_of_a_set() {
        let lock = Lock::parse(LOCK, "x.lock").unwrap();
        assert_eq!(lock.of_sets(&["base"]).unwrap().len(), 2);
        assert!(matches!(lock.of_sets(&["docker"]), Err(LockError::NoSet { .. })));
    }
}
