//! Walking the tables of a file by the schema: what is unknown, missing or of the wrong type is a mistake with a place.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;
use crate::schema::{Key, Kind, Presence, SECTIONS, Section};
use crate::value::{Invalid, SecretRef, shown};

const STRING: &str = "a string";
const STRINGS: &str = "an array of strings";
const WHOLE: &str = "a whole number";
const FLAG: &str = "true or false";

/// One table of the file that has a section's name.
pub(crate) struct Fields<'t> {
    section: &'static Section,
    table: &'t DeTable<'t>,
    /// Its header, or the braces of an inline table.
    pub(crate) span: Range<usize>,
}

/// Reports what stands at the top and is no section.
pub(crate) fn unknown_sections(root: &DeTable<'_>, problems: &mut Vec<Diagnostic>) {
    for name in root.keys() {
        let given = name.get_ref().as_ref();
        if SECTIONS.iter().any(|section| section.name == given) {
            continue;
        }
        let hint = match meant_section(given) {
            Some(section) => Some(format!("did you mean {}?", section.header())),
            None => {
                holder(given).map(|section| format!("`{given}` belongs under {}", section.header()))
            }
        };
        let known: Vec<String> = SECTIONS.iter().map(|section| section.header()).collect();
        let message = format!("unknown section `{}`", shown(given));
        problems.push(
            Diagnostic::error(message, name.span(), format!("known are {}", known.join(", ")))
                .hint(hint),
        );
    }
}

/// The table of a section that stands once. `end` is the length of the text: where a missing section would be added.
pub(crate) fn single<'t>(
    root: &'t DeTable<'t>,
    section: &'static Section,
    end: usize,
    problems: &mut Vec<Diagnostic>,
) -> Option<Fields<'t>> {
    let Some(value) = root.get(section.name) else {
        let misspelt =
            |given: &str| meant_section(given).is_some_and(|meant| meant.name == section.name);
        if root.keys().any(|name| misspelt(name.get_ref())) {
            return None;
        }
        let header = section.header();
        let needed: Vec<&str> = section
            .keys
            .iter()
            .filter(|key| key.presence == Presence::Required)
            .map(|key| key.name)
            .collect();
        let hint = format!("add {header} with {}", listed(&needed));
        problems.push(
            Diagnostic::absence(
                format!("{header} is missing"),
                end..end,
                "nothing like it up to here",
            )
            .hint(hint),
        );
        return None;
    };
    one(section, value, problems)
}

/// The table of a section that must not be a list.
fn one<'t>(
    section: &'static Section,
    value: &'t Spanned<DeValue<'t>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Fields<'t>> {
    if let DeValue::Array(elements) = value.get_ref()
        && let Some(first) = elements.first()
        && first.get_ref().is_table()
    {
        let message = format!("there is one {}, not a list of them", section.header());
        problems.push(
            Diagnostic::error(message, first.span(), "this begins a list")
                .hint(format!("write {} with single brackets", section.header())),
        );
        return None;
    }
    Fields::open(section, value, problems)
}

/// The table of a section that may be absent.
pub(crate) fn optional<'t>(
    root: &'t DeTable<'t>,
    section: &'static Section,
    problems: &mut Vec<Diagnostic>,
) -> Option<Fields<'t>> {
    one(section, root.get(section.name)?, problems)
}

/// The tables of a section that may stand any number of times.
pub(crate) fn repeated<'t>(
    root: &'t DeTable<'t>,
    section: &'static Section,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Fields<'t>> {
    let Some(value) = root.get(section.name) else {
        return Vec::new();
    };
    match value.get_ref() {
        DeValue::Array(elements) => {
            elements.iter().filter_map(|element| Fields::open(section, element, problems)).collect()
        }
        DeValue::Table(_) => {
            let message = format!("each {} begins with double brackets", section.name);
            let hint = format!("write {}", section.header());
            problems
                .push(Diagnostic::error(message, value.span(), "single brackets here").hint(hint));
            Vec::new()
        }
        _ => Fields::open(section, value, problems).into_iter().collect(),
    }
}

impl<'t> Fields<'t> {
    fn open(
        section: &'static Section,
        value: &'t Spanned<DeValue<'t>>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("`{}` is a section, not a value", section.name);
            let label = format!("{} instead of a table", described(value.get_ref()));
            problems.push(
                Diagnostic::error(message, value.span(), label)
                    .hint(format!("write {} on a line of its own", section.header())),
            );
            return None;
        };
        for name in table.keys() {
            let given = name.get_ref().as_ref();
            if section.key(given).is_none() && section.within(given).is_none() {
                problems.push(unknown_key(section, given, name.span()));
            }
        }
        Some(Self { section, table, span: value.span() })
    }

    /// The value of a text key, read by `parse`; None when a mistake was reported or an optional key is absent.
    pub(crate) fn text<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Invalid>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Spanned<T>> {
        let key = self.declared(name, Kind::Text);
        match self.table.get(name) {
            Some(value) => parsed(key, value, parse, problems),
            None => {
                let default = self.absent(key, problems)?;
                let value = parse(default)
                    .unwrap_or_else(|error| panic!("the default of `{name}`: {error}"));
                Some(Spanned::new(self.span.clone(), value))
            }
        }
    }

    /// The values of a key that takes a list of texts, read by `parse`; None as for [`Self::text`].
    pub(crate) fn texts<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, Invalid>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Vec<Spanned<T>>> {
        let key = self.declared(name, Kind::Texts);
        let Some(value) = self.table.get(name) else {
            self.absent(key, problems);
            return None;
        };
        let DeValue::Array(elements) = value.get_ref() else {
            problems.push(wrong_type(key, value, STRINGS));
            return None;
        };
        if elements.is_empty() {
            let message = format!("`{name}` is empty");
            let hint = format!("write at least one, like {name} = {}", key.example);
            problems.push(Diagnostic::error(message, value.span(), "nothing in it").hint(hint));
            return None;
        }
        // All are read before one that is wrong spoils the list, so that every mistake in it is reported.
        let values: Vec<_> =
            elements.iter().map(|element| parsed(key, element, &parse, problems)).collect();
        values.into_iter().collect()
    }

    /// The value of a key that takes a whole number, judged by `fits`; None as for [`Self::text`].
    pub(crate) fn whole<T>(
        &self,
        name: &str,
        fits: impl Fn(u64) -> Result<T, Invalid>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Spanned<T>> {
        let key = self.declared(name, Kind::Whole);
        let (span, number) = match self.table.get(name) {
            Some(value) => {
                let number = value.get_ref().as_integer();
                let number = number
                    .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
                let Some(number) = number else {
                    problems.push(wrong_type(key, value, WHOLE));
                    return None;
                };
                (value.span(), number)
            }
            None => {
                let default = self.absent(key, problems)?;
                let number = default
                    .parse()
                    .unwrap_or_else(|error| panic!("the default of `{name}`: {error}"));
                (self.span.clone(), number)
            }
        };
        match fits(number) {
            Ok(value) => Some(Spanned::new(span, value)),
            Err(invalid) => {
                problems.push(refused(invalid, span));
                None
            }
        }
    }

    /// The value of a key that takes `true` or `false`; None as for [`Self::text`].
    pub(crate) fn flag(&self, name: &str, problems: &mut Vec<Diagnostic>) -> Option<Spanned<bool>> {
        let key = self.declared(name, Kind::Flag);
        let Some(value) = self.table.get(name) else {
            self.absent(key, problems);
            return None;
        };
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            problems.push(wrong_type(key, value, FLAG));
        }
        Some(Spanned::new(value.span(), flag?))
    }

    /// The value of a key that takes a reference to a secret; None as for [`Self::text`]. What may be the secret itself is shown
    /// nowhere.
    pub(crate) fn secret(
        &self,
        name: &str,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Spanned<SecretRef>> {
        let key = self.declared(name, Kind::Secret);
        let Some(value) = self.table.get(name) else {
            self.absent(key, problems);
            return None;
        };
        match value.get_ref().as_str() {
            Some(text) if SecretRef::looks_like_one(text) => {
                parsed(key, value, str::parse, problems)
            }
            _ => {
                let message = format!("`{name}` holds something else than a reference");
                let hint = format!(
                    "a secret stands in a file of its own, in the environment, or is printed by a command: write \
                     {name} = \"file:PATH\" with a path beside this file, \"env:NAME\" or \"cmd:COMMAND\""
                );
                problems.push(
                    Diagnostic::error(message, value.span(), "no secret may stand in here")
                        .hiding(value.span())
                        .hint(hint),
                );
                None
            }
        }
    }

    /// The table of a section that lies within this one; None when it is absent, which is no mistake.
    pub(crate) fn nested(
        &self,
        section: &'static Section,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Fields<'t>> {
        let (_, name) = section.name.rsplit_once('.')?;
        one(section, self.table.get(name)?, problems)
    }

    /// The keys of the table that the schema does not know.
    fn unknown(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(|name| name.get_ref().as_ref()).filter(|given| {
            self.section.key(given).is_none() && self.section.within(given).is_none()
        })
    }

    fn declared(&self, name: &str, kind: Kind) -> &'static Key {
        match self.section.key(name) {
            Some(key) if key.kind == kind => key,
            _ => panic!(
                "`{name}` is read from {} but not declared so in the schema",
                self.section.header()
            ),
        }
    }

    fn absent(&self, key: &'static Key, problems: &mut Vec<Diagnostic>) -> Option<&'static str> {
        match key.presence {
            Presence::Optional(_) => None,
            Presence::Default(text) => Some(text),
            // A misspelt key that was reported with the hint to this one is not also missing.
            Presence::Required
                if self.unknown().any(|given| meant(self.section, given) == Some(key.name)) =>
            {
                None
            }
            Presence::Required => {
                let message = format!("`{}` is missing in {}", key.name, self.section.header());
                let label = format!("no `{}` in here", key.name);
                let hint = format!("add a line like {} = {}", key.name, key.example);
                problems.push(Diagnostic::absence(message, self.span.clone(), label).hint(hint));
                None
            }
        }
    }
}

fn parsed<T>(
    key: &Key,
    value: &Spanned<DeValue<'_>>,
    parse: impl Fn(&str) -> Result<T, Invalid>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Spanned<T>> {
    let Some(text) = value.get_ref().as_str() else {
        problems.push(wrong_type(key, value, STRING));
        return None;
    };
    match parse(text) {
        Ok(parsed) => Some(Spanned::new(value.span(), parsed)),
        Err(invalid) => {
            problems.push(refused(invalid, value.span()));
            None
        }
    }
}

fn refused(Invalid { value, wanted, why, hint }: Invalid, span: Range<usize>) -> Diagnostic {
    Diagnostic::error(format!("`{value}` is not {wanted}"), span, why).hint(hint)
}

fn wrong_type(key: &Key, value: &Spanned<DeValue<'_>>, wanted: &str) -> Diagnostic {
    let of_a_list = key.kind == Kind::Texts && wanted == STRING;
    let message = if of_a_list {
        format!("each value of `{}` is {wanted}", key.name)
    } else {
        format!("`{}` takes {wanted}", key.name)
    };
    let hint = format!("write it like {} = {}", key.name, key.example);
    Diagnostic::error(
        message,
        value.span(),
        format!("{} instead of {wanted}", described(value.get_ref())),
    )
    .hint(hint)
}

fn unknown_key(section: &Section, given: &str, span: Range<usize>) -> Diagnostic {
    let names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
    let hint = match meant(section, given) {
        Some(found) => Some(format!("did you mean `{found}`?")),
        None => holder(given).map(|other| format!("`{given}` belongs under {}", other.header())),
    };
    let message = format!("unknown key `{}` in {}", shown(given), section.header());
    let diagnostic =
        Diagnostic::error(message, span.clone(), format!("known here: {}", names.join(", ")));
    let meant = meant(section, given).unwrap_or(given);
    let secret = Section::secret_anywhere(meant) || given.to_lowercase().contains("password");
    let diagnostic = if secret { diagnostic.hiding(span.end..span.end) } else { diagnostic };
    diagnostic.hint(hint)
}

/// The key of the section that an unknown one was probably meant to be.
fn meant(section: &Section, given: &str) -> Option<&'static str> {
    if holder(given).is_some() {
        None
    } else {
        nearest(given, section.keys.iter().map(|key| key.name))
    }
}

/// The section to which a key of that name belongs.
fn holder(given: &str) -> Option<&'static Section> {
    SECTIONS.into_iter().find(|section| section.key(given).is_some())
}

/// The section that an unknown one was probably meant to be.
fn meant_section(given: &str) -> Option<&'static Section> {
    let within =
        |section: &&Section| section.name.rsplit_once('.').is_some_and(|(_, name)| name == given);
    SECTIONS.into_iter().find(within).or_else(|| {
        let name = nearest(given, SECTIONS.iter().map(|section| section.name))?;
        SECTIONS.into_iter().find(|section| section.name == name)
    })
}

/// The candidate that `given` most probably was meant to be: a third of its letters may differ.
pub(crate) fn nearest<'c>(
    given: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let given = given.to_lowercase();
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&given, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
