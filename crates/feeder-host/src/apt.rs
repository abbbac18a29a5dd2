//! apt's sources, and the one that we add.
//!
//! sources.list(5). The mirror's address is never ours to choose: a source for backports is copied from the entry for the
//! release itself, which is where the administrator of this machine wants packages to come from.

use std::{collections::BTreeSet, str::FromStr};

use camino::Utf8PathBuf;
use deb822_fast::Deb822;

use crate::Host;

/// One source of binary packages. Of each entry only what backports need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    architectures: Option<String>,
    /// A path, a fingerprint, or a whole key over several lines.
    signed_by: Option<String>,
}

/// How this machine can get packages from its release's backports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backports {
    /// They are among its sources already.
    Enabled,
    /// They are not; this is the text of a deb822 file that adds them.
    Add(String),
    /// No source for the release itself was found from which to copy.
    NoSource,
}

/// Decides from the machine's own sources.
pub(crate) fn backports(host: &Host, codename: &str) -> Backports {
    decide(&sources(host), codename)
}

fn decide(sources: &[Source], codename: &str) -> Backports {
    let suite = format!("{codename}-backports");
    if sources.iter().any(|source| source.suites.contains(&suite)) {
        return Backports::Enabled;
    }
    let has_main = |source: &&Source| source.components.iter().any(|component| component == "main");
    let is_release = |source: &&Source| source.suites.iter().any(|suite| suite == codename);
    match sources.iter().filter(has_main).find(is_release) {
        Some(source) => Backports::Add(source.with_suite(&suite)),
        None => Backports::NoSource,
    }
}

/// The hosts that this machine's packages come from, other than itself.
pub fn mirror_hosts(host: &Host) -> BTreeSet<String> {
    let uris = sources(host).into_iter().flat_map(|source| source.uris);
    uris.filter_map(|uri| host_of(&uri))
        .filter(|host| host != "localhost" && !host.starts_with("127."))
        .collect()
}

/// `mirror.example` of `http://user@mirror.example:8080/debian`; nothing for `file:/srv/debian`.
fn host_of(uri: &str) -> Option<String> {
    let authority = uri.split_once("://")?.1.split('/').next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    (!host.is_empty()).then(|| host.to_owned())
}

impl Source {
    fn with_suite(&self, suite: &str) -> String {
        let mut text = format!(
            "# Added by feeder (cargo xtask setup) for a newer QEMU; copied from this machine's own sources.\n\
             Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n",
            self.uris.join(" ")
        );
        if let Some(architectures) = &self.architectures {
            text.push_str(&format!("Architectures: {architectures}\n"));
        }
        if let Some(signed_by) = &self.signed_by {
            // A key over several lines keeps its shape: continuation lines begin with a space.
            text.push_str(&format!("Signed-By: {}\n", signed_by.trim_end().replace('\n', "\n ")));
        }
        text.replace(": \n", ":\n")
    }
}

fn sources(host: &Host) -> Vec<Source> {
    let listed =
        std::fs::read_dir(host.file("/etc/apt/sources.list.d")).into_iter().flatten().flatten();
    let listed = listed.filter_map(|entry| Utf8PathBuf::from_path_buf(entry.path()).ok());
    let mut files: Vec<Utf8PathBuf> = listed.collect();
    files.sort();
    files.insert(0, host.file("/etc/apt/sources.list"));
    let read = |file: &Utf8PathBuf| std::fs::read_to_string(file).unwrap_or_default();
    let parse = |file: &Utf8PathBuf| match file.extension() {
        Some("sources") => deb822(&read(file)),
        Some("list") => one_line(&read(file)),
        // apt ignores other names too.
        _ => Vec::new(),
    };
    files.iter().flat_map(parse).collect()
}

/// Entries of a `.sources` file. What cannot be read is no source to copy from; apt itself complains about it.
fn deb822(text: &str) -> Vec<Source> {
    let Ok(stanzas) = Deb822::from_str(text) else { return Vec::new() };
    let words = |value: Option<&str>| -> Vec<String> {
        value.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let enabled = stanzas.iter().filter(|stanza| {
        let off =
            stanza.get("Enabled").is_some_and(|value| value.trim().eq_ignore_ascii_case("no"));
        !off && words(stanza.get("Types")).iter().any(|kind| kind == "deb")
    });
    enabled
        .map(|stanza| Source {
            uris: words(stanza.get("URIs")),
            suites: words(stanza.get("Suites")),
            components: words(stanza.get("Components")),
            architectures: stanza.get("Architectures").map(|value| value.trim().to_owned()),
            signed_by: stanza.get("Signed-By").map(str::to_owned),
        })
        .collect()
}

/// Entries of a `.list` file: `deb [option=value …] URI suite component…`.
fn one_line(text: &str) -> Vec<Source> {
    text.lines().filter_map(entry).collect()
}

fn entry(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let option = |name: &str| {
        let value = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
        value.map(str::to_owned)
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        architectures: option("arch").map(|value| value.replace(',', " ")),
        signed_by: option("signed-by"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
Types: deb deb-src
# the house's mirror
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

    fn added(sources: &[Source]) -> String {
        match decide(sources, "bookworm") {
            Backports::Add(text) => text.split_once('\n').expect("a comment first").1.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_deb822_source_is_copied() {
        assert_eq!(
            added(&deb822(DEB822)),
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        );
    }

    #[test]
    fn a_one_line_source_is_copied() {
        let list = "# deb cdrom:[x]/ bookworm main\n\
                    deb-src http://mirror.example/debian bookworm main\n\
                    deb [ arch=amd64,arm64 signed-by=/etc/apt/keyrings/house.asc ] http://mirror.example/debian bookworm main # ours\n";
        assert_eq!(
            added(&one_line(list)),
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n\
             Architectures: amd64 arm64\nSigned-By: /etc/apt/keyrings/house.asc\n"
        );
        assert_eq!(
            added(&one_line("deb http://mirror.example/debian\tbookworm main")),
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n"
        );
    }

    #[test]
    fn a_key_over_several_lines_survives() {
        let key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY865UxYJKwYB\n -----END PGP PUBLIC KEY BLOCK-----\n";
        let text = format!(
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n{key}"
        );
        let copied = added(&deb822(&text));
        assert!(copied.ends_with(key), "{copied}");
        assert_eq!(
            deb822(&copied)[0].signed_by,
            deb822(&text)[0].signed_by,
            "it is read back as it was"
        );
    }

    #[test]
    fn nothing_is_added_twice() {
        let mut sources = deb822(DEB822);
        let Backports::Add(text) = decide(&sources, "bookworm") else { panic!("nothing added") };
        sources.extend(deb822(&text));
        assert_eq!(decide(&sources, "bookworm"), Backports::Enabled);
        let listed = one_line("deb http://mirror.example/debian bookworm-backports main");
        assert_eq!(decide(&listed, "bookworm"), Backports::Enabled);
    }

    #[test]
    fn hosts_of_uris() {
        for (uri, host) in [
            ("http://mirror.example/debian", Some("mirror.example")),
            ("https://me:secret@mirror.example:8080/debian/", Some("mirror.example")),
            ("mirror+file:/etc/apt/mirrors/debian.list", None),
            ("file:///srv/debian", None),
            ("cdrom:[Debian]/", None),
        ] {
            assert_eq!(host_of(uri).as_deref(), host, "{uri}");
        }
    }

    #[test]
    fn a_disabled_or_foreign_source_is_no_source() {
        let disabled = DEB822.replace("Types: deb", "Enabled: no\nTypes: deb");
        assert_eq!(decide(&deb822(&disabled), "bookworm"), Backports::NoSource);
        assert_eq!(decide(&deb822(DEB822), "trixie"), Backports::NoSource);
        assert_eq!(
            decide(&one_line("deb http://mirror.example/debian bookworm contrib"), "bookworm"),
            Backports::NoSource
        );
        assert_eq!(decide(&[], "bookworm"), Backports::NoSource);
    }
}
