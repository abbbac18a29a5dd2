//! The code of the real scenarios.

use super::*;

#[test]
fn every_step_of_every_scenario_is_known() {
    let code = read();
    for (path, bytes) in SOURCES {
        if path.starts_with(SCENARIOS) && !COMMAND_LINE.iter().any(|dir| path.starts_with(dir)) {
            let calls = String::from_utf8_lossy(bytes).matches(".step(").count();
            let found = code.steps.iter().filter(|step| step.file == *path).count();
            assert_eq!(found, calls, "{path}");
        }
    }
    assert!(code.steps.len() >= 10);
    for scenario in crate::SCENARIOS {
        assert!(code.scenarios.contains_key(scenario.name), "{}", scenario.name);
    }
}

#[test]
fn what_was_read_is_kept_for_these_sources_alone() {
    let guard = tempfile::tempdir().unwrap();
    let shelf = Utf8Path::from_path(guard.path()).unwrap();
    let file = shelf.join("code.json");
    let code = kept(shelf);
    assert_eq!(code, read());
    assert_eq!(kept(shelf), code, "read back");
    // Of other sources, and damaged.
    keep(&file, &Kept { of: Digest::of("other"), code: &Code::default() }).unwrap();
    assert_eq!(kept(shelf), code);
    fs_err::write(&file, "{").unwrap();
    assert_eq!(kept(shelf), code);
    assert_eq!(shelf.read_dir_utf8().unwrap().count(), 1, "no half of it is left");
}

#[test]
fn the_build_script_waits_for_no_file_that_is_not_there() {
    // cargo takes such a file for changed, and would build this program anew before every command.
    let told = Utf8Path::new(env!("OUT_DIR")).with_file_name("output");
    let told = fs_err::read_to_string(told).unwrap();
    let watched: Vec<_> =
        told.lines().filter_map(|line| line.strip_prefix("cargo:rerun-if-changed=")).collect();
    let missing: Vec<_> = watched.iter().filter(|path| !Utf8Path::new(path).exists()).collect();
    assert!(watched.len() > 3 && missing.is_empty(), "{missing:?}");
}

#[test]
fn paths_are_those_that_rustc_gives() {
    // This file's directory is the module's, as rustc was told.
    assert!(file!().starts_with(SCENARIOS), "{}", file!());
    assert!(SOURCES.iter().any(|(path, _)| *path == file!().replace("code/tests.rs", "code.rs")));
}

#[test]
fn a_step_counts_what_it_runs_and_not_the_command_line() {
    let code = read();
    let step =
        |name: &str| code.steps.iter().find(|step| step.literal.as_deref() == Some(name)).unwrap();
    let names =
        |name: &str| step(name).parts.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    let netboots = names("the worker netboots");
    assert!(netboots.contains(&"fn netboots".to_owned()), "{netboots:?}");
    assert!(netboots.contains(&"const BOOT_TEXT".to_owned()), "{netboots:?}");
    assert!(!names("power on a bare master").contains(&"fn netboots".to_owned()));
    assert!(!netboots.contains(&"fn is_confined".to_owned()), "{netboots:?}");
}

#[test]
fn groups_hold_what_is_compiled_and_what_is_included() {
    let code = read();
    let files = |group: &str| match &code.groups[group] {
        Input::Files(files) => files.clone(),
        other => panic!("{other:?}"),
    };
    let (harness, modules) = (files("harness"), files("modules"));
    for file in [
        "rustc -vV",
        "Cargo.lock",
        "Cargo.toml",
        "crates/feeder-lan/src/lib.rs",
        "scenarios/build.rs",
    ] {
        assert!(harness.contains_key(file), "{file}");
    }
    assert!(harness.contains_key("crates/feeder-machine/profiles/virt.toml"));
    assert!(
        harness.contains_key("fixtures/clusters/lab.toml"),
        "included from outside of its crate"
    );
    for file in
        ["modules/src/nfs/mod.rs", "modules/src/nfs/exports.j2", "crates/feeder-plan/src/lib.rs"]
    {
        assert!(modules.contains_key(file) && !harness.contains_key(file), "{file}");
    }
    assert!(!harness.keys().chain(modules.keys()).any(|file| file.ends_with("/tests.rs")));
    assert!(!harness.keys().any(|file| file.contains("/tests/")), "{harness:?}");
}
