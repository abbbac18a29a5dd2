//! Labels of nodes in a swarm.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown};

/// A label of a node: `disk=ssd`.
///
/// Its name is lower case letters, digits and `._-`, beginning and ending with a letter or digit, as Docker advises; its value is
/// letters, digits and `._:/+@-`, so that neither needs quoting anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeLabel {
    name: String,
    value: String,
}

const WANTED: &str = "a label";
/// What Docker and this project keep to themselves.
const RESERVED: [&str; 4] = ["com.docker.", "io.docker.", "org.dockerproject.", "feeder."];

impl NodeLabel {
    /// What stands before the `=`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands behind it.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for NodeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}={}", self.name, self.value))
    }
}

impl FromStr for NodeLabel {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| Err(Invalid::new(text, WANTED, why));
        let Some((name, value)) = text.split_once('=') else {
            return invalid("it has no `=`".to_owned())
                .map_err(|invalid| invalid.hint("write it like disk=ssd"));
        };
        let ends =
            |c: Option<char>| c.is_some_and(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if !ends(name.chars().next()) || !ends(name.chars().next_back()) {
            return invalid("its name must begin and end with one of a–z and 0–9".to_owned());
        }
        if let Some(odd) = name.chars().find(|c| !inner(*c)) {
            return invalid(format!("`{}` must not be in its name", shown(&odd.to_string())));
        }
        if let Some(prefix) = RESERVED.iter().find(|prefix| name.starts_with(**prefix)) {
            return invalid(format!("names that begin with `{prefix}` are not free"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "._:/+@-".contains(c);
        if let Some(odd) = value.chars().find(|c| !fits(*c)) {
            return invalid(format!("`{}` must not be in its value", shown(&odd.to_string())));
        }
        if value.is_empty() {
            return invalid("its value is empty".to_owned());
        }
        if name.len() > 63 || value.len() > 128 {
            return invalid("63 letters are the most for a name, 128 for a value".to_owned());
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_name_and_a_value() {
        let label: NodeLabel = "disk=ssd".parse().unwrap();
        assert_eq!((label.name(), label.value(), &*label.to_string()), ("disk", "ssd", "disk=ssd"));
        for good in ["a=b", "rack.unit-2=10:20", "x=A/b@c+d"] {
            assert_eq!(
                good.parse::<NodeLabel>().map(|label| label.to_string()).as_deref(),
                Ok(good)
            );
        }
        for bad in [
            "",
            "disk",
            "=ssd",
            "disk=",
            "Disk=ssd",
            "disk=a b",
            "disk=a=b",
            ".d=x",
            "d.=x",
            "feeder.x=y",
            "com.docker.x=y",
            "d=\"",
            "d=$(reboot)",
        ] {
            assert!(bad.parse::<NodeLabel>().is_err(), "{bad}");
        }
    }
}
