//! What differs. Pure: wanted and found in, changes out.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    Facts, Id, NotifyAction, Resource, Step, Unit, check, diff,
    facts::{Package, PathFact, PathKind, UnitFact},
    resource::{Access, File},
};

/// All hosts' differences.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// In the order in which they are shown.
    pub hosts: Vec<HostPlan>,
}

impl Plan {
    /// Whether every host is as wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.iter().all(HostPlan::is_empty)
    }
}

/// What differs on one host.
#[derive(Debug, Clone, Serialize)]
pub struct HostPlan {
    /// Its name.
    pub host: String,
    /// What else to say about it, as in "master, 192.168.10.100"; may be empty.
    pub about: String,
    /// Resources that are as wanted.
    pub as_wanted: usize,
    /// All steps, those without a change too, in the order in which they are applied.
    pub steps: Vec<StepPlan>,
}

impl HostPlan {
    /// Says more about the host in what is shown.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    /// How much there is to do.
    #[must_use]
    pub fn to_change(&self) -> usize {
        self.steps.iter().map(|step| step.changes.len()).sum()
    }

    /// Whether the host is as wanted and nothing is owed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to_change() == 0
    }

    /// Every change with its step's name.
    pub fn changes(&self) -> impl Iterator<Item = (&str, &Change)> {
        self.steps.iter().flat_map(|step| step.changes.iter().map(|c| (step.name.as_str(), c)))
    }
}

/// What differs in one step.
#[derive(Debug, Clone, Serialize)]
pub struct StepPlan {
    /// The module it comes from.
    pub module: String,
    /// Its name, unique on the host.
    pub name: String,
    /// What it is for.
    pub title: String,
    /// Steps that must have worked before.
    pub after: Vec<String>,
    /// In the order in which they are made.
    pub changes: Vec<Change>,
    /// Everything that the step may owe, foreseen or not: a package can start a daemon that must then be restarted.
    #[serde(skip)]
    pub(crate) notify: Vec<NotifyAction>,
}

/// One difference and what will be done about it.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Of the resource.
    pub id: Id,
    /// What kind of change.
    pub sign: Sign,
    /// For people: `file /etc/hosts`, `unit ssh.service: enable, start`. No secrets.
    pub text: String,
    /// Lines that go, come and stay; absent for secrets and for what is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// What is owed when it changed: names in the host's list.
    #[serde(skip)]
    pub(crate) owes: Vec<String>,
    #[serde(skip)]
    pub(crate) action: Action,
}

/// The kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// `+`: something new.
    Add,
    /// `~`: something becomes different.
    Change,
    /// `-`: something goes.
    Remove,
    /// `!`: cannot be changed as things are; applying fails here.
    Blocked,
}

/// What applying a change does.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Resource(Resource),
    /// Mode and owner of a path whose content is right.
    Access(camino::Utf8PathBuf, Access),
    Unit(String, Vec<UnitVerb>),
    Notify(NotifyAction),
    DaemonReload,
    Refuse(String),
}

/// A word to `systemctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitVerb {
    Unmask,
    Enable,
    Disable,
    Stop,
    Mask,
    Start,
}

impl UnitVerb {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unmask => "unmask",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Stop => "stop",
            Self::Mask => "mask",
            Self::Start => "start",
        }
    }
}

/// The host's list of what is owed holds this when systemd has not read its units again.
pub(crate) const DAEMON_RELOAD: &str = "daemon-reload";

/// Compares. `facts` must be about the same steps.
///
/// Steps that make no sense give a plan for none of them; [`crate::gather`] refuses them with a reason.
#[must_use]
pub fn plan(steps: &[Step], facts: &Facts) -> HostPlan {
    let steps = check::check(steps).unwrap_or_default();
    let mut this = HostPlan {
        host: facts.host.clone(),
        about: String::new(),
        as_wanted: 0,
        steps: Vec::new(),
    };
    let notifies: Vec<_> = steps.iter().flat_map(|step| &step.notify).collect();
    let mut owed: BTreeSet<String> = facts.pending.clone();
    for step in &steps {
        let mut changes = Vec::new();
        for resource in &step.resources {
            let Some(mut change) = compare(resource, facts) else {
                this.as_wanted += 1;
                continue;
            };
            let id = resource.id();
            let hears = notifies.iter().filter(|notify| notify.hears(&id, resource.path()));
            change.owes = hears.map(|notify| notify.action.key()).collect();
            if resource.path().is_some_and(crate::step::is_unit_source) {
                change.owes.push(DAEMON_RELOAD.into());
            }
            owed.extend(change.owes.iter().cloned());
            changes.push(change);
        }
        let started = starts(&changes);
        for notify in &step.notify {
            // A start reads the new configuration: nothing more to say.
            if owed.remove(&notify.action.key()) && !started.contains(notify_unit(&notify.action)) {
                changes.push(notification(&notify.action));
            }
        }
        this.steps.push(StepPlan {
            module: step.module.clone(),
            name: step.name.clone(),
            title: step.title.clone(),
            after: step.after.clone(),
            changes,
            notify: step.notify.iter().map(|notify| notify.action.clone()).collect(),
        });
    }
    left_over_reload(&mut this, facts);
    this
}

/// Every script reads the units again when that is owed. When it is owed and nothing else is to be done, it is the
/// change.
fn left_over_reload(plan: &mut HostPlan, facts: &Facts) {
    if plan.is_empty()
        && facts.pending.contains(DAEMON_RELOAD)
        && let Some(step) = plan.steps.first_mut()
    {
        step.changes.push(Change::new(
            Id(DAEMON_RELOAD.into()),
            Sign::Change,
            "systemd: read units again".into(),
            Action::DaemonReload,
        ));
    }
}

fn starts(changes: &[Change]) -> BTreeSet<String> {
    changes
        .iter()
        .filter_map(|change| match &change.action {
            Action::Unit(name, verbs) if verbs.contains(&UnitVerb::Start) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

fn notify_unit(action: &NotifyAction) -> &str {
    match action {
        NotifyAction::Restart(unit) | NotifyAction::Reload(unit) => unit,
        NotifyAction::Run { .. } => "",
    }
}

fn notification(action: &NotifyAction) -> Change {
    let text = match action {
        NotifyAction::Restart(unit) => format!("unit {unit}: restart"),
        NotifyAction::Reload(unit) => format!("unit {unit}: reload"),
        NotifyAction::Run { summary, .. } => summary.clone(),
    };
    Change::new(Id(action.key()), Sign::Change, text, Action::Notify(action.clone()))
}

impl Change {
    fn new(id: Id, sign: Sign, text: String, action: Action) -> Self {
        Self { id, sign, text: diff::visible(&text), diff: None, owes: Vec::new(), action }
    }

    fn of(resource: &Resource, sign: Sign, text: String) -> Self {
        Self::new(resource.id(), sign, text, Action::Resource(resource.clone()))
    }

    fn with_diff(mut self, diff: Option<String>) -> Self {
        self.diff = diff.filter(|diff| !diff.is_empty());
        self
    }
}

fn compare(resource: &Resource, facts: &Facts) -> Option<Change> {
    let at = resource.path().and_then(|path| facts.paths.get(path));
    match resource {
        Resource::Package(name) => package(resource, name, facts.packages.get(name)),
        Resource::File(file) => regular_file(resource, file, at),
        Resource::Directory(directory) => {
            let path = &directory.path;
            match at {
                None => Some(Change::of(resource, Sign::Add, format!("directory {path}"))),
                Some(PathFact { kind: PathKind::Directory, .. }) => {
                    access(resource, "directory", &directory.access, at?)
                }
                Some(other) => Some(blocked(resource, format!("directory {path}"), other)),
            }
        }
        Resource::Symlink(link) => {
            let text = format!("link {} → {}", link.path, link.target);
            match at.map(|fact| &fact.kind) {
                None => Some(Change::of(resource, Sign::Add, text)),
                Some(PathKind::Link { target: Some(target) }) if *target == link.target => None,
                Some(PathKind::Link { target }) => {
                    let was = target.as_deref().unwrap_or("elsewhere");
                    Some(Change::of(resource, Sign::Change, format!("{text} (was {was})")))
                }
                Some(PathKind::File { .. }) => {
                    Some(Change::of(resource, Sign::Change, format!("{text} (was a file)")))
                }
                Some(_) => Some(blocked(resource, text, at?)),
            }
        }
        Resource::Absent(absent) => {
            let path = &absent.path;
            let kind = match &at?.kind {
                PathKind::File { .. } => "file",
                PathKind::Link { .. } => "link",
                PathKind::Directory if absent.tree => "directory and all in it:",
                PathKind::Directory => "directory",
                PathKind::Other => "special file",
            };
            Some(Change::of(resource, Sign::Remove, format!("{kind} {path}")))
        }
        Resource::Unit(wanted) => unit(resource, wanted, facts.units.get(&wanted.name)),
        Resource::Hostname(name) => {
            let found = facts.hostname.clone().unwrap_or_default();
            if (found.0.as_str(), found.1.as_str()) == (&name.0, &name.0) {
                return None;
            }
            let was = if found.0 == name.0 { found.1 } else { found.0 };
            Some(Change::of(resource, Sign::Change, format!("hostname {was} → {}", name.0)))
        }
        Resource::Task(task) => {
            let (sign, state) = match facts.tasks.get(&task.id) {
                Some(fact) if fact.status == 0 && fact.state == task.wanted => return None,
                Some(fact) if fact.status != 0 => (Sign::Change, "unknown".to_owned()),
                Some(fact) if !matches!(fact.state.as_str(), "" | "absent") => {
                    (Sign::Change, fact.state.clone())
                }
                Some(_) | None => (Sign::Add, String::new()),
            };
            let text = match sign {
                Sign::Add => task.summary.clone(),
                _ if task.wanted.is_empty() => format!("{}: {state} → nothing", task.summary),
                _ => format!("{}: {state} → {}", task.summary, task.wanted),
            };
            Some(Change::of(resource, sign, text))
        }
    }
}

fn package(resource: &Resource, name: &str, found: Option<&Package>) -> Option<Change> {
    match found {
        Some(package) if package.installed() => None,
        // Half installed: an interrupted run. Removed with its configuration kept counts as not there.
        Some(package) if !matches!(package.status.get(1..), Some("n" | "c")) => {
            let text = format!("package {name}: finish its installation ({})", package.status);
            Some(Change::of(resource, Sign::Change, text))
        }
        _ => Some(Change::of(resource, Sign::Add, format!("package {name}"))),
    }
}

fn regular_file(resource: &Resource, file: &File, at: Option<&PathFact>) -> Option<Change> {
    let path = &file.path;
    let wanted = file.content.bytes();
    let shown = |old: &[u8]| if file.secret { None } else { diff::lines(old, wanted) };
    let Some(fact) = at else {
        let text = if file.secret {
            format!("file {path} ({:04o}, secret)", file.access.mode)
        } else {
            format!("file {path} ({:04o}, {} bytes)", file.access.mode, wanted.len())
        };
        return Some(Change::of(resource, Sign::Add, text).with_diff(shown(b"")));
    };
    let (size, sum, content) = match &fact.kind {
        PathKind::File { size, sha256, content } => (*size, sha256, content),
        PathKind::Link { .. } => {
            let text = format!("file {path} (was a link)");
            return Some(Change::of(resource, Sign::Change, text).with_diff(shown(b"")));
        }
        PathKind::Directory | PathKind::Other => {
            return Some(blocked(resource, format!("file {path}"), fact));
        }
    };
    if sum.as_ref() == Some(&file.content.sha256()) {
        return access(resource, "file", &file.access, fact);
    }
    let diff = content.as_ref().and_then(|old| shown(old));
    let mut notes: Vec<String> = access_notes(&file.access, fact);
    if file.secret {
        notes.push("secret".into());
    } else if diff.is_none() {
        notes.push(format!("{size} bytes become {} others", wanted.len()));
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    Some(Change::of(resource, Sign::Change, format!("file {path}{notes}")).with_diff(diff))
}

fn blocked(resource: &Resource, text: String, fact: &PathFact) -> Change {
    let what = match fact.kind {
        PathKind::File { .. } => "a file",
        PathKind::Directory => "a directory",
        PathKind::Link { .. } => "a link",
        PathKind::Other => "a device, socket or pipe",
    };
    let why = format!("{what} is in the way");
    Change::new(resource.id(), Sign::Blocked, format!("{text}: {why}"), Action::Refuse(why))
}

fn access(resource: &Resource, kind: &str, wanted: &Access, fact: &PathFact) -> Option<Change> {
    let notes = access_notes(wanted, fact);
    let path = resource.path()?;
    (!notes.is_empty()).then(|| {
        let text = format!("{kind} {path} ({})", notes.join(", "));
        let action = Action::Access(path.to_owned(), wanted.clone());
        Change::new(resource.id(), Sign::Change, text, action)
    })
}

fn access_notes(wanted: &Access, fact: &PathFact) -> Vec<String> {
    let mut notes = Vec::new();
    if fact.mode != wanted.mode {
        notes.push(format!("mode {:04o} → {:04o}", fact.mode, wanted.mode));
    }
    let is = |wanted: &str, (id, name): &(String, String)| wanted == id || wanted == name;
    if !is(&wanted.user, &fact.user) || !is(&wanted.group, &fact.group) {
        let (user, group) = (&fact.user.1, &fact.group.1);
        notes.push(format!("owner {user}:{group} → {}:{}", wanted.user, wanted.group));
    }
    notes
}

fn unit(resource: &Resource, wanted: &Unit, found: Option<&UnitFact>) -> Option<Change> {
    let unknown = UnitFact::default();
    let found = found.unwrap_or(&unknown);
    let masked = found.load == "masked" || found.file.starts_with("masked");
    // What cannot be enabled is started by whatever it belongs to.
    let enabled = matches!(
        found.file.as_str(),
        "enabled" | "static" | "alias" | "indirect" | "generated" | "transient"
    );
    let can_start_at_boot =
        matches!(found.file.as_str(), "enabled" | "enabled-runtime" | "linked" | "linked-runtime");
    let active = matches!(found.active.as_str(), "active" | "reloading" | "refreshing");
    let stopped = matches!(found.active.as_str(), "inactive" | "failed" | "");
    let verbs: Vec<UnitVerb> = [
        (wanted.masked == Some(false) && masked, UnitVerb::Unmask),
        (wanted.enabled == Some(true) && !enabled, UnitVerb::Enable),
        (wanted.enabled == Some(false) && can_start_at_boot, UnitVerb::Disable),
        (wanted.active == Some(false) && !stopped, UnitVerb::Stop),
        (wanted.masked == Some(true) && !masked, UnitVerb::Mask),
        (wanted.active == Some(true) && !active, UnitVerb::Start),
    ]
    .into_iter()
    .filter_map(|(needed, verb)| needed.then_some(verb))
    .collect();
    if verbs.is_empty() {
        return None;
    }
    let words: Vec<&str> = verbs.iter().map(|verb| verb.word()).collect();
    let was = if found.active == "failed" { " (it failed)" } else { "" };
    let text = format!("unit {}: {}{was}", wanted.name, words.join(", "));
    Some(Change::new(resource.id(), Sign::Change, text, Action::Unit(wanted.name.clone(), verbs)))
}
