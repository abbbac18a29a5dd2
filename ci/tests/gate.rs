//! The whole gate on a workspace that is made up: its cargo is a script that answers as cargo does, its scenario program
//! leaves the evidence of a run.

use std::fs;

use camino::Utf8Path;
use feeder_ci::{Extent, Workspace, run};
use feeder_process::Cmd;
use feeder_ui::Progress;
use tempfile::TempDir;

const CARGO: &str = r#"#!/bin/sh
echo "$*" >>@ROOT@/target/calls
case "$1" in
metadata) echo '{"packages": [], "resolve": {"nodes": []}}';;
nextest) echo '     Summary [   1.2s] 40 tests run: 40 passed, 2 skipped';;
test) echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured';;
clippy) [ ! -e @ROOT@/target/warnings ] || { echo 'warning: unused'; exit 101; };;
esac
"#;

const SCENARIO: &str = r#"#!/bin/sh
echo "$*" >>@ROOT@/target/calls
while [ "$1" != --evidence ]; do name=$1; shift; done
mkdir -p "$2/$name/$$"
ln -sfn "$$" "$2/$name/latest"
echo '<testsuites name="feeder" tests="8" failures="0" errors="0">' >"$2/$name/latest/junit.xml"
"#;

struct Repository {
    _dir: TempDir,
    workspace: Workspace,
}

impl Repository {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = Utf8Path::from_path(dir.path()).expect("a UTF-8 path").to_owned();
        let workspace = Workspace {
            target: root.join("target"),
            cargo: root.join("target/cargo").into(),
            root,
        };
        let repository = Self { _dir: dir, workspace };
        repository.write(".gitignore", "/target\n");
        fs::create_dir(repository.workspace.root.join("docs")).expect("a directory");
        feeder_ci::tidy::fix(&repository.workspace.root).expect("generated files");
        repository.write("deny.toml", "[licenses]\nallow = []\n[sources]\nallow-registry = []\n");
        for (program, text) in [("target/cargo", CARGO), ("target/debug/scenario", SCENARIO)] {
            // Another process writes it: a file that this one has open for writing, or one forked from it meanwhile, could
            // not be started.
            let file = repository.workspace.root.join(program);
            let write = "mkdir -p \"${0%/*}\" && cat >\"$0\" && chmod 755 \"$0\"";
            let text = text.replace("@ROOT@", repository.workspace.root.as_str());
            Cmd::new("sh").args(["-c", write, file.as_str()]).stdin(text).run().expect("a script");
        }
        Cmd::new("git")
            .dir(&repository.workspace.root)
            .args(["init", "--quiet"])
            .run()
            .expect("git is there");
        repository
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.workspace.root.join(path);
        fs::create_dir_all(file.parent().expect("in a directory")).expect("a directory");
        fs::write(&file, text).expect("a file");
    }

    fn gate(&self, extent: Extent) -> feeder_ci::Report {
        run(&self.workspace, extent, &Progress::silent()).expect("a verdict")
    }
}

/// The count of the made-up tests: with nextest the documentation's tests are a step of their own.
fn tests() -> (u64, u64) {
    if feeder_process::find_program("cargo-nextest").is_some() { (43, 3) } else { (3, 1) }
}

#[test]
fn a_green_gate_ends_with_its_count() {
    let repository = Repository::new();
    let report = repository.gate(Extent::Usual);
    assert!(report.passed(), "{report}");
    let (passed, skipped) = tests();
    let expected = format!("{} passed, 0 failed, {skipped} skipped", passed + 4 * 8);
    assert_eq!(report.to_string().lines().last(), Some(&*expected));

    let calls =
        fs::read_to_string(repository.workspace.target.join("calls")).expect("cargo was called");
    assert!(calls.starts_with("fmt --all --check\n"), "{calls}");
    assert!(
        calls.contains("clippy --workspace --all-targets --locked -- -D warnings\n"),
        "{calls}"
    );
    assert!(calls.contains("\nrun netboot --cold --evidence "), "{calls}");
    assert!(!calls.contains("raspi3b"), "{calls}");
    assert!(repository.workspace.target.join("ci/clippy.log").exists());
}

#[test]
fn the_full_gate_runs_the_slow_machine_too() {
    let repository = Repository::new();
    let report = repository.gate(Extent::Full);
    assert_eq!(report.outcomes.last().map(|outcome| outcome.step.name), Some("raspi3b"));
}

#[test]
fn a_red_gate_goes_on_and_says_what_failed() {
    let repository = Repository::new();
    repository.write("target/warnings", "");
    repository.write("docs/exit-codes.md", "old");
    repository.write("modules/src/nfs/mod.rs", "");
    let report = repository.gate(Extent::Usual);
    assert!(!report.passed());
    let failed: Vec<&str> = report
        .outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .map(|outcome| outcome.step.name)
        .collect();
    assert_eq!(failed, ["tidy", "clippy"]);
    let (passed, skipped) = tests();
    let expected = format!("{} passed, 2 failed, {skipped} skipped", passed + 4 * 8);
    assert_eq!(report.to_string().lines().last(), Some(&*expected), "{report}");
    let log = fs::read_to_string(repository.workspace.target.join("ci/tidy.log")).expect("a log");
    assert!(
        log.contains("modules/src/nfs/README.md: missing")
            && log.contains("docs/exit-codes.md: differs"),
        "{log}"
    );
}
