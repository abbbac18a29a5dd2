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
    for command in [
        "setup",
        "image",
        "init",
        "discover",
        "provision",
        "ssd",
        "generation",
        "node",
        "scenario",
        "bench",
        "ci",
        "tidy",
    ] {
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
fn images_are_listed_and_an_unknown_one_is_wrong_input() {
    let output = xtask().args(["image", "list", "--format", "json"]).output().expect("it runs");
    let listed: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("stdout is JSON and nothing else");
    assert_eq!(listed["recipes"][0], "master-sd");
    let sets = listed["sets"].as_array().expect("a list");
    assert!(
        sets.iter().any(|set| set["name"] == "master" && set["packages"].as_u64() > Some(100)),
        "{listed}"
    );
    xtask()
        .args(["image", "build", "maste"])
        .assert()
        .code(2)
        .stderr(contains("hint: the recipes are: master-sd"));
}

#[test]
fn provisioning_without_a_cluster_is_wrong_input() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut provision = xtask();
    provision.arg("provision").current_dir(dir.path());
    provision.assert().code(2).stdout("").stderr(contains("cluster.toml").and(contains("hint: ")));

    std::fs::write(dir.path().join("cluster.toml"), "[cluster]\nnmae = \"lab\"\n").expect("a file");
    provision.assert().code(2).stdout("").stderr(contains("cluster.toml:2").and(contains("nmae")));
    provision.args(["--at", "cluster00"]).assert().code(2).stderr(contains("NAME=ADDRESS"));
}

#[test]
fn a_secret_that_is_not_to_be_had_is_told_with_its_place_before_anything_is_asked() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let lab = include_str!("../../fixtures/clusters/lab.toml");
    let write = |sections: &str, master: &str| {
        let lab = lab.replace("[master]", &format!("[master]\n{master}"));
        std::fs::write(dir.path().join("cluster.toml"), lab + sections).expect("a file");
    };
    program(dir.path(), "ssh", "echo \"$*\" >>\"${0%/*}/calls\"\nexit 255\n");
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    let mut provision = xtask();
    provision.args(["provision", "--plan"]).current_dir(dir.path()).env("PATH", path);

    write("[system]\npassword = \"env:FEEDER_TEST_HASH\"\n", "");
    provision
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("cluster.toml:36:12").and(contains("FEEDER_TEST_HASH is not set")));
    provision
        .env("FEEDER_TEST_HASH", "hunter2")
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("openssl passwd -6").and(contains("hunter2").not()));
    write("", "sudo-password = \"file:pi\"");
    std::fs::write(dir.path().join("pi"), "hunter2").expect("a file");
    provision.assert().code(2).stdout("").stderr(
        contains("cluster.toml:14:17: the secret `file:pi`").and(contains("hint: chmod 600 pi")),
    );
    assert!(!dir.path().join("calls").exists(), "nobody was asked");
}

#[test]
fn the_password_for_sudo_goes_by_standard_input_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let lab = include_str!("../../fixtures/clusters/lab.toml");
    let lab = lab.replace("[master]", "[master]\nsudo-password = \"cmd:cat pi\"");
    std::fs::write(dir.path().join("cluster.toml"), lab).expect("a file");
    std::fs::write(dir.path().join("pi"), "hunter2\n").expect("a file");
    let told = "cd \"${0%/*}\"; { echo \"$*\"; env; } >>told; cat >>input; exit 255\n";
    program(dir.path(), "ssh", told);
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    let run = |command: &[&str]| {
        let mut xtask = xtask();
        xtask.args(command).current_dir(dir.path()).env("PATH", &path);
        xtask.assert().code(4).stdout(contains("hunter2").not()).stderr(contains("hunter2").not());
        let read = |name: &str| {
            let path = dir.path().join(name);
            let text = std::fs::read_to_string(&path).expect("ssh was called");
            std::fs::remove_file(path).expect("it is there");
            text
        };
        let (told, input) = (read("told"), read("input"));
        assert!(!told.contains("hunter2"), "{told}");
        input
    };
    for command in
        [&["provision", "--plan"][..], &["node", "exec", "cluster00", "--root", "--", "id"]]
    {
        let input = run(command);
        assert!(input.starts_with("hunter2\n{\n"), "{input}");
    }
    // Where there is no sudo, there is nothing for it.
    let input = run(&["node", "exec", "cluster00", "--", "id"]);
    assert!(!input.contains("hunter2"), "{input}");
}

#[test]
fn every_command_that_reads_the_cluster_hears_the_environment_and_set() {
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/clusters/lab.toml");
    for command in [
        &["provision", "--plan"][..],
        &["node", "exec", "--all"],
        &["generation", "list"],
        &["ssd", "status"],
    ] {
        let mut told = xtask();
        told.args(command).args(["--config", lab]);
        if command[0] == "node" {
            told.args(["--set", "master.user=pi", "--", "true"]);
        }
        told.env("FEEDER_MASTER_ADDRESS", "192.168.11.9");
        told.assert().code(2).stdout("").stderr(
            contains("the environment:1:23").and(contains("FEEDER_MASTER_ADDRESS=192.168.11.9")),
        );
    }
    let mut provision = xtask();
    provision.args([
        "provision",
        "--plan",
        "--config",
        lab,
        "--set",
        "master.address=192.168.12.1",
    ]);
    provision.env("FEEDER_MASTER_ADDRESS", "192.168.11.9");
    provision
        .assert()
        .code(2)
        .stderr(contains("--set master.address=192.168.12.1").and(contains("192.168.11.9").not()));
    xtask().args(["provision", "--set", "x"]).assert().code(2).stderr(contains("KEY=VALUE"));
}

#[test]
fn at_is_for_nodes_of_the_cluster() {
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/clusters/lab.toml");
    let mut provision = xtask();
    provision.args(["provision", "--config", lab, "--at", "elsewhere=127.0.0.1"]);
    provision.assert().code(2).stderr(
        contains("the cluster has no node `elsewhere`").and(contains("hint: its nodes are")),
    );
}

#[test]
fn a_cluster_without_an_ssd_has_no_status_of_it() {
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/clusters/lab.toml");
    for command in ["status", "finish"] {
        xtask()
            .args(["ssd", command, "--config", lab])
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains("cluster.toml names no SSD").and(contains("add [master.ssd]")));
    }
    xtask().args(["ssd", "finish", "--help"]).assert().success().stdout(contains("feeder-sd"));
}

#[test]
fn a_master_that_does_not_answer_is_told_with_what_to_do() {
    // An ssh that meets what ssh meets where nothing answers.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let script = "echo \"$*\" >>\"${0%/*}/calls\"\necho 'ssh: connect to host 192.168.10.100 port 22: No route to host' >&2\nexit 255\n";
    program(dir.path(), "ssh", script);
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
    let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/clusters/lab.toml");
    let known_hosts = dir.path().join("known_hosts");
    let mut provision = xtask();
    provision
        .args(["provision", "--plan", "--config", lab, "--known-hosts"])
        .arg(known_hosts)
        .env("PATH", path);
    provision
        .assert()
        .code(4)
        .stdout("")
        .stderr(contains("error: cannot reach the master").and(contains("--at NAME=ADDRESS")));
    let calls =
        |dir: &std::path::Path| std::fs::read_to_string(dir.join("calls")).expect("ssh was called");
    assert!(!calls(dir.path()).contains("10.9.8.7"));

    provision.args(["--at", "cluster00=10.9.8.7"]).assert().code(4);
    assert!(calls(dir.path()).contains("10.9.8.7"), "the second address is tried too");
}

const LAB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/clusters/lab.toml");

/// An ssh whose other side reads a script and answers with what a file holds.
fn answering(dir: &std::path::Path, answer: &str) -> String {
    std::fs::write(dir.join("answer"), answer).expect("a file");
    let script = "cat >>\"${0%/*}/scripts\"\nprintf '\\036feeder begin\\n' >&2\ncat \"${0%/*}/answer\"\nprintf '\\n\\036feeder end 0\\n' >&2\n";
    program(dir, "ssh", script);
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default())
}

#[test]
fn discover_shows_boards_and_adds_them_to_a_file_that_stays_as_it_was_otherwise() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let recording = include_str!("../../fixtures/watch/discover-lab.txt");
    let path = answering(dir.path(), recording);
    let config = dir.path().join("cluster.toml");
    let lab = std::fs::read_to_string(LAB).expect("the sample");
    std::fs::write(&config, &lab).expect("a file");
    let discover = |arguments: &[&str]| {
        let mut command = xtask();
        command.args(["discover", "--for", "5", "--config"]).arg(&config).args(arguments);
        command.env("PATH", &path);
        command
    };
    discover(&[])
        .assert()
        .success()
        .stdout(contains("b8:27:eb:99:00:01  3B+    12990001").and(contains("nobody")))
        .stderr(contains("cluster00 listens on eth0"));
    assert_eq!(std::fs::read_to_string(&config).expect("a file"), lab);
    let scripts = std::fs::read_to_string(dir.path().join("scripts")).expect("scripts were sent");
    assert!(scripts.contains("subnet=192.168.10.0/24 left=5"), "{scripts}");

    let output = discover(&["--add-all", "--format", "json"]).output().expect("it runs");
    let seen: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("stdout is JSON and nothing else");
    assert_eq!(seen["devices"][0]["place"]["worker"], "cluster01");
    assert_eq!(seen["devices"][1]["place"]["added"], "cluster03");
    let added = std::fs::read_to_string(&config).expect("a file");
    assert!(added.starts_with(&lab) && added.contains("\nserial  = \"12990001\"\n"), "{added}");
}

#[test]
fn a_master_that_cannot_listen_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = answering(dir.path(), "no tcpdump\n");
    let mut discover = xtask();
    discover.args(["discover", "--config", LAB]).env("PATH", path);
    discover.assert().code(4).stdout("").stderr(
        contains("error: cannot listen on cluster00: tcpdump is not installed there")
            .and(contains("hint: install it: cargo xtask node exec cluster00 --root")),
    );
    discover.arg("--add").assert().code(2).stderr(contains("hint: say --add-all"));
    discover.arg("--add-all").assert().code(2).stderr(contains("cannot be used with"));
    xtask().args(["discover", "--for", "0"]).assert().code(2).stderr(contains("--for"));
}

/// An ssh behind which a master logs and looks, and one of two workers answers, through the master alone.
const NODES: &str = r#"dir=${0%/*}
case "$*" in
  *' -O exit '*) exit ;;
  *ProxyCommand=*' cluster01'*) ;;
  *ProxyCommand=*) echo 'Connection closed by UNKNOWN port 65535' >&2; exit 255 ;;
  *cluster00*) ;;
  *) echo "not through the master: $*" >&2; exit 255 ;;
esac
case "$*" in
  *' sh') ;;
  *) exit ;;
esac
script=$(cat)
printf '\036feeder begin\n' >&2
case $script in
  *'--follow'*) exec sleep 60 ;;
  *journalctl*) cat "$dir/journal" ;;
  *'echo "look '*)
    printf 'look %s\nunit dnsmasq active\nunit nfs-server active\nsystem running\nspace 100 1 99\nuptime 900.0 1.0\nend\n' "$(date +%s)"
    case $script in *times=-1*) exec sleep 60 ;; esac ;;
  *'echo "cmdline '*)
    printf 'cmdline nfsroot=192.168.10.100:/srv/feeder/generations/1/root,vers=3\nuptime 30.5 1.0\nsystem running\nspace 100 1 99\n' ;;
esac
printf '\n\036feeder end 0\n' >&2
"#;

/// `xtask watch` on those nodes, called by these words.
fn watch(dir: &std::path::Path, words: &[&str]) -> Command {
    let journal = include_str!("../../fixtures/watch/dnsmasq-boot.jsonl");
    std::fs::write(dir.join("journal"), journal).expect("a file");
    program(dir, "ssh", NODES);
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("timeout");
    // As Ctrl-C does, when it goes on for that long.
    command.args(["--preserve-status", "--signal", "INT", "6"]);
    command.arg(assert_cmd::cargo::cargo_bin("xtask"));
    command.args(["watch", "--config", LAB, "--known-hosts"]).arg(dir.join("known_hosts"));
    command.args(words).env_remove("CI").env("NO_COLOR", "1").env("PATH", path);
    command
}

#[test]
fn watch_shows_every_node_once_and_says_by_its_exit_whether_all_is_well() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = watch(dir.path(), &["--once", "--format", "json"]).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "the second worker is silent: {told}");
    let seen: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("stdout is JSON and nothing else");
    assert_eq!(seen["well"], false);
    let stages: Vec<_> = (0..3).map(|node| seen["nodes"][node]["stage"].clone()).collect();
    assert_eq!(stages, ["up", "up", "silent"]);
    assert_eq!(seen["nodes"][1]["generation"], 1);
    watch(dir.path(), &["--once"])
        .assert()
        .code(1)
        .stdout(contains("cluster01  up      30 s").and(contains("cluster02: no power")));
}

#[test]
fn watch_goes_on_until_it_is_interrupted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    watch(dir.path(), &[])
        .assert()
        .code(130)
        .stdout(contains("cluster01  up\n").and(contains("cluster02  silent\n")));
}

#[test]
fn watch_tells_programs_of_each_change_on_a_line() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = watch(dir.path(), &["--format", "json"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(130));
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Result<Vec<serde_json::Value>, _> = text.lines().map(serde_json::from_str).collect();
    let lines = lines.expect("every line is a document");
    assert_eq!(lines.last().expect("there are some")["nodes"][1]["stage"], "up");
}

/// Puts a shell script in place of a program. Another process writes it: a file that this one has open for writing, or one
/// forked from it meanwhile, could not be started.
fn program(dir: &std::path::Path, name: &str, script: &str) {
    let write = "cat >\"$0\" && chmod 755 \"$0\"";
    let text = format!("#!/bin/sh\n{script}");
    Command::new("sh").args(["-c", write]).arg(dir.join(name)).write_stdin(text).assert().success();
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
    let script = "case \"$1\" in\nmetadata) echo '{\"workspace_root\": \"/\", \"target_directory\": \"/none\"}';;\n\
                  *) echo \"$@\"; echo \"package: $CARGO_PKG_NAME\"; exit 20;;\nesac\n";
    program(dir.path(), "cargo", script);
    xtask()
        .args(["scenario", "run", "netboot", "--machine", "raspi3b", "--help"])
        .env("CARGO", dir.path().join("cargo"))
        .assert()
        .code(20)
        .stdout(contains("--package feeder-scenarios --bin scenario"))
        .stdout(contains("-- run netboot --machine raspi3b --help\n"))
        .stdout(contains("package: \n"));
    xtask()
        .args(["bench", "--yes", "--format", "json"])
        .env("CARGO", dir.path().join("cargo"))
        .assert()
        .code(20)
        .stdout(contains("-- bench --yes --format json\n"));
}
