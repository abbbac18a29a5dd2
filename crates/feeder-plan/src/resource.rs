//! What can be wanted of a host.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Names a resource within a host: its kind and what it is about, as in `file:/etc/hosts` or `unit:ssh.service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(pub(crate) String);

impl Id {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that should be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A Debian package that is installed, in whatever version apt prefers. Its recommendations are not.
    Package(String),
    /// A regular file.
    File(File),
    /// A folder.
    Directory(Directory),
    /// A symbolic link.
    Symlink(Symlink),
    /// Nothing at a path.
    Absent(Absent),
    /// A systemd unit's state.
    Unit(Unit),
    /// The host's name.
    Hostname(Hostname),
    /// Anything else: a probe that prints the state, and a script that brings it about.
    Task(Task),
}

impl Resource {
    /// A package by name.
    pub fn package(name: impl Into<String>) -> Self {
        Self::Package(name.into())
    }

    /// Its name within the host.
    #[must_use]
    pub fn id(&self) -> Id {
        Id(match self {
            Self::Package(name) => format!("package:{name}"),
            Self::File(file) => format!("file:{}", file.path),
            Self::Directory(directory) => format!("directory:{}", directory.path),
            Self::Symlink(link) => format!("link:{}", link.path),
            Self::Absent(absent) => format!("absent:{}", absent.path),
            Self::Unit(unit) => format!("unit:{}", unit.name),
            Self::Hostname(_) => "hostname".to_owned(),
            Self::Task(task) => format!("task:{}", task.id),
        })
    }

    /// The path it claims, if it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Utf8Path> {
        match self {
            Self::File(file) => Some(&file.path),
            Self::Directory(directory) => Some(&directory.path),
            Self::Symlink(link) => Some(&link.path),
            Self::Absent(absent) => Some(&absent.path),
            Self::Package(_) | Self::Unit(_) | Self::Hostname(_) | Self::Task(_) => None,
        }
    }
}

macro_rules! resources {
    ($($kind:ident)*) => { $(
        impl From<$kind> for Resource {
            fn from(it: $kind) -> Self { Self::$kind(it) }
        }
    )* };
}
resources!(File Directory Symlink Absent Unit Hostname Task);

/// Bytes of a file. Never shown by `Debug`, secret or not.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(pub(crate) Vec<u8>);

impl Content {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn sha256(&self) -> String {
        Sha256::digest(&self.0).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}

/// Permission bits and owner of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) user: String,
    pub(crate) group: String,
}

impl Access {
    fn root(mode: u32) -> Self {
        Self { mode, user: "root".into(), group: "root".into() }
    }
}

/// A regular file with this content. Missing parent folders are made, for all to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub(crate) path: Utf8PathBuf,
    pub(crate) content: Content,
    pub(crate) access: Access,
    pub(crate) secret: bool,
}

impl File {
    /// Mode 0644, of root.
    pub fn new(path: impl Into<Utf8PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        let (path, content) = (path.into(), Content(content.into()));
        Self { path, content, access: Access::root(0o644), secret: false }
    }

    /// Permission bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.access.mode = mode;
        self
    }

    /// User and group, by name or number.
    #[must_use]
    pub fn owner(mut self, user: impl Into<String>, group: impl Into<String>) -> Self {
        (self.access.user, self.access.group) = (user.into(), group.into());
        self
    }

    /// Its content is shown nowhere and never leaves the host again; its mode becomes 0600 unless set after this.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self.access.mode = 0o600;
        self
    }
}

/// A folder. Missing parents are made, for all to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    pub(crate) path: Utf8PathBuf,
    pub(crate) access: Access,
}

impl Directory {
    /// Mode 0755, of root.
    pub fn new(path: impl Into<Utf8PathBuf>) -> Self {
        Self { path: path.into(), access: Access::root(0o755) }
    }

    /// Permission bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.access.mode = mode;
        self
    }

    /// User and group, by name or number.
    #[must_use]
    pub fn owner(mut self, user: impl Into<String>, group: impl Into<String>) -> Self {
        (self.access.user, self.access.group) = (user.into(), group.into());
        self
    }
}

/// A symbolic link; takes the place of a file, not of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symlink {
    pub(crate) path: Utf8PathBuf,
    pub(crate) target: String,
}

impl Symlink {
    /// A link at `path` that holds `target`, which need not exist.
    pub fn new(path: impl Into<Utf8PathBuf>, target: impl Into<String>) -> Self {
        Self { path: path.into(), target: target.into() }
    }
}

/// Nothing at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    pub(crate) path: Utf8PathBuf,
    pub(crate) tree: bool,
}

impl Absent {
    /// Removes a file, a link, or a folder that is empty.
    pub fn new(path: impl Into<Utf8PathBuf>) -> Self {
        Self { path: path.into(), tree: false }
    }

    /// Removes a folder with all that is in it, too. It must lie at least two folders deep.
    pub fn tree(path: impl Into<Utf8PathBuf>) -> Self {
        Self { path: path.into(), tree: true }
    }
}

/// The state of a systemd unit. What is not set does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub(crate) name: String,
    pub(crate) enabled: Option<bool>,
    pub(crate) active: Option<bool>,
    pub(crate) masked: Option<bool>,
}

impl Unit {
    /// By full name, as in `ssh.service`; a template needs its instance.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), enabled: None, active: None, masked: None }
    }

    /// Starts at boot. Units that cannot be enabled because something else pulls them in count as enabled.
    #[must_use]
    pub fn enabled(mut self) -> Self {
        (self.enabled, self.masked) = (Some(true), Some(false));
        self
    }

    /// Does not start at boot by itself.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.enabled = Some(false);
        self
    }

    /// Runs now. Not for one-shots that end as inactive.
    #[must_use]
    pub fn active(mut self) -> Self {
        (self.active, self.masked) = (Some(true), Some(false));
        self
    }

    /// Does not run now.
    #[must_use]
    pub fn inactive(mut self) -> Self {
        self.active = Some(false);
        self
    }

    /// Cannot be started by anything, and does not run.
    #[must_use]
    pub fn masked(mut self) -> Self {
        (self.masked, self.active, self.enabled) = (Some(true), Some(false), None);
        self
    }
}

/// The host's name, now and after a reboot. `/etc/hosts` is a file like others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostname(pub(crate) String);

impl Hostname {
    /// Without a domain.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

/// Anything that has a state one can ask for in shell and a script that brings about the wanted one.
///
/// `Debug` shows neither script: they may carry secrets. The state and what is wanted are shown in plans.
#[derive(Clone, PartialEq, Eq)]
pub struct Task {
    pub(crate) id: String,
    pub(crate) summary: String,
    pub(crate) probe: String,
    pub(crate) wanted: String,
    pub(crate) apply: String,
}

impl Task {
    /// `id` is unique on the host; `summary` says what is wanted, as in "worker cluster01: state image 8 GiB".
    pub fn new(id: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            summary: summary.into(),
            probe: "echo absent".into(),
            wanted: "present".into(),
            apply: "true".into(),
        }
    }

    /// A script that prints the state as one line. It must change nothing and be quick. Printing nothing or `absent`
    /// means that there is nothing yet; a status other than 0 means that the state is not known, and never as wanted.
    #[must_use]
    pub fn probe(mut self, script: impl Into<String>) -> Self {
        self.probe = script.into();
        self
    }

    /// The line that the probe prints when all is well. Without this it is `present`.
    #[must_use]
    pub fn wanted(mut self, state: impl Into<String>) -> Self {
        self.wanted = state.into();
        self
    }

    /// A script, run with `set -e`, after which the probe prints what is wanted. It may be cut off anywhere and is
    /// then run again. A long one says how far it is by lines `feeder-progress BYTES TOTAL`.
    #[must_use]
    pub fn apply(mut self, script: impl Into<String>) -> Self {
        self.apply = script.into();
        self
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, summary, wanted, .. } = self;
        f.debug_struct("Task")
            .field("id", id)
            .field("summary", summary)
            .field("wanted", wanted)
            .finish_non_exhaustive()
    }
}
