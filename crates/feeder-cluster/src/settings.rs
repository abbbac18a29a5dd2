//! What is set beside the file, and counts more: by the environment, and more than that, by options of a command.
//!
//! A setting has the name of its key, `master.ssd.sd-card`, or `worker.NAME.state` for one of a worker that the file has. Its
//! environment variable follows from that by [`variable`].

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::diagnostic::Diagnostic;
use crate::read::nearest;
use crate::schema::{Key, Kind, Occurs, SECTIONS, Section, WORKER};
use crate::sources::Sources;
use crate::value::shown;

/// How the names of environment variables begin.
const PREFIX: &str = "FEEDER_";

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Environment,
    Option,
}

impl Origin {
    /// What takes the place of a file's name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "the environment",
            Self::Option => "the command line",
        }
    }

    pub(crate) const fn within(self) -> &'static str {
        match self {
            Self::Environment => "in the environment",
            Self::Option => "on the command line",
        }
    }
}

/// One value, and what it is for. `Debug` does not show the value, which may be a secret that should not be there.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    pub(crate) origin: Origin,
    /// The variable, or the key with its section.
    pub(crate) name: String,
    pub(crate) value: String,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FromStr for Setting {
    type Err = String;

    /// `KEY=VALUE`, as an option of a command takes it.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or("write it as KEY=VALUE, like master.address=192.168.10.100")?;
        Ok(Self { origin: Origin::Option, name: name.trim().to_owned(), value: value.to_owned() })
    }
}

/// All that is set beside a file; what comes later counts more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(Vec<Setting>);

impl Settings {
    /// Environment variables whose names begin with `FEEDER_`; those that are for something else do not matter.
    #[must_use]
    pub fn of_environment(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX));
        let mut all: Vec<Setting> = ours
            .map(|(name, value)| Setting { origin: Origin::Environment, name, value })
            .collect();
        // An environment has no order of its own.
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Self(all)
    }

    /// These, and options of a command, which count more.
    #[must_use]
    pub fn and(mut self, options: impl IntoIterator<Item = Setting>) -> Self {
        self.0.extend(options);
        self
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Setting> {
        self.0.iter()
    }
}

/// The environment variable of a key, by its name with its section: capitals, and `_` for `.` and `-`.
///
/// ```
/// assert_eq!(feeder_cluster::variable("master.ssd.sd-card"), "FEEDER_MASTER_SSD_SD_CARD");
/// ```
#[must_use]
pub fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_uppercase().replace(['.', '-'], "_"))
}

/// Whether an environment variable is that of a key that holds a secret.
pub(crate) fn is_variable_of_secret(given: &str) -> bool {
    let keys =
        SECTIONS.into_iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)));
    keys.filter(|(_, key)| key.kind == Kind::Secret)
        .any(|(section, key)| variable(&name(section, key)) == given)
}

/// A place for a value.
#[derive(Clone, Copy)]
struct Target {
    section: &'static Section,
    key: &'static Key,
    /// Which table, of a section that stands several times.
    table: Option<usize>,
}

/// Every key that can be set, by its name with its section.
fn targets(root: &DeTable<'_>) -> Vec<(String, Target)> {
    let mut all = Vec::new();
    for section in SECTIONS.into_iter().filter(|section| section.occurs != Occurs::Repeatedly) {
        let target = |key| (name(section, key), Target { section, key, table: None });
        all.extend(section.keys.iter().map(target));
    }
    for (table, worker) in workers(root) {
        let target = |key: &'static Key| {
            let name = format!("{}.{worker}.{}", WORKER.name, key.name);
            (name, Target { section: &WORKER, key, table: Some(table) })
        };
        all.extend(WORKER.keys.iter().map(target));
    }
    all
}

/// The name of a key with its section.
pub(crate) fn name(section: &Section, key: &Key) -> String {
    format!("{}.{}", section.name, key.name)
}

/// The workers of the file that have a name, with the number of their table.
fn workers<'r>(root: &'r DeTable<'_>) -> Vec<(usize, &'r str)> {
    let tables = root.get(WORKER.name).and_then(|value| value.get_ref().as_array());
    let tables = tables.into_iter().flat_map(|array| array.iter()).enumerate();
    tables
        .filter_map(|(number, table)| {
            Some((number, table.get_ref().as_table()?.get("name")?.get_ref().as_str()?))
        })
        .collect()
}

/// Lays settings over what the file says.
pub(crate) fn lay<'t>(
    root: &mut DeTable<'t>,
    settings: &Settings,
    sources: &'t Sources,
    problems: &mut Vec<Diagnostic>,
) {
    let targets = targets(root);
    for (number, setting) in settings.iter().enumerate() {
        let (name, value) = sources.setting(number);
        let found = targets.iter().find(|(known, _)| match setting.origin {
            Origin::Environment => variable(known) == setting.name,
            Origin::Option => *known == setting.name,
        });
        let Some((_, target)) = found else {
            problems.extend(unknown(setting, name, &targets, root));
            continue;
        };
        let value = read(target.key, sources.slice(value.clone()), value, problems);
        if let Some(table) = table(root, target, &name) {
            let key = Spanned::new(name, Cow::Borrowed(target.key.name));
            table.insert(key, value);
        }
    }
}

/// The table of a section, which is made when there is none; nothing when the file has something else in its place, which is a mistake
/// already.
fn table<'r, 't>(
    root: &'r mut DeTable<'t>,
    target: &Target,
    span: &Range<usize>,
) -> Option<&'r mut DeTable<'t>> {
    let mut at = root;
    if let Some(number) = target.table {
        let DeValue::Array(tables) = at.get_mut(target.section.name)?.get_mut() else {
            return None;
        };
        let DeValue::Table(table) = tables.get_mut(number)?.get_mut() else { return None };
        return Some(table);
    }
    for part in target.section.name.split('.') {
        let key = Spanned::new(span.clone(), Cow::Borrowed(part));
        let empty = || Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
        let DeValue::Table(table) = at.entry(key).or_insert_with(empty).get_mut() else {
            return None;
        };
        at = table;
    }
    Some(at)
}

/// A value as its key takes it. What it cannot be stays text, and is refused where the key is read.
fn read<'t>(
    key: &Key,
    text: &'t str,
    span: Range<usize>,
    problems: &mut Vec<Diagnostic>,
) -> Spanned<DeValue<'t>> {
    let plain = || DeValue::String(Cow::Borrowed(text));
    let value = match key.kind {
        Kind::Text | Kind::Secret => plain(),
        Kind::Whole => match DeValue::parse(text).map(Spanned::into_inner) {
            Ok(number @ DeValue::Integer(_)) => number,
            _ => plain(),
        },
        Kind::Flag => text.parse().map_or_else(|_| plain(), DeValue::Boolean),
        Kind::Texts if text.trim_start().starts_with('[') => {
            return array(text, span, problems);
        }
        Kind::Texts => {
            let mut list = DeArray::new();
            let mut start = span.start;
            for part in text.split(',') {
                let from = start + (part.len() - part.trim_start().len());
                start += part.len() + 1;
                let part = part.trim();
                if !part.is_empty() {
                    let value = DeValue::String(Cow::Borrowed(part));
                    list.push(Spanned::new(from..from + part.len(), value));
                }
            }
            DeValue::Array(list)
        }
    };
    Spanned::new(span, value)
}

/// An array as TOML has it, with the places of its values in the whole text.
fn array<'t>(
    text: &'t str,
    span: Range<usize>,
    problems: &mut Vec<Diagnostic>,
) -> Spanned<DeValue<'t>> {
    let shifted = |range: Range<usize>| range.start + span.start..range.end + span.start;
    let (value, errors) = DeValue::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(span.clone(), shifted);
        problems.push(Diagnostic::error(
            format!("not TOML: {}", error.message()),
            at,
            "a list is written like [\"one\", \"two\"], or like one,two",
        ));
    }
    let mut list = DeArray::new();
    if let DeValue::Array(values) = value.into_inner() {
        for value in values {
            list.push(Spanned::new(shifted(value.span()), value.into_inner()));
        }
    }
    Spanned::new(span, DeValue::Array(list))
}

/// What is said about a setting that is for no key. An environment variable may be for somebody else, unless it is nearly one of ours.
fn unknown(
    setting: &Setting,
    span: Range<usize>,
    targets: &[(String, Target)],
    root: &DeTable<'_>,
) -> Option<Diagnostic> {
    let after = span.end..span.end;
    match setting.origin {
        Origin::Environment => {
            let known: Vec<String> = targets.iter().map(|(name, _)| variable(name)).collect();
            let bare = |name: &str| name.trim_start_matches(PREFIX).to_lowercase();
            let names: Vec<String> = known.iter().map(|name| bare(name)).collect();
            let near = nearest(&bare(&setting.name), names.iter().map(String::as_str))?;
            let message = format!("the variable `{}` sets nothing", shown(&setting.name));
            let hint = format!("did you mean {}?", variable(near));
            Some(
                Diagnostic::warning(message, span, "no key has this variable")
                    .hiding(after)
                    .hint(hint),
            )
        }
        Origin::Option => {
            let names = targets.iter().map(|(name, _)| name.as_str());
            let workers: Vec<&str> = workers(root).into_iter().map(|(_, name)| name).collect();
            let worker = setting.name.strip_prefix("worker.");
            let worker = worker.map(|rest| rest.split('.').next().unwrap_or_default());
            let hint = match worker {
                Some(name) if !workers.contains(&name) => {
                    let list = if workers.is_empty() { "none".into() } else { workers.join(", ") };
                    format!("write worker.NAME.KEY; the workers of the file are: {list}")
                }
                _ => nearest(&setting.name, names).map_or_else(
                    || {
                        "write SECTION.KEY, like master.address; docs/cluster.toml.md lists them"
                            .to_owned()
                    },
                    |near| format!("did you mean {near}?"),
                ),
            };
            let message = format!("there is no key `{}`", shown(&setting.name));
            let at = span.end - setting.name.len()..span.end;
            Some(Diagnostic::error(message, at, "not in any section").hiding(after).hint(hint))
        }
    }
}
