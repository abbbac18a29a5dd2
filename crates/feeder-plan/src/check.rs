//! Steps that make sense together, in an order that works.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use feeder_ui::{Exit, Expected};

use crate::{NotifyAction, Resource, Step};

/// Why a list of steps cannot be a host's desired state. A mistake in a module, or two modules that disagree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// Two steps want different things of the same path, unit or name.
    #[error("{what} is claimed twice with different content: by {first} and by {second}")]
    Conflict {
        /// What they disagree about.
        what: String,
        /// The module that came first, with its step.
        first: String,
        /// The other one; may be the same.
        second: String,
    },
    /// Something is wanted in a folder that somebody else wants to be something else, or not to be there.
    #[error(
        "{inner}, which {second} wants, cannot be below {outer}, which {first} wants to be {kind}"
    )]
    Below {
        /// The upper path.
        outer: String,
        /// What is wanted there.
        kind: &'static str,
        /// The lower path.
        inner: String,
        /// Who claims the upper path.
        first: String,
        /// Who claims the lower one.
        second: String,
    },
    /// A unit that is restarted and must not run.
    #[error("{unit} is masked by {first} and restarted by {second}")]
    Masked {
        /// The unit.
        unit: String,
        /// Who does not want it.
        first: String,
        /// Who wants it.
        second: String,
    },
    /// Two steps of one name.
    #[error("there are two steps named `{0}`")]
    SameName(String),
    /// A step wants to come after one that does not exist.
    #[error("step `{step}` comes after `{after}`, which is no step of this host")]
    UnknownStep {
        /// Who wants it.
        step: String,
        /// What is missing.
        after: String,
    },
    /// Steps that wait for each other.
    #[error("steps wait for each other: {}", .0.join(", "))]
    Circle(Vec<String>),
    /// A notification that waits for a resource of this host which comes later, or for none at all.
    #[error(
        "step `{step}` waits for changes of `{on}`, which is no resource of this step or an earlier one"
    )]
    UnknownSource {
        /// Who waits.
        step: String,
        /// For what.
        on: String,
    },
    /// A name or path that cannot be one.
    #[error("`{name}` in step `{step}` cannot be used: {why}")]
    BadName {
        /// Where.
        step: String,
        /// What.
        name: String,
        /// Why not.
        why: &'static str,
    },
}

impl Expected for StepsError {
    fn exit(&self) -> Exit {
        Exit::Input
    }
}

/// The steps in the order in which they are applied (as given, but each after those it waits for), each resource only
/// where it is wanted first.
pub(crate) fn check(steps: &[Step]) -> Result<Vec<Step>, StepsError> {
    for step in steps {
        names(step)?;
    }
    let mut ordered = order(steps)?;
    // What two things may not share: a path, whatever is wanted there; a name of one kind.
    let mut owners: BTreeMap<String, (Resource, Owner)> = BTreeMap::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for step in &mut ordered {
        let mut waits_for = Vec::new();
        let mut kept = Vec::new();
        for resource in std::mem::take(&mut step.resources) {
            let key =
                resource.path().map_or_else(|| resource.id().0, |path| format!("path {path}"));
            match owners.get(&key) {
                Some((same, owner)) if *same == resource => {
                    // Whoever wants it too depends on the step that brings it.
                    waits_for.push(owner.step.clone());
                }
                Some((_, owner)) => {
                    return Err(StepsError::Conflict {
                        what: resource.path().map_or_else(|| resource.id().0, ToString::to_string),
                        first: owner.called(),
                        second: called(&step.module, &step.name),
                    });
                }
                None => {
                    seen.insert(resource.id().0);
                    seen.extend(resource.path().map(ToString::to_string));
                    let owner = Owner { module: step.module.clone(), step: step.name.clone() };
                    owners.insert(key, (resource.clone(), owner));
                    kept.push(resource);
                }
            }
        }
        step.resources = kept;
        for owner in waits_for {
            if owner != step.name && !step.after.contains(&owner) {
                step.after.push(owner);
            }
        }
        if let Some(on) =
            step.notify.iter().flat_map(|notify| &notify.on).find(|on| !seen.contains(*on))
        {
            return Err(StepsError::UnknownSource { step: step.name.clone(), on: on.clone() });
        }
    }
    below(&owners)?;
    masked(&owners, &ordered)?;
    Ok(ordered)
}

/// Who claims something.
struct Owner {
    module: String,
    step: String,
}

impl Owner {
    fn called(&self) -> String {
        called(&self.module, &self.step)
    }
}

/// A module, and its step when that is another word.
fn called(module: &str, step: &str) -> String {
    if module == step {
        format!("module `{module}`")
    } else {
        format!("module `{module}` (step `{step}`)")
    }
}

/// Nothing is wanted below a path that is to be no folder.
fn below(owners: &BTreeMap<String, (Resource, Owner)>) -> Result<(), StepsError> {
    let claims: BTreeMap<&Utf8Path, &(Resource, Owner)> =
        owners.values().filter_map(|claim| Some((claim.0.path()?, claim))).collect();
    for (path, (inner, second)) in &claims {
        // Nothing may well be wanted where nothing is.
        if matches!(inner, Resource::Absent(_)) {
            continue;
        }
        for outer in path.ancestors().skip(1) {
            let Some((resource, first)) = claims.get(outer) else { continue };
            let kind = match resource {
                Resource::File(_) => "a file",
                Resource::Absent(_) => "absent",
                // A link may lead to a folder.
                _ => continue,
            };
            return Err(StepsError::Below {
                outer: outer.to_string(),
                kind,
                inner: path.to_string(),
                first: first.called(),
                second: second.called(),
            });
        }
    }
    Ok(())
}

/// No unit is restarted that is masked.
fn masked(owners: &BTreeMap<String, (Resource, Owner)>, steps: &[Step]) -> Result<(), StepsError> {
    for step in steps {
        for notify in &step.notify {
            let (NotifyAction::Restart(unit) | NotifyAction::Reload(unit)) = &notify.action else {
                continue;
            };
            if let Some((Resource::Unit(wanted), owner)) = owners.get(&format!("unit:{unit}"))
                && wanted.masked == Some(true)
            {
                return Err(StepsError::Masked {
                    unit: unit.clone(),
                    first: owner.called(),
                    second: called(&step.module, &step.name),
                });
            }
        }
    }
    Ok(())
}

fn order(steps: &[Step]) -> Result<Vec<Step>, StepsError> {
    let mut names = BTreeSet::new();
    for step in steps {
        if !names.insert(&step.name) {
            return Err(StepsError::SameName(step.name.clone()));
        }
    }
    for step in steps {
        if let Some(after) = step.after.iter().find(|after| !names.contains(after)) {
            return Err(StepsError::UnknownStep { step: step.name.clone(), after: after.clone() });
        }
    }
    let mut done = BTreeSet::new();
    let mut ordered = Vec::new();
    let mut waiting: Vec<&Step> = steps.iter().collect();
    while !waiting.is_empty() {
        let Some(ready) =
            waiting.iter().position(|step| step.after.iter().all(|a| done.contains(a)))
        else {
            return Err(StepsError::Circle(waiting.iter().map(|step| step.name.clone()).collect()));
        };
        let step = waiting.remove(ready);
        done.insert(&step.name);
        ordered.push(step.clone());
    }
    Ok(ordered)
}

/// Names that end up as words, lines and file names of the scripts.
fn names(step: &Step) -> Result<(), StepsError> {
    let bad = |name: &str, why| {
        Err(StepsError::BadName { step: step.name.clone(), name: name.to_owned(), why })
    };
    let word = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.+:@\\".contains(c);
        !name.is_empty() && !name.starts_with('-') && name.chars().all(fits)
    };
    const WORD: &str = "only letters, digits and -_.+:@\\ are allowed";
    for resource in &step.resources {
        if let Some(path) = resource.path() {
            if !path.is_absolute() || path.file_name().is_none() {
                return bad(path.as_str(), "a path must be absolute and end in a name");
            }
            if path.as_str().contains(['\n', '\t', '\0']) || path.as_str().ends_with('/') {
                return bad(
                    path.as_str(),
                    "a path must not contain line ends or tabs, or end in /",
                );
            }
            if path.as_str().contains("//")
                || path.components().any(|c| matches!(c.as_str(), "." | ".."))
            {
                return bad(path.as_str(), "a path must be in its shortest form");
            }
        }
        match resource {
            Resource::Package(name) if !word(name) => return bad(name, WORD),
            Resource::Task(task) if !word(&task.id) => return bad(&task.id, WORD),
            Resource::Task(task) if task.wanted.contains('\n') => {
                return bad(&task.id, "the wanted state must be one line");
            }
            Resource::Hostname(name) if !word(&name.0) => return bad(&name.0, WORD),
            Resource::Symlink(link)
                if link.target.is_empty() || link.target.contains(['\n', '\0']) =>
            {
                return bad(link.path.as_str(), "its target must be one line and not empty");
            }
            Resource::Absent(it) if it.tree && it.path.components().count() < 3 => {
                return bad(
                    it.path.as_str(),
                    "too near the root to remove it with all that is in it",
                );
            }
            Resource::Unit(unit) => unit_name(step, &unit.name)?,
            Resource::File(file) if file.access.mode > 0o7777 => {
                return bad(file.path.as_str(), "its mode is no set of permission bits");
            }
            _ => {}
        }
    }
    for notify in &step.notify {
        match &notify.action {
            NotifyAction::Restart(unit) | NotifyAction::Reload(unit) => unit_name(step, unit)?,
            NotifyAction::Run { id, .. } if !word(id) => return bad(id, WORD),
            NotifyAction::Run { .. } => {}
        }
    }
    Ok(())
}

fn unit_name(step: &Step, name: &str) -> Result<(), StepsError> {
    let bad =
        |why| Err(StepsError::BadName { step: step.name.clone(), name: name.to_owned(), why });
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:@\\".contains(c);
    let Some((stem, kind)) = name.rsplit_once('.') else {
        return bad("a unit needs its full name, as in `ssh.service`");
    };
    if stem.is_empty()
        || name.starts_with('-')
        || !kind.chars().all(|c| c.is_ascii_lowercase())
        || !name.chars().all(fits)
    {
        return bad("this is no unit's name");
    }
    if stem.ends_with('@') {
        return bad("a template needs its instance, as in `getty@tty1.service`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Directory, File, Notify, Symlink, Unit};

    fn names_of(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.name.as_str()).collect()
    }

    #[test]
    fn steps_keep_their_order_except_for_what_they_wait_for() {
        let steps =
            [Step::new("a").after("c"), Step::new("b"), Step::new("c").after("b"), Step::new("d")];
        assert_eq!(names_of(&check(&steps).unwrap()), ["b", "c", "a", "d"]);
    }

    #[test]
    fn two_modules_that_disagree_are_both_named() {
        let steps = [
            Step::new("nfs").with(File::new("/etc/exports", "a")),
            Step::new("boot").with(File::new("/etc/exports", "b")),
        ];
        insta::assert_snapshot!(check(&steps).unwrap_err());
        let link = [
            Step::new("nfs").with(File::new("/etc/exports", "a")),
            Step::new("boot").with(Symlink::new("/etc/exports", "b")),
        ];
        assert!(matches!(check(&link), Err(StepsError::Conflict { .. })));
        let units = [
            Step::new("a").with(Unit::new("x.service").active()),
            Step::new("b").with(Unit::new("x.service").inactive()),
        ];
        assert!(matches!(check(&units), Err(StepsError::Conflict { .. })));
    }

    #[test]
    fn what_cannot_be_below_another_thing_is_named_with_both_modules() {
        let of = |first: Resource, second: Resource| {
            let steps =
                [Step::new("nfs").with(first), Step::new("boot").named("boot-tree").with(second)];
            check(&steps).map(drop).map_err(|error| error.to_string())
        };
        let said = [
            of(File::new("/etc/x", "").into(), File::new("/etc/x/y", "").into()),
            of(crate::Absent::tree("/srv/old").into(), Directory::new("/srv/old/a/b").into()),
        ];
        let said: Vec<String> = said.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(said.join("\n"));
        assert_eq!(of(Directory::new("/etc/x").into(), File::new("/etc/x/y", "").into()), Ok(()));
        assert_eq!(
            of(Symlink::new("/etc/x", "z").into(), File::new("/etc/x/y", "").into()),
            Ok(())
        );
        assert_eq!(
            of(crate::Absent::tree("/srv/old").into(), crate::Absent::new("/srv/old/a").into()),
            Ok(())
        );
    }

    #[test]
    fn a_unit_that_is_masked_is_restarted_by_nobody() {
        let steps = [
            Step::new("quiet").with(Unit::new("x.service").masked()),
            Step::new("loud")
                .with(File::new("/etc/x", ""))
                .notify(Notify::restart("x.service").when(["/etc/x"])),
        ];
        let error = check(&steps).unwrap_err().to_string();
        assert_eq!(error, "x.service is masked by module `quiet` and restarted by module `loud`");
    }

    #[test]
    fn what_two_want_alike_is_done_once_and_both_depend_on_it() {
        let steps = [
            Step::new("a").packages(["rsync"]).with(Directory::new("/srv/feeder")),
            Step::new("b").packages(["rsync", "dnsmasq"]).with(Directory::new("/srv/feeder")),
        ];
        let checked = check(&steps).unwrap();
        let wanted: Vec<String> =
            checked.iter().flat_map(|s| &s.resources).map(|r| r.id().to_string()).collect();
        assert_eq!(wanted, ["package:rsync", "directory:/srv/feeder", "package:dnsmasq"]);
        assert_eq!(checked[1].after, ["a"]);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            vec![Step::new("a"), Step::new("a")],
            vec![Step::new("a").after("b")],
            vec![Step::new("a").after("b"), Step::new("b").after("a")],
            vec![Step::new("a").notify(Notify::restart("x.service").when(["/etc/x"]))],
            vec![
                Step::new("a").notify(Notify::restart("x.service").when(["/etc/x"])),
                Step::new("b").with(File::new("/etc/x", "")),
            ],
            vec![Step::new("a").with(File::new("etc/x", ""))],
            vec![Step::new("a").with(File::new("/etc/../x", ""))],
            vec![Step::new("a").with(File::new("/etc/x\ny", ""))],
            vec![Step::new("a").with(crate::Absent::tree("/etc"))],
            vec![Step::new("a").packages(["x; reboot"])],
            vec![Step::new("a").with(Unit::new("ssh"))],
            vec![Step::new("a").with(Unit::new("getty@.service"))],
            vec![Step::new("a").with(crate::Task::new("with blank", ""))],
        ];
        let said: Vec<String> =
            cases.iter().map(|steps| check(steps).unwrap_err().to_string()).collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn a_notification_may_wait_for_an_earlier_step() {
        let steps = [
            Step::new("a").with(File::new("/etc/x", "")).packages(["p"]),
            Step::new("b").notify(Notify::reload("x.service").when(["/etc/x", "package:p"])),
        ];
        assert_eq!(names_of(&check(&steps).unwrap()), ["a", "b"]);
    }
}
