//! Closed sets of names: boards, ways to hand out addresses, file systems, what becomes of an SD card, who takes tasks.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown};

/// The model of a board, as far as booting differs by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Board {
    /// Raspberry Pi 3 Model B: `3b`.
    Pi3B,
    /// Raspberry Pi 3 Model B+: `3b+`.
    Pi3BPlus,
}

impl Board {
    /// Every board that can be named.
    pub const ALL: [Self; 2] = [Self::Pi3B, Self::Pi3BPlus];

    /// Its name in `cluster.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pi3B => "3b",
            Self::Pi3BPlus => "3b+",
        }
    }

    /// Whether serial number and MAC address end in the same 24 bits (true from the first board to the 3B+, false since the 4).
    pub const fn serial_ends_like_mac(self) -> bool {
        match self {
            Self::Pi3B | Self::Pi3BPlus => true,
        }
    }
}

/// Who hands out addresses on the cluster's segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DhcpMode {
    /// `proxy`: a router does; the master only adds what booting needs.
    Proxy,
}

impl DhcpMode {
    /// Every mode that can be named.
    pub const ALL: [Self; 1] = [Self::Proxy];

    /// Its name in `cluster.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
        }
    }
}

/// The file system of the master's root on its SSD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileSystem {
    /// `ext4`
    Ext4,
    /// `f2fs`
    F2fs,
}

impl FileSystem {
    /// Every file system that can be named.
    pub const ALL: [Self; 2] = [Self::Ext4, Self::F2fs];

    /// Its name in `cluster.toml` and to `mount`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::F2fs => "f2fs",
        }
    }
}

/// What becomes of the SD card when the master has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SdCard {
    /// `kept`: it stays in its slot and holds what starts the board, which then goes on from the SSD.
    Kept,
    /// `removed`: somebody takes it out.
    Removed,
}

impl SdCard {
    /// Everything that can become of it.
    pub const ALL: [Self; 2] = [Self::Kept, Self::Removed];

    /// Its name in `cluster.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Removed => "removed",
        }
    }
}

/// What a worker has as its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Root {
    /// `shared`: that of a generation, which no worker changes, with its own state laid over it.
    Shared,
    /// `copy`: a copy of that of a generation, which is its own.
    Copy,
}

impl Root {
    /// Everything that it can be.
    pub const ALL: [Self; 2] = [Self::Shared, Self::Copy];

    /// Its name in `cluster.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Copy => "copy",
        }
    }
}

/// Whether a node of a swarm takes tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Availability {
    /// `active`: it does.
    Active,
    /// `pause`: it keeps those that it has.
    Pause,
    /// `drain`: it gives away those that it has.
    Drain,
}

impl Availability {
    /// Every kind that can be named.
    pub const ALL: [Self; 3] = [Self::Active, Self::Pause, Self::Drain];

    /// Its name in `cluster.toml` and to Docker.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Availability {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(&Self::ALL, Self::as_str, text, "an availability")
    }
}

fn choose<T: Copy>(
    all: &[T],
    name: fn(T) -> &'static str,
    text: &str,
    wanted: &'static str,
) -> Result<T, Invalid> {
    if let Some(found) = all.iter().find(|choice| name(**choice) == text) {
        return Ok(*found);
    }
    let known: Vec<String> = all.iter().map(|choice| format!("`{}`", name(*choice))).collect();
    let why = match known.as_slice() {
        [only] => format!("{only} is the only one"),
        known => format!("known are {}", known.join(", ")),
    };
    let lower = text.to_lowercase();
    let nearest = all
        .iter()
        .map(|choice| name(*choice))
        .find(|name| strsim::damerau_levenshtein(name, &lower) <= name.len() / 3);
    let invalid = Invalid::new(&shown(text), wanted, why);
    Err(match nearest {
        Some(nearest) => invalid.hint(format!("did you mean `{nearest}`?")),
        None => invalid,
    })
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Board {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(&Self::ALL, Self::as_str, text, "a known board")
    }
}

impl fmt::Display for DhcpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DhcpMode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(&Self::ALL, Self::as_str, text, "a known way to hand out addresses")
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for FileSystem {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(&Self::ALL, Self::as_str, text, "a file system for the master's root")
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Root {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(&Self::ALL, Self::as_str, text, "a kind of root")
    }
}

impl fmt::Display for SdCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for SdCard {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        choose(&Self::ALL, Self::as_str, text, "something that becomes of an SD card")
    }
}
