//! Names of nodes and users.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// A host name of one label: 1 to 63 of `a`–`z`, `0`–`9` and `-`, no `-` at either end (RFC 1123, 2.1), in lower case.
///
/// Refused beyond that: `localhost`, which every node already is to itself (RFC 6761, 6.3), and names which programs take for
/// an address, such as `101` or `0x65` (`inet_aton`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(String);

const WANTED: &str = "a host name";

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for NodeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some(why) = mistake(text) else { return Ok(Self(text.to_owned())) };
        let invalid = Invalid::new(text, WANTED, why);
        Err(match suggestion(text) {
            Some(name) => invalid.hint(format!("`{name}` would do")),
            None => invalid,
        })
    }
}

/// What keeps the text from being a node's name.
fn mistake(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("it is empty".to_owned());
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-') {
        Some('.') => {
            return Some("`.` begins a domain, and nodes are named without one".to_owned());
        }
        Some(odd) => {
            return Some(format!(
                "`{}` is not one of a–z, 0–9 and `-`",
                super::shown(&odd.to_string())
            ));
        }
        None => {}
    }
    if text.len() > 63 {
        return Some(format!("it has {} characters, and 63 is the most", text.len()));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Some("it begins or ends with `-`".to_owned());
    }
    let lower = text.to_ascii_lowercase();
    if lower == "localhost" {
        return Some("every node already answers to it itself".to_owned());
    }
    let hexadecimal =
        lower.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if hexadecimal || lower.bytes().all(|b| b.is_ascii_digit()) {
        return Some("programs take a number for an address".to_owned());
    }
    (lower != text)
        .then(|| "it has capital letters, and names of nodes are in lower case".to_owned())
}

/// The valid name that was probably meant.
fn suggestion(text: &str) -> Option<String> {
    let label = text.split('.').next().unwrap_or_default().to_lowercase();
    let label: String = label.chars().map(|c| if c == '_' || c == ' ' { '-' } else { c }).collect();
    let name = label.trim_matches('-');
    let numbered = format!("node{name}");
    [name, &numbered]
        .into_iter()
        .find(|name| mistake(name).is_none() && !name.ends_with("localhost"))
        .map(str::to_owned)
}

/// The name of a user on a Debian-like system, as `useradd` takes it.
pub(crate) fn user_name(text: &str) -> Result<String, Invalid> {
    let wanted = "a user name";
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    if !text.starts_with(first) {
        return Err(Invalid::new(text, wanted, "it does not begin with a–z or `_`"));
    }
    if let Some(odd) = text.chars().find(|c| !first(*c) && !c.is_ascii_digit() && *c != '-') {
        let why =
            format!("`{}` is not one of a–z, 0–9, `_` and `-`", super::shown(&odd.to_string()));
        return Err(Invalid::new(text, wanted, why));
    }
    if text.len() > 32 {
        return Err(Invalid::new(
            text,
            wanted,
            format!("it has {} characters, and 32 is the most", text.len()),
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_rfc_1123_in_lower_case() {
        for text in ["a", "cluster01", "0a", "3com", "a-b--c", "0xyz", &"a".repeat(63)] {
            assert_eq!(text.parse::<NodeName>().map(|name| name.to_string()).as_deref(), Ok(text));
        }
        for text in [
            "",
            "-a",
            "a-",
            "a_b",
            "a.b",
            "Cluster",
            "localhost",
            "LocalHost",
            "101",
            "0x65",
            "ä",
            &"a".repeat(64),
        ] {
            assert!(text.parse::<NodeName>().is_err(), "{text}");
        }
    }

    #[test]
    fn users_as_useradd_takes_them() {
        for text in ["pi", "_apt", "a-b9"] {
            assert_eq!(user_name(text).as_deref(), Ok(text));
        }
        for text in ["", "9a", "Pi", "-a", "a b", "a:b", "a$(id)", &"a".repeat(33)] {
            assert!(user_name(text).is_err(), "{text}");
        }
    }
}
