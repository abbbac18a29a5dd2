//! How the user of the nodes logs in and becomes root.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// Whether sudo asks the user for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sudo {
    /// It does.
    WithPassword,
    /// It does not.
    WithoutPassword,
}

impl Sudo {
    /// Both.
    pub const ALL: [Self; 2] = [Self::WithPassword, Self::WithoutPassword];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WithPassword => "with-password",
            Self::WithoutPassword => "without-password",
        }
    }
}

impl fmt::Display for Sudo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Sudo {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|sudo| sudo.as_str() == text).ok_or_else(|| {
            let why = "known are `with-password`, `without-password`";
            Invalid::new(text, "a way to use sudo", why)
        })
    }
}

/// Whether one can log in over SSH with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordLogin {
    /// One can.
    Allowed,
    /// Keys alone open.
    Refused,
}

impl From<bool> for PasswordLogin {
    fn from(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Refused }
    }
}

impl fmt::Display for PasswordLogin {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "true",
            Self::Refused => "false",
        })
    }
}

impl serde::Serialize for PasswordLogin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(*self == Self::Allowed)
    }
}
