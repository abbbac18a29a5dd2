//! Versions as tools print them.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A dotted version, compared number by number: 1.47 = 1.47.0 < 1.48 < 8.2 < 10.0.2.
#[derive(Debug, Clone)]
pub struct Version(Vec<u64>);

/// The text is no dotted version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version such as 8.2")]
pub struct NotAVersion(String);

impl Version {
    /// The first dotted number in what a tool printed, or `None`.
    ///
    /// ```
    /// let printed = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)";
    /// assert_eq!(feeder_host::Version::find(printed).unwrap().to_string(), "10.0.2");
    /// ```
    pub fn find(printed: &str) -> Option<Self> {
        printed
            .split(|character: char| !character.is_ascii_digit() && character != '.')
            .map(|word| word.trim_matches('.'))
            .filter(|word| word.contains('.'))
            .find_map(|word| word.parse().ok())
    }

    /// The numbers without zeros at the end: 1.47.0 is 1.47.
    fn significant(&self) -> &[u64] {
        let zeros = self.0.iter().rev().take_while(|number| **number == 0).count();
        &self.0[..self.0.len() - zeros]
    }
}

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Result<_, _> = text.split('.').map(str::parse).collect();
        numbers.map(Self).map_err(|_| NotAVersion(text.to_owned()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.significant().cmp(other.significant())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.significant() == other.significant()
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_tools_print() {
        for (printed, found) in [
            ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)", Some("10.0.2")),
            ("qemu-img version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)", Some("8.2.2")),
            ("mmdebstrap 1.3.5", Some("1.3.5")),
            ("mke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS Library version 1.47.0", Some("1.47.0")),
            ("mke2fs 1.46-WIP (1-Jan-2021)", Some("1.46")),
            ("version 7", None),
            ("see https://example.net.", None),
            ("", None),
        ] {
            assert_eq!(
                Version::find(printed).map(|version| version.to_string()).as_deref(),
                found,
                "{printed}"
            );
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let version = |text: &str| text.parse::<Version>().expect("a version");
        assert!(version("8.2") < version("10.0.2"));
        assert!(version("8.2") < version("8.10"));
        assert!(version("1.47") == version("1.47.0") && version("1.47") <= version("1.47.0"));
        assert!(version("1.46.6") < version("1.47"));
        assert_eq!("8.x".parse::<Version>(), Err(NotAVersion("8.x".into())));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(numbers in proptest::collection::vec(any::<u64>(), 2..5)) {
            let version = Version(numbers);
            prop_assert_eq!(Version::find(&format!("tool {version} (x)")), Some(version));
        }
    }
}
