//! The schema for people and for editors: a page, and a JSON Schema.

use serde_json::{Map, Value, json};

use crate::schema::{Key, Kind, Occurs, Presence, SECTIONS, Section, Shape};
use crate::settings::{name, variable};

/// What the page says before it goes through the sections.
const HEAD: &str = include_str!("describe/head.md");
/// How wide the page's text is, in columns.
const WIDTH: usize = 120;

/// `docs/cluster.toml.md`: every section with a table of its keys, and what each means.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in SECTIONS {
        page.push_str(&format!("\n## {}\n\n", section.header()));
        page.push_str("| key | when absent | example |\n|---|---|---|\n");
        for key in section.keys {
            let absent = match key.presence {
                Presence::Required => "required".to_owned(),
                Presence::Optional(instead) => instead.to_owned(),
                Presence::Default(text) => format!("`{text}`"),
            };
            page.push_str(&format!("| `{}` | {absent} | `{}` |\n", key.name, key.example));
        }
        page.push_str(&format!("\n{}\n", wrapped(section.doc)));
        for key in section.keys {
            page.push_str(&format!("\n{}\n", wrapped(&format!("**`{}`**: {}", key.name, key.doc))));
        }
    }
    page.push_str(VARIABLES);
    for section in SECTIONS.into_iter().filter(|section| section.occurs != Occurs::Repeatedly) {
        let names = section.keys.iter().map(|key| format!("`{}`", variable(&name(section, key))));
        let names: Vec<String> = names.collect();
        page.push_str(&format!("| {} | {} |\n", section.header(), names.join(", ")));
    }
    page.push_str(TAIL);
    page
}

/// Begins the list of environment variables.
const VARIABLES: &str = "\n## Environment variables\n\n\
    Each is for one key, [by rule](#one-value-for-one-run); those of a worker have its name, as in `FEEDER_WORKER_CLUSTER01_STATE`.\n\n\
    | section | variables |\n|---|---|\n";

/// What the page says in the end.
const TAIL: &str = "\nThis page is written by `cargo xtask tidy --fix` from `crates/feeder-cluster/src/schema.rs`.\n";

/// `docs/cluster.schema.json`, a JSON Schema (draft 7, which is what editors of TOML know) of the file. It knows less than the
/// reader: nothing of what must hold between values.
pub fn json_schema() -> String {
    let top: Vec<&Section> =
        SECTIONS.into_iter().filter(|section| !section.name.contains('.')).collect();
    let required: Vec<&str> = top
        .iter()
        .filter(|section| section.occurs == Occurs::Once)
        .map(|section| section.name)
        .collect();
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "cluster.toml",
        "description": "What a cluster of Raspberry Pis is made of.",
        "type": "object",
        "properties": top
            .iter()
            .map(|section| (section.name.to_owned(), section_schema(section)))
            .collect::<Map<String, Value>>(),
        "required": required,
        "additionalProperties": false,
    });
    format!("{schema:#}\n")
}

fn section_schema(section: &Section) -> Value {
    let within = SECTIONS.into_iter().filter_map(|inner| {
        let (outer, name) = inner.name.split_once('.')?;
        (outer == section.name).then(|| (name.to_owned(), section_schema(inner)))
    });
    let keys = section.keys.iter().map(|key| (key.name.to_owned(), key_schema(key)));
    let properties: Map<String, Value> = keys.chain(within).collect();
    let required: Vec<&str> = section
        .keys
        .iter()
        .filter(|key| key.presence == Presence::Required)
        .map(|key| key.name)
        .collect();
    let table = json!({
        "type": "object",
        "description": section.doc,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if section.occurs == Occurs::Repeatedly {
        json!({ "type": "array", "description": section.doc, "items": table })
    } else {
        table
    }
}

fn key_schema(key: &Key) -> Value {
    let one = match key.shape {
        Shape::OneOf(names) => json!({ "type": "string", "enum": names }),
        Shape::Like(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Among(numbers) => json!({ "type": "integer", "enum": numbers }),
        Shape::Either => json!({ "type": "boolean" }),
    };
    let mut schema = match key.kind {
        Kind::Text | Kind::Whole | Kind::Flag | Kind::Secret => one,
        Kind::Texts => json!({ "type": "array", "items": one, "minItems": 1 }),
    };
    schema["description"] = json!(capitalised(key.doc));
    if let Presence::Default(text) = key.presence {
        schema["default"] = match (key.kind, text.parse::<u64>()) {
            (Kind::Whole, Ok(number)) => json!(number),
            _ => json!(text),
        };
    }
    schema
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// Text in lines of at most [`WIDTH`] columns, unless a word is longer.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}
