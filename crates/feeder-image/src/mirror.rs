//! Where packages come from. The lock does not say; the machine does.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_ui::{Exit, Expected};

/// Base URL of a Debian archive, without a slash at its end: what stands in a line of `sources.list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror(String);

/// No mirror was given and none was found.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MirrorError {
    /// What was given is no address.
    #[error("`{given}` ({from}) is no mirror: an http:// or https:// URL is wanted")]
    NotAUrl {
        /// As given.
        given: String,
        /// `--mirror` or the variable.
        from: &'static str,
    },
    /// This machine's apt knows no Debian archive.
    #[error(
        "no Debian mirror is known: none was given, and {apt} names no archive of a Debian release"
    )]
    Unknown {
        /// The directory that was searched.
        apt: Utf8PathBuf,
    },
}

impl Expected for MirrorError {
    fn exit(&self) -> Exit {
        match self {
            Self::NotAUrl { .. } => Exit::Input,
            Self::Unknown { .. } => Exit::Host,
        }
    }

    fn hint(&self) -> Option<String> {
        Some("give one with `--mirror URL` or in FEEDER_MIRROR: the directory that holds `dists` and `pool`".into())
    }
}

impl Mirror {
    /// The mirror to use: `given`, else `$FEEDER_MIRROR`, else the first Debian archive in `/etc/apt`.
    ///
    /// # Errors
    ///
    /// [`MirrorError`] when what was given is no URL, or none is known.
    pub fn choose(given: Option<&str>) -> Result<Self, MirrorError> {
        let variable = std::env::var("FEEDER_MIRROR").ok();
        Self::choose_from(given, variable.as_deref(), Utf8Path::new("/etc/apt"))
    }

    fn choose_from(
        given: Option<&str>,
        variable: Option<&str>,
        apt: &Utf8Path,
    ) -> Result<Self, MirrorError> {
        if let Some(given) = given {
            return Self::parse(given, "--mirror");
        }
        if let Some(variable) = variable.filter(|value| !value.is_empty()) {
            return Self::parse(variable, "FEEDER_MIRROR");
        }
        of_apt(apt).ok_or_else(|| MirrorError::Unknown { apt: apt.to_owned() })
    }

    /// A mirror by its URL.
    fn parse(given: &str, from: &'static str) -> Result<Self, MirrorError> {
        Self::from_url(given).ok_or_else(|| MirrorError::NotAUrl { given: given.to_owned(), from })
    }

    /// `None` when the URL is not http or https.
    #[must_use]
    pub fn from_url(url: &str) -> Option<Self> {
        let web = url.starts_with("http://") || url.starts_with("https://");
        (web && !url.contains(char::is_whitespace))
            .then(|| Self(url.trim_end_matches('/').to_owned()))
    }

    /// URL of a file by its path below the archive. Pool paths hold `+` and `~`, which a URL may hold too, but some
    /// servers read `+` as a space.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}/{}", self.0, path.replace('%', "%25").replace('+', "%2b"))
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Debian's names for a whole release. `-updates`, `-security` and `-backports` lie beside it or elsewhere.
const SUITES: [&str; 10] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "unstable",
    "testing",
    "stable",
    "oldstable",
];

/// The first Debian archive in apt's configuration.
fn of_apt(apt: &Utf8Path) -> Option<Mirror> {
    let mut files = vec![apt.join("sources.list")];
    let parts = apt.join("sources.list.d").read_dir_utf8().into_iter().flatten().flatten();
    let mut parts: Vec<_> = parts.map(camino::Utf8DirEntry::into_path).collect();
    parts.sort();
    files.extend(parts);
    files.iter().find_map(|file| {
        let text = fs_err::read_to_string(file).ok()?;
        let archives = match file.extension() {
            Some("list") => one_line(&text),
            Some("sources") => deb822(&text),
            _ => Vec::new(),
        };
        let debian =
            |archive: &&Archive| archive.suites.iter().any(|suite| SUITES.contains(&&**suite));
        archives
            .iter()
            .filter(debian)
            .find_map(|archive| archive.uris.iter().find_map(|uri| Mirror::from_url(uri)))
    })
}

/// An entry for binary packages in apt's sources.
#[derive(Debug, PartialEq, Eq)]
struct Archive {
    uris: Vec<String>,
    suites: Vec<String>,
}

/// `deb [options] uri suite component…`, one entry a line.
fn one_line(text: &str) -> Vec<Archive> {
    let entry = |line: &str| {
        let line = line.split('#').next()?.trim().strip_prefix("deb")?;
        let line = line.strip_prefix([' ', '\t'])?.trim_start();
        let line = match line.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => line,
        };
        let mut words = line.split_whitespace().map(str::to_owned);
        Some(Archive { uris: vec![words.next()?], suites: vec![words.next()?] })
    };
    text.lines().filter_map(entry).collect()
}

/// Stanzas of `Key: value`, lines that begin with a space going on.
fn deb822(text: &str) -> Vec<Archive> {
    let stanza = |stanza: &[&str]| {
        let field = |name: &str| -> Vec<String> {
            let mut words = Vec::new();
            let mut inside = false;
            for line in stanza {
                if line.starts_with([' ', '\t']) {
                    if inside {
                        words.extend(line.split_whitespace().map(str::to_owned));
                    }
                } else if let Some((key, value)) = line.split_once(':') {
                    inside = key.trim().eq_ignore_ascii_case(name);
                    if inside {
                        words.extend(value.split_whitespace().map(str::to_owned));
                    }
                }
            }
            words
        };
        let off = field("Enabled").first().is_some_and(|word| word.eq_ignore_ascii_case("no"));
        (field("Types").iter().any(|kind| kind == "deb") && !off)
            .then(|| Archive { uris: field("URIs"), suites: field("Suites") })
    };
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).filter_map(stanza).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apt(files: &[(&str, &str)]) -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let apt = Utf8Path::from_path(dir.path()).unwrap().to_owned();
        fs_err::create_dir(apt.join("sources.list.d")).unwrap();
        for (file, text) in files {
            fs_err::write(apt.join(file), text).unwrap();
        }
        (dir, apt)
    }

    fn found(files: &[(&str, &str)]) -> Option<String> {
        let (_dir, apt) = apt(files);
        of_apt(&apt).map(|mirror| mirror.to_string())
    }

    #[test]
    fn finds_the_archive_in_a_one_line_file() {
        let text = "# deb http://old.example.test/debian bookworm main\n\
                    deb-src http://src.example.test/debian bookworm main\n\
                    deb http://security.example.test/debian-security bookworm-security main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://a.example.test/debian/ bookworm main # the one\n";
        assert_eq!(found(&[("sources.list", text)]).unwrap(), "http://a.example.test/debian");
    }

    #[test]
    fn finds_the_archive_in_a_deb822_file() {
        let text = "Types: deb\nURIs: https://tool.example.test/apt\nSuites: nodistro\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://off.example.test/debian\nSuites: trixie\n\n\
                    # a comment\nTypes: deb deb-src\nURIs: cdrom:[x]/ http://b.example.test/debian\n\
                    Suites: trixie-updates\n trixie\nComponents: main\n";
        assert_eq!(
            found(&[("sources.list.d/debian.sources", text)]).unwrap(),
            "http://b.example.test/debian"
        );
    }

    #[test]
    fn other_distributions_and_other_files_are_not_mirrors() {
        let ubuntu = "deb http://archive.example.test/ubuntu noble main";
        let debian = "deb http://a.example.test/debian trixie main";
        assert_eq!(
            found(&[("sources.list", ubuntu), ("sources.list.d/old.list.save", debian)]),
            None
        );
    }

    #[test]
    fn what_is_given_goes_first() {
        let (_dir, apt) =
            apt(&[("sources.list", "deb http://apt.example.test/debian trixie main")]);
        let chosen = |given, variable| {
            Mirror::choose_from(given, variable, &apt).map(|mirror| mirror.to_string())
        };
        let (flag, variable) = (Some("http://flag.example.test/"), Some("http://var.example.test"));
        assert_eq!(chosen(flag, variable).unwrap(), "http://flag.example.test");
        assert_eq!(chosen(None, variable).unwrap(), "http://var.example.test");
        assert_eq!(chosen(None, Some("")).unwrap(), "http://apt.example.test/debian");
        assert!(matches!(
            chosen(Some("example.test"), None),
            Err(MirrorError::NotAUrl { from: "--mirror", .. })
        ));
        let nowhere = Mirror::choose_from(None, None, Utf8Path::new("/nonexistent")).unwrap_err();
        assert_eq!(nowhere.exit(), Exit::Host);
        assert!(nowhere.hint().unwrap().contains("FEEDER_MIRROR"));
    }

    #[test]
    fn a_plus_in_a_version_survives() {
        let mirror = Mirror::from_url("http://a.example.test/debian/").unwrap();
        assert_eq!(
            mirror.url("pool/x_1+b1_all.deb"),
            "http://a.example.test/debian/pool/x_1%2bb1_all.deb"
        );
    }
}
