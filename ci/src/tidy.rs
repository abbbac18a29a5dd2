//! The repository's own rules, checked on the files that git knows.
//!
//! Each check takes the files and gives findings; nothing is changed but by [`fix`], which writes generated files again.

mod generated;
mod layers;
mod licences;
mod rules;

use std::{collections::BTreeSet, fmt};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::Cmd;

use crate::{CiError, Workspace};

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the repository.
    pub file: Utf8PathBuf,
    /// The line, counted from 1, when there is one.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

/// The repository as the checks see it.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Text files, by path relative to the repository. Others are of no interest here.
    pub(crate) texts: Vec<(Utf8PathBuf, String)>,
    /// Every file's path.
    pub(crate) paths: BTreeSet<Utf8PathBuf>,
}

impl Files {
    fn read(root: &Utf8Path) -> Result<Self, CiError> {
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = Cmd::new("git").dir(root).args(list).run().map_err(CiError::Git)?;
        let text = listed.stdout_text();
        let mut files = Self::default();
        for path in text.split('\0').filter(|path| !path.is_empty()).map(Utf8PathBuf::from) {
            // Deleted and not yet committed, or no text: nothing to check.
            if let Ok(text) = std::fs::read_to_string(root.join(&path)) {
                files.texts.push((path.clone(), text));
            } else if !root.join(&path).exists() {
                continue;
            }
            files.paths.insert(path);
        }
        Ok(files)
    }
}

/// Checks everything.
///
/// # Errors
/// [`CiError::Git`] when git cannot list the files, [`CiError::Cargo`] when cargo cannot tell about dependencies.
pub fn check(workspace: &Workspace) -> Result<Vec<Finding>, CiError> {
    let root = &workspace.root;
    let files = Files::read(root)?;
    let mirrors = feeder_host::mirror_hosts(&feeder_host::Host::this());
    let mut findings = rules::modules_explain_themselves(&files);
    findings.extend(rules::crates_inherit_lints(&files));
    findings.extend(rules::no_mirror_is_named(&files, &mirrors));
    findings.extend(rules::no_place_of_the_checkout(&files, root));
    findings.extend(rules::programs_are_in_the_table(&files));
    findings.extend(generated::stale(root));
    let metadata = workspace.resolved()?;
    findings.extend(
        licences::judge(&fs_err::read_to_string(root.join("deny.toml"))?, &metadata)
            .map_err(CiError::Cargo)?,
    );
    findings.extend(layers::judge(&metadata).map_err(CiError::Cargo)?);
    Ok(findings)
}

/// Writes generated files again; gives those that changed.
///
/// # Errors
/// Those of writing files.
pub fn fix(root: &Utf8Path) -> Result<Vec<Utf8PathBuf>, CiError> {
    Ok(generated::write(root)?)
}
