//! `docs/cluster.toml.md` says what the schema says, and its examples are true.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::collections::BTreeMap;

use camino::Utf8Path;
use feeder_cluster::parse;
use feeder_cluster::schema::{Presence, SECTIONS};

fn read(path: &str) -> String {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs_err::read_to_string(root.join(path)).unwrap()
}

fn page() -> String {
    read("docs/cluster.toml.md")
}

/// The text under each heading `## [section]`.
fn chapters(page: &str) -> BTreeMap<&str, &str> {
    let chapters = page.split("\n## ").skip(1);
    chapters.map(|chapter| chapter.split_once('\n').unwrap()).collect()
}

#[test]
fn every_key_of_the_schema_is_documented_and_no_other() {
    let page = page();
    let mut chapters = chapters(&page);
    for section in SECTIONS {
        let header = section.header();
        let chapter =
            chapters.remove(header.as_str()).unwrap_or_else(|| panic!("no chapter on {header}"));
        let mut rows: Vec<&str> = chapter.lines().filter(|line| line.starts_with("| `")).collect();
        for key in section.keys {
            let name = key.name;
            let start = format!("| `{name}` | ");
            let row = rows.iter().position(|row| row.starts_with(&start));
            let row =
                rows.remove(row.unwrap_or_else(|| panic!("no row for `{name}` under {header}")));
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            assert_eq!(
                cells[3],
                format!("`{}`", key.example),
                "the example of `{name}` under {header}"
            );
            match key.presence {
                Presence::Required => assert_eq!(cells[2], "required", "`{name}` under {header}"),
                Presence::Default(text) => {
                    assert_eq!(cells[2], format!("`{text}`"), "`{name}` under {header}")
                }
                Presence::Optional => assert!(
                    !cells[2].is_empty() && cells[2] != "required",
                    "`{name}` under {header}"
                ),
            }
            assert!(
                chapter.contains(&format!("\n**`{name}`**: ")),
                "nothing explains `{name}` under {header}"
            );
        }
        assert!(rows.is_empty(), "rows under {header} that the schema does not know: {rows:?}");
    }
    assert!(
        chapters.is_empty(),
        "chapters on sections that the schema does not know: {:?}",
        chapters.keys()
    );
}

/// The contents of the page's code blocks of one language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let opening = format!("```{language}\n");
    page.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_examples_of_the_page_are_true() {
    let page = page();
    let samples = blocks(&page, "toml");
    assert_eq!(samples.len(), 1);
    let parsed = parse(samples[0], "cluster.toml").map_err(|wrong| wrong.to_string()).unwrap();
    assert!(parsed.warnings.is_empty(), "{}", parsed.warnings);

    let snapshot = read("fixtures/clusters/invalid/address-outside.snap");
    let shown = page.split("```").nth(1).unwrap();
    assert!(
        snapshot.trim_end().ends_with(shown.trim()),
        "the mistake is shown otherwise than it looks:\n{snapshot}"
    );
}

#[test]
fn the_examples_of_the_schema_make_a_cluster() {
    let mut text = String::new();
    for section in SECTIONS {
        text.push_str(&section.header());
        for key in section.keys {
            text.push_str(&format!("\n{} = {}", key.name, key.example));
        }
        text.push('\n');
    }
    let parsed = parse(&text, "cluster.toml").map_err(|wrong| wrong.to_string()).unwrap();
    assert!(parsed.warnings.is_empty(), "{}", parsed.warnings);
}
