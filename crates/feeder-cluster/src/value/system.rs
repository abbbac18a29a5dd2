//! What the systems of all nodes have in common.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown};

/// Where a journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    /// On the disk, or on what takes its place.
    Persistent,
    /// In memory.
    Volatile,
}

impl Journal {
    /// As it is written, in `cluster.toml` and in journald.conf alike.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Persistent => "persistent",
            Self::Volatile => "volatile",
        }
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Journal {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Persistent, Self::Volatile];
        all.into_iter().find(|journal| journal.as_str() == text).ok_or_else(|| {
            Invalid::new(text, "a place for the journal", "known are `persistent`, `volatile`")
        })
    }
}

/// The first character that `fits` does not take, as a reason.
fn odd(text: &str, fits: impl Fn(char) -> bool, only: &str) -> Option<String> {
    let odd = text.chars().find(|c| !fits(*c))?;
    Some(format!("`{}` is not one of {only}", shown(&odd.to_string())))
}

/// The name of a Debian package (Debian Policy 5.6.1).
pub(crate) fn package(text: &str) -> Result<String, Invalid> {
    let wanted = "the name of a package";
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    if let Some(why) = odd(text, fits, "a–z, 0–9, `+`, `-` and `.`") {
        return Err(Invalid::new(text, wanted, why));
    }
    if text.len() < 2 || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        let why = "it has at least two characters, the first a letter or a digit";
        return Err(Invalid::new(text, wanted, why));
    }
    Ok(text.to_owned())
}

/// A time zone, by its path below `/usr/share/zoneinfo`. Whether there is one is the system's to say.
pub(crate) fn time_zone(text: &str) -> Result<String, Invalid> {
    let wanted = "a time zone";
    let fits = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    if let Some(why) = odd(text, fits, "letters, digits, `/`, `_`, `+` and `-`") {
        return Err(Invalid::new(text, wanted, why).hint("write it like Europe/Berlin or Etc/UTC"));
    }
    let part = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !text.split('/').all(part) {
        let why = "each of its parts begins with a letter or a digit";
        return Err(Invalid::new(text, wanted, why).hint("write it like Europe/Berlin or Etc/UTC"));
    }
    Ok(text.to_owned())
}

/// A locale in UTF-8, as `de_DE.UTF-8` or `C.UTF-8`.
pub(crate) fn locale(text: &str) -> Result<String, Invalid> {
    let invalid = |why: String| {
        Err(Invalid::new(text, "a locale", why).hint("write it like de_DE.UTF-8 or C.UTF-8"))
    };
    let Some(language) = text.strip_suffix(".UTF-8") else {
        return invalid("it does not end in .UTF-8".to_owned());
    };
    let fits = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '@';
    if let Some(why) = odd(language, fits, "letters, `_` and `@`") {
        return invalid(why);
    }
    if !language.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return invalid("the language is missing".to_owned());
    }
    Ok(text.to_owned())
}

/// A public key, as a line of `authorized_keys` without options.
pub(crate) fn public_key(text: &str) -> Result<String, Invalid> {
    let wanted = "a public key";
    let hint = "copy the one line of ~/.ssh/id_ed25519.pub";
    let mut words = text.split(' ');
    let kind = words.next().unwrap_or_default();
    let known = ["ssh-ed25519", "ssh-rsa", "sk-ssh-ed25519@openssh.com"].contains(&kind)
        || kind.starts_with("ecdsa-sha2-")
        || kind.starts_with("sk-ecdsa-sha2-");
    if !known {
        let why = "it does not begin with the kind of a key, like ssh-ed25519";
        return Err(Invalid::new(text, wanted, why).hint(hint));
    }
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    match words.next() {
        Some(key) if key.starts_with("AAAA") && key.chars().all(base64) => {}
        _ => {
            return Err(Invalid::new(text, wanted, "the key behind its kind is missing").hint(hint));
        }
    }
    if text.chars().any(|c| c.is_control() || c == '\'') {
        let why = "its comment has a control character or a quote";
        return Err(Invalid::new(text, wanted, why));
    }
    Ok(text.to_owned())
}

/// A folder, by its whole path.
pub(crate) fn folder(text: &str) -> Result<String, Invalid> {
    let invalid = |why: String| {
        Err(Invalid::new(text, "a folder to share", why).hint("write it like /srv/share"))
    };
    let Some(below) = text.strip_prefix("/srv/") else {
        return invalid("it does not lie below /srv".to_owned());
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    if let Some(why) = odd(below, fits, "letters, digits, `/`, `_`, `.` and `-`") {
        return invalid(why);
    }
    let part = |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !below.split('/').all(part) {
        return invalid("each of its parts begins with a letter or a digit".to_owned());
    }
    if below == "feeder" || below.starts_with("feeder/") {
        return invalid("what lies in /srv/feeder is not everybody's".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_is_taken_as_it_is() {
        for text in ["vim", "g++", "libc6.1", "0ad"] {
            assert_eq!(package(text).as_deref(), Ok(text));
        }
        for text in ["Europe/Berlin", "Etc/GMT+1", "America/Argentina/Buenos_Aires", "UTC"] {
            assert_eq!(time_zone(text).as_deref(), Ok(text));
        }
        for text in ["de_DE.UTF-8", "C.UTF-8", "ca_ES@valencia.UTF-8"] {
            assert_eq!(locale(text).as_deref(), Ok(text));
        }
        for text in ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@here", "ecdsa-sha2-nistp256 AAAAE2Vj"] {
            assert_eq!(public_key(text).as_deref(), Ok(text));
        }
        for text in ["/srv/share", "/srv/cluster/data-1"] {
            assert_eq!(folder(text).as_deref(), Ok(text));
        }
        assert_eq!("volatile".parse(), Ok(Journal::Volatile));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        let mut said = Vec::new();
        let mut refused = |result: Result<String, Invalid>| {
            said.push(result.expect_err("it cannot be").to_string());
        };
        for text in ["x", "Vim", "vim; reboot", "-y"] {
            refused(package(text));
        }
        for text in ["Europe/Berlin'", "../etc/passwd", "/etc/localtime", ""] {
            refused(time_zone(text));
        }
        for text in ["de_DE", "de DE.UTF-8", ".UTF-8"] {
            refused(locale(text));
        }
        for text in ["me@here", "ssh-ed25519", "ssh-ed25519 AAAA x'y", "ssh-rsa AAAA\nssh-rsa AAAA"]
        {
            refused(public_key(text));
        }
        for text in ["/home/pi", "/srv/", "/srv/../etc", "/srv/feeder/tftp", "/srv/a b"] {
            refused(folder(text));
        }
        refused("ram".parse::<Journal>().map(|journal| journal.to_string()));
        insta::assert_snapshot!(said.join("\n"));
    }
}
