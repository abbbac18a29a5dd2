//! Every file of `fixtures/clusters/invalid` with what is said about it; a snapshot beside each file.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use camino::{Utf8Path, Utf8PathBuf};
use feeder_cluster::{Severity, parse};

fn directory() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/clusters/invalid")
}

fn files(extension: &str) -> Vec<Utf8PathBuf> {
    let entries = directory().read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path());
    let mut files: Vec<Utf8PathBuf> =
        entries.filter(|path| path.extension() == Some(extension)).collect();
    files.sort();
    files
}

#[test]
fn each_mistake_is_shown_at_its_place() {
    let files = files("toml");
    assert!(files.len() > 60, "the table of mistakes has shrunk to {}", files.len());

    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(directory());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in files {
            let text = fs_err::read_to_string(&path).unwrap();
            let diagnostics = match parse(&text, "cluster.toml") {
                Err(diagnostics) => diagnostics,
                Ok(_) => panic!("{path} was taken for valid"),
            };
            assert_ne!(diagnostics.count(Severity::Error), 0, "{path}");
            insta::assert_snapshot!(path.file_stem().unwrap(), diagnostics.to_string());
        }
    });
}

#[test]
fn no_message_is_left_of_a_file_that_is_gone() {
    for message in files("snap") {
        assert!(message.with_extension("toml").exists(), "{message} belongs to no file");
    }
}

#[test]
fn scripts_get_the_same_as_json() {
    let text = fs_err::read_to_string(directory().join("address-of-master.toml")).unwrap();
    let diagnostics = parse(&text, "cluster.toml").unwrap_err();
    insta::assert_snapshot!(serde_json::to_string_pretty(&diagnostics).unwrap());
}

#[test]
fn colours_only_on_request() {
    let diagnostics = parse("", "cluster.toml").unwrap_err();
    assert!(!diagnostics.rendered(false).contains('\u{1b}'));
    assert!(diagnostics.rendered(true).contains('\u{1b}'));
}
