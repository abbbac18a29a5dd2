//! Secrets, by where they are to be had.

use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};

use super::{Invalid, shown};

/// Where a secret is to be had: the secret itself never stands in a `cluster.toml`.
///
/// Written as `env:NAME`, `file:PATH` or `cmd:COMMAND`. [`SecretRef::resolve`] gets the value, and nothing else does: what is
/// displayed, serialised and compared is the reference.
#[derive(Debug, Clone)]
pub struct SecretRef {
    pub(crate) source: SecretSource,
    /// The folder that relative paths begin at.
    pub(crate) base: Utf8PathBuf,
    /// Where the reference was found, for messages: `cluster.toml:14:12`. Empty when it was not found anywhere.
    pub(crate) place: String,
}

/// The ways to have a secret elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// In an environment variable of this program.
    Env(String),
    /// All that a file holds.
    File(Utf8PathBuf),
    /// What a command of the shell prints.
    Cmd(String),
}

const WANTED: &str = "a reference to a secret";
/// How each kind of reference begins.
const PREFIXES: [&str; 3] = ["env:", "file:", "cmd:"];

impl SecretRef {
    /// Whether a text at least begins like a reference. What does not may be the secret itself, and must not be shown.
    pub(crate) fn looks_like_one(text: &str) -> bool {
        PREFIXES.iter().any(|prefix| text.starts_with(prefix))
    }

    /// Whether it is all that a file holds.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.source, SecretSource::File(_))
    }

    /// The same, found at a place; relative paths begin at `base`.
    pub(crate) fn found(self, base: &Utf8Path, place: String) -> Self {
        Self { base: base.to_owned(), place, ..self }
    }
}

impl PartialEq for SecretRef {
    /// Where it was found does not count.
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for SecretRef {}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            SecretSource::Env(name) => write!(f, "env:{name}"),
            SecretSource::File(path) => write!(f, "file:{path}"),
            SecretSource::Cmd(command) => write!(f, "cmd:{command}"),
        }
    }
}

impl FromStr for SecretRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !Self::looks_like_one(text) {
            let why = "it begins with none of `env:`, `file:` and `cmd:`";
            // What it is instead may be the secret.
            return Err(Invalid::new("…", WANTED, why).hint(
                "write where it is to be had: env:NAME, file:PATH with a path beside cluster.toml, or cmd:COMMAND",
            ));
        }
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let invalid = |why: String| Err(Invalid::new(text, WANTED, why));
        if rest.trim().is_empty() {
            return invalid(format!("nothing stands behind `{kind}:`"));
        }
        if let Some(odd) = rest.chars().find(|c| c.is_control()) {
            return invalid(format!(
                "it holds the control character `{}`",
                shown(&odd.to_string())
            ));
        }
        let source = match kind {
            "env" => {
                let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if !rest.chars().all(fits) || rest.starts_with(|c: char| c.is_ascii_digit()) {
                    let why = "the name of a variable is made of A–Z, a–z, 0–9 and `_`, and begins with no digit";
                    return invalid(why.to_owned());
                }
                SecretSource::Env(rest.to_owned())
            }
            "file" => SecretSource::File(rest.into()),
            _ => SecretSource::Cmd(rest.to_owned()),
        };
        Ok(Self { source, base: Utf8PathBuf::new(), place: String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_they_are_displayed() {
        for text in [
            "env:PI_HASH",
            "file:secrets/pi",
            "file:/etc/a b",
            "cmd:pass show feeder/pi | head -n1",
        ] {
            assert_eq!(
                text.parse::<SecretRef>().map(|found| found.to_string()).as_deref(),
                Ok(text)
            );
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_and_not_repeated() {
        for text in ["hunter2", "$y$j9T$abc$def", "", "Env:HUNTER2", "pass:hunter2"] {
            let refused = text.parse::<SecretRef>().expect_err("it is none");
            let said = format!("{refused} {refused:?}");
            assert!(!said.to_lowercase().contains("hunter2") && !said.contains("$y$"), "{said}");
        }
        for text in ["env:", "env:A-B", "env:1A", "file: ", "cmd:", "cmd:a\nb", "file:a\u{1b}"] {
            assert!(text.parse::<SecretRef>().is_err(), "{text}");
        }
    }
}
