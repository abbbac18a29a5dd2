//! One resource, wanted and found.

use crate::{
    Change, Facts, Resource, Sign, Unit, diff,
    facts::{Package, PathFact, PathKind, UnitFact},
    plan::{Action, UnitVerb},
    resource::{Access, File},
};

/// What is to be done about a resource; `None` when it is as wanted.
pub(crate) fn compare(resource: &Resource, facts: &Facts) -> Option<Change> {
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
