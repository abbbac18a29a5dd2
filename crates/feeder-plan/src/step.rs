//! Resources that belong together, and what to do when they change.

use camino::Utf8Path;

use crate::{Id, Resource};

/// A group of resources that is applied in one go, in the order given; the first failure ends it.
///
/// Packages of a step are installed together, at the place of the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The module it comes from, as plans show it.
    pub module: String,
    /// Unique on the host; the module's name unless a module has several steps.
    pub name: String,
    /// What it is for, in a few words; may be empty.
    pub title: String,
    /// What should be so.
    pub resources: Vec<Resource>,
    /// What to do after some of them changed.
    pub notify: Vec<Notify>,
    /// Names of steps that must have worked before.
    pub after: Vec<String>,
}

impl Step {
    /// An empty step of that module and name.
    pub fn new(module: impl Into<String>) -> Self {
        let module = module.into();
        Self {
            name: module.clone(),
            module,
            title: String::new(),
            resources: Vec::new(),
            notify: Vec::new(),
            after: Vec::new(),
        }
    }

    /// Its own name, when the module has several steps.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What it is for, in a few words.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// One more resource.
    #[must_use]
    pub fn with(mut self, resource: impl Into<Resource>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// More resources.
    #[must_use]
    pub fn with_all<R: Into<Resource>>(mut self, resources: impl IntoIterator<Item = R>) -> Self {
        self.resources.extend(resources.into_iter().map(Into::into));
        self
    }

    /// More packages.
    #[must_use]
    pub fn packages<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.with_all(names.into_iter().map(Resource::package))
    }

    /// Something to do when a resource changed.
    #[must_use]
    pub fn notify(mut self, notify: Notify) -> Self {
        self.notify.push(notify);
        self
    }

    /// Comes after that step, and not at all when that one failed.
    #[must_use]
    pub fn after(mut self, step: impl Into<String>) -> Self {
        self.after.push(step.into());
        self
    }
}

/// What to do, at the end of the step, after one of some resources changed: in this step or in an earlier one, in this
/// run or in one that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Done once, however many changed.
    pub action: NotifyAction,
    /// Paths, or resources by [`Id`] (`package:dnsmasq`).
    pub on: Vec<String>,
}

/// What a change calls for.
#[derive(Clone, PartialEq, Eq)]
pub enum NotifyAction {
    /// Restart this unit; start it when it does not run.
    Restart(String),
    /// Let this unit read its configuration again; restart it when it cannot, start it when it does not run.
    Reload(String),
    /// Run a script. It is run again when it was cut off.
    Run {
        /// Unique on the host.
        id: String,
        /// What it does, for people.
        summary: String,
        /// POSIX sh, run with `set -e`.
        script: String,
    },
}

impl std::fmt::Debug for NotifyAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.key())
    }
}

impl NotifyAction {
    /// Its name in the host's list of what is owed, a file name.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Restart(unit) => format!("restart:{unit}"),
            Self::Reload(unit) => format!("reload:{unit}"),
            Self::Run { id, .. } => format!("run:{id}"),
        }
    }
}

impl Notify {
    /// Restart a unit.
    pub fn restart(unit: impl Into<String>) -> Self {
        Self { action: NotifyAction::Restart(unit.into()), on: Vec::new() }
    }

    /// Reload a unit.
    pub fn reload(unit: impl Into<String>) -> Self {
        Self { action: NotifyAction::Reload(unit.into()), on: Vec::new() }
    }

    /// Run a script.
    pub fn run(
        id: impl Into<String>,
        summary: impl Into<String>,
        script: impl Into<String>,
    ) -> Self {
        let (id, summary, script) = (id.into(), summary.into(), script.into());
        Self { action: NotifyAction::Run { id, summary, script }, on: Vec::new() }
    }

    /// When one of these changed: absolute paths, or ids.
    #[must_use]
    pub fn when<S: Into<String>>(mut self, on: impl IntoIterator<Item = S>) -> Self {
        self.on.extend(on.into_iter().map(Into::into));
        self
    }

    /// Whether it waits for a change of that resource.
    pub(crate) fn hears(&self, id: &Id, path: Option<&Utf8Path>) -> bool {
        self.on.iter().any(|on| on == id.as_str() || path.is_some_and(|path| path == on.as_str()))
    }
}

/// Whether systemd must read its units again after a change of that path.
pub(crate) fn is_unit_source(path: &Utf8Path) -> bool {
    const SOURCES: &[&str] = &[
        "/etc/systemd/system",
        "/run/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
        "/etc/fstab",
    ];
    SOURCES.iter().any(|source| path.starts_with(source))
}
