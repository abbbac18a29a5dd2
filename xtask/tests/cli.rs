//! The command line from outside: help, wrong input, exit codes, and that data and talk go their own ways.

use assert_cmd::Command;
use predicates::{prelude::PredicateBooleanExt, str::contains};

fn xtask() -> Command {
    let mut command = Command::cargo_bin("xtask").expect("built with this test");
    command.env_remove("CI").env("NO_COLOR", "1");
    command
}

#[test]
fn help_is_data_and_names_every_command() {
    let mut told = xtask().arg("--help").assert().success().stderr("");
    for command in ["setup", "scenario", "ci", "tidy"] {
        told = told.stdout(contains(format!("\n  {command} ")));
    }
    told.stdout(contains("Usage: cargo xtask <COMMAND>"));
}

#[test]
fn each_command_explains_itself() {
    xtask()
        .args(["setup", "--help"])
        .assert()
        .success()
        .stdout(contains("bookworm-backports").and(contains("--yes")));
    xtask()
        .args(["ci", "--help"])
        .assert()
        .success()
        .stdout(contains("N passed, N failed").and(contains("--full")));
    xtask().args(["tidy", "--help"]).assert().success().stdout(contains("--fix"));
}

#[test]
fn an_unknown_command_is_wrong_input_and_the_nearest_is_named() {
    xtask()
        .arg("setpu")
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("unrecognized subcommand").and(contains("setup")));
    xtask().assert().code(2).stdout("");
    xtask().args(["setup", "--format", "xml"]).assert().code(2).stderr(contains("json"));
}

#[test]
fn setup_lists_tools_as_json() {
    // A machine with nothing in PATH but what administrators use; nobody to ask. So nothing is installed, whatever lacks.
    let empty = tempfile::tempdir().expect("a temporary directory");
    let output = xtask()
        .args(["setup", "--format", "json"])
        .env("PATH", empty.path())
        .output()
        .expect("it runs");
    let tools: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("stdout is JSON and nothing else");
    let tools = tools.as_array().expect("a list");
    let ssh = tools.iter().find(|tool| tool["name"] == "ssh").expect("ssh is in the table");
    assert_eq!(ssh["verdict"]["state"], "absent");
    assert_eq!(ssh["package"], "openssh-client");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{talk}");
    assert!(
        talk.contains("error: this machine lacks")
            && talk.contains("ssh: missing (used to reach boards)"),
        "{talk}"
    );
    assert!(talk.contains("hint: type these commands"), "{talk}");
}

#[test]
fn the_scenario_program_gets_its_arguments_as_they_are() {
    // A cargo that shows how it was called.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cargo = dir.path().join("cargo");
    let script = "#!/bin/sh\ncase \"$1\" in\nmetadata) echo '{\"workspace_root\": \"/\", \"target_directory\": \"/none\"}';;\n\
                  *) echo \"$@\"; echo \"package: $CARGO_PKG_NAME\"; exit 20;;\nesac\n";
    std::fs::write(&cargo, script).expect("a file");
    std::fs::set_permissions(&cargo, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("permissions");
    xtask()
        .args(["scenario", "run", "netboot", "--machine", "raspi3b", "--help"])
        .env("CARGO", &cargo)
        .assert()
        .code(20)
        .stdout(contains("--package feeder-scenarios --bin scenario"))
        .stdout(contains("-- run netboot --machine raspi3b --help\n"))
        .stdout(contains("package: \n"));
}
