//! `cluster.toml`: what a cluster is made of, typed, with errors that point at the mistake.
//!
//! [`parse`] turns text into a [`Cluster`] or into [`Diagnostics`]: every mistake of the file at once, each with line and
//! column, what is wrong and what would be right. [`load`] does the reading; [`Settings`] are laid over what it read. The keys themselves are data ([`schema`]), so that
//! the reader, the page `docs/cluster.toml.md` and the JSON Schema beside it, which are generated, cannot disagree.
//!
//! A secret is in no file, text or value of this crate: [`SecretRef`] says where it is to be had, and is asked for it by whoever needs it.
//!
//! What is deliberately absent: anything that talks to a host, and anything that depends on how nodes are run.

mod check;
pub mod describe;
mod diagnostic;
mod error;
mod hide;
mod model;
mod read;
mod rules;
pub mod schema;
mod secret;
mod settings;
mod sources;
mod start;
mod syntax;
mod value;

pub use diagnostic::{Diagnostic, Diagnostics, Label, Position, Severity};
pub use error::LoadError;
pub use ipnet::Ipv4Net;
pub use model::{
    Archive, Cluster, Docker, Master, Network, Node, Registry, Share, Ssd, Swarm, System, Worker,
};
pub use secret::{Secret, SecretError};
pub use settings::{Setting, Settings, variable};
pub use start::Start;
pub use value::{
    Availability, Board, ByteSize, DhcpMode, DiskId, FileSystem, Invalid, Journal, MacAddr,
    NodeLabel, NodeName, PasswordLogin, Root, SdCard, SecretRef, Serial, Sudo,
};

use camino::Utf8Path;

/// A file that was understood.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What it says, with the defaults filled in.
    pub cluster: Cluster,
    /// What is allowed but probably not meant, such as a MAC address which no Raspberry Pi is known to have. May be empty.
    pub warnings: Diagnostics,
}

/// Reads the text of a `cluster.toml`; `file` is the name that errors show.
///
/// # Errors
/// Every mistake of the text, in the order in which it stands in the file, together with the warnings.
pub fn parse(text: &str, file: &str) -> Result<Parsed, Diagnostics> {
    parse_with(text, file, &Settings::default())
}

/// The same, with values that are set beside the file and count more.
///
/// # Errors
/// As [`parse`]; a mistake in what is set is shown where it was set.
pub fn parse_with(text: &str, file: &str, settings: &Settings) -> Result<Parsed, Diagnostics> {
    check::check(text, file, settings)
}

/// Reads a `cluster.toml` from disk.
///
/// # Errors
/// [`LoadError::Read`] when the file is absent, unreadable or not UTF-8; [`LoadError::Invalid`] for what is wrong in it.
pub fn load(path: &Utf8Path) -> Result<Parsed, LoadError> {
    load_with(path, &Settings::default())
}

/// The same, with values that are set beside the file and count more.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Utf8Path, settings: &Settings) -> Result<Parsed, LoadError> {
    let text = fs_err::read_to_string(path)
        .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    Ok(parse_with(&text, path.as_str(), settings)?)
}
