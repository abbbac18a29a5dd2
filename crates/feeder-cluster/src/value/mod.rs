//! The values a `cluster.toml` is made of. Each reads what [`std::fmt::Display`] writes.

mod address;
mod archive;
mod board;
mod disk;
mod label;
mod login;
mod mac;
mod name;
mod secret;
mod serial;
mod size;
mod system;
mod upstream;

pub(crate) use address::{address, name_server, subnet};
pub(crate) use archive::{archive, archive_key};
pub use board::{Availability, Board, DhcpMode, FileSystem, Root, SdCard};
pub use disk::DiskId;
pub use label::NodeLabel;
pub use login::{PasswordLogin, Sudo};
pub use mac::MacAddr;
pub use name::NodeName;
pub(crate) use name::user_name;
pub use secret::SecretRef;
pub(crate) use secret::SecretSource;
pub use serial::Serial;
pub use size::ByteSize;
pub use system::Journal;
pub(crate) use system::{folder, locale, package, public_key, time_zone};
pub(crate) use upstream::upstream;

/// A value that cannot be what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {wanted}: {why}")]
pub struct Invalid {
    /// What was given, with control characters escaped.
    pub value: String,
    /// What it should have been, with its article: `a MAC address`.
    pub wanted: &'static str,
    /// What keeps it from being that.
    pub why: String,
    /// How to write it, when that can be said.
    pub hint: Option<String>,
}

impl Invalid {
    pub(crate) fn new(value: &str, wanted: &'static str, why: impl Into<String>) -> Self {
        Self { value: shown(value), wanted, why: why.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Text of the user's as a message can carry it: a terminal escape in a file must not reach the terminal.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() })
        .collect()
}

/// Serialises a value as the text it displays.
macro_rules! serialize_as_text {
    ($($type:ty),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}
serialize_as_text!(
    Availability,
    Board,
    ByteSize,
    DhcpMode,
    DiskId,
    FileSystem,
    Journal,
    MacAddr,
    NodeLabel,
    NodeName,
    Root,
    SdCard,
    SecretRef,
    Serial,
    Sudo
);
