//! What differs. Pure: wanted and found in, changes out.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    Facts, Id, NotifyAction, Resource, Step, StepsError, check, compare, diff, resource::Access,
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

impl StepPlan {
    /// Changes that somebody else makes, to be shown among those of this host ([`Change::elsewhere`]).
    #[must_use]
    pub fn elsewhere(module: &str, changes: Vec<Change>) -> Self {
        Self {
            module: module.to_owned(),
            name: module.to_owned(),
            title: String::new(),
            after: Vec::new(),
            changes,
            notify: Vec::new(),
        }
    }
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
/// # Errors
/// The steps make no sense together.
pub fn plan(steps: &[Step], facts: &Facts) -> Result<HostPlan, StepsError> {
    let steps = check::check(steps)?;
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
            let Some(mut change) = compare::compare(resource, facts) else {
                this.as_wanted += 1;
                continue;
            };
            let id = resource.id();
            let hears = notifies.iter().filter(|notify| notify.hears(&id, resource.path()));
            change.owes = hears.map(|notify| notify.action.key()).collect();
            // Packages bring units, and do not tell systemd themselves.
            let package = matches!(resource, Resource::Package(_));
            if package || resource.path().is_some_and(crate::step::is_unit_source) {
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
    Ok(this)
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
    /// A change that somebody else makes, of something that no single host has. [`crate::apply`] refuses it.
    #[must_use]
    pub fn elsewhere(id: impl Into<String>, sign: Sign, text: impl Into<String>) -> Self {
        let refuse = Action::Refuse("this change is not made by applying a plan".to_owned());
        Self::new(Id(id.into()), sign, text.into(), refuse)
    }

    pub(crate) fn new(id: Id, sign: Sign, text: String, action: Action) -> Self {
        Self { id, sign, text: diff::visible(&text), diff: None, owes: Vec::new(), action }
    }

    pub(crate) fn of(resource: &Resource, sign: Sign, text: String) -> Self {
        Self::new(resource.id(), sign, text, Action::Resource(resource.clone()))
    }

    pub(crate) fn with_diff(mut self, diff: Option<String>) -> Self {
        self.diff = diff.filter(|diff| !diff.is_empty());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_make_no_sense_have_no_plan() {
        // Not an empty one, which would say that there is nothing to do.
        let steps = [Step::new("nfs").after("packages")];
        assert!(matches!(plan(&steps, &Facts::default()), Err(StepsError::UnknownStep { .. })));
    }
}
