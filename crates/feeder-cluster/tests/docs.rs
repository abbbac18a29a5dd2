//! The page's examples are true, and an editor's schema agrees with the reader. (That both are current is the repository's own check.)

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use camino::Utf8Path;
use feeder_cluster::parse;
use feeder_cluster::{describe, schema::SECTIONS};

fn read(path: &str) -> String {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs_err::read_to_string(root.join(path)).unwrap()
}

fn page() -> String {
    describe::page()
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

/// What an editor has against a file, if anything.
fn editor_says(text: &str) -> Option<String> {
    let mut compiler = boon::Compiler::new();
    let schema = serde_json::from_str(&describe::json_schema()).unwrap();
    compiler.add_resource("cluster.schema.json", schema).unwrap();
    let mut schemas = boon::Schemas::new();
    let index = compiler.compile("cluster.schema.json", &mut schemas).unwrap();
    let file = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
    schemas.validate(&file, index).err().map(|error| error.to_string())
}

#[test]
fn an_editor_accepts_what_the_reader_accepts_and_refuses_what_it_can_see() {
    for name in ["lab", "lab-raspi3b", "minimal", "secrets"] {
        assert_eq!(editor_says(&read(&format!("fixtures/clusters/{name}.toml"))), None, "{name}");
    }
    for name in [
        "address-malformed",
        "address-ipv6",
        "board-unknown",
        "dhcp-unknown",
        "dns-empty",
        "dns-not-a-list",
        "docker-archive",
        "docker-log-size",
        "key-missing",
        "key-unknown",
        "label-odd",
        "mac-short",
        "name-capital",
        "password-login-text",
        "registry-upstream",
        "secret-key-misspelt",
        "secret-literal",
        "secret-no-text",
        "secret-variable-odd",
        "section-missing",
        "section-nobody-knows",
        "section-single-brackets",
        "serial-prefix",
        "ssd-file-system",
        "ssd-kernel-name",
        "ssd-two-disks",
        "ssd-without-disk",
        "state-number",
        "state-unit",
        "sudo-unknown",
        "swarm-heartbeat",
        "swarm-managers-even",
        "swarm-managers-text",
        "swarm-master",
        "user",
    ] {
        let text = read(&format!("fixtures/clusters/invalid/{name}.toml"));
        assert!(editor_says(&text).is_some(), "{name}");
    }
}
