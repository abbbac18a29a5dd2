//! A file to start from: by a dialogue at a terminal, by options, and never over one that is there.

#![expect(clippy::unwrap_used, reason = "this is a test, helpers and all")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::{prelude::PredicateBooleanExt, str::contains};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlOVLmDiCJHTEhTFkUUlMYQPQ9FQwQyDn0VI0zVdVvL me@here";
/// How long a terminal may stay silent, in milliseconds: the host may be busy.
const PATIENCE_MS: u64 = 120_000;

/// A folder to work in, which is also the user's home.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(home.path(".ssh")).unwrap();
        home
    }

    fn with_key(self) -> Self {
        std::fs::write(self.path(".ssh/id_ed25519.pub"), format!("{KEY}\n")).unwrap();
        std::fs::write(self.path(".ssh/another.pub"), KEY.replace("me@here", "it@there")).unwrap();
        std::fs::write(self.path(".ssh/broken.pub"), "no key\n").unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self) -> feeder_cluster::Cluster {
        let path = self.path("cluster.toml");
        let path = camino::Utf8Path::from_path(&path).unwrap();
        feeder_cluster::load(path).map_err(|wrong| wrong.to_string()).unwrap().cluster
    }

    fn init(&self) -> Command {
        let mut command = Command::cargo_bin("xtask").unwrap();
        command.arg("init").current_dir(self.0.path()).env("HOME", self.0.path());
        command.env("NO_COLOR", "1");
        command
    }

    fn at_a_terminal(&self, arguments: &[&str]) -> rexpect::session::PtySession {
        let program: &Path = env!("CARGO_BIN_EXE_xtask").as_ref();
        #[expect(clippy::disallowed_methods, reason = "rexpect gives it a terminal, and reaps it")]
        let mut command = std::process::Command::new(program);
        command.arg("init").args(arguments).current_dir(self.0.path());
        command.env("HOME", self.0.path()).env("NO_COLOR", "1").env("TERM", "xterm");
        rexpect::session::spawn_command(command, Some(PATIENCE_MS)).unwrap()
    }
}

#[test]
fn a_dialogue_asks_again_until_the_answer_can_be() {
    let home = Home::new().with_key();
    let mut person = home.at_a_terminal(&[]);
    // Each question, what is answered, and what the answer is told when it cannot be.
    for (question, answer, wrong) in [
        ("name of the cluster [lab]", "Home!", "`Home!` is not a host name"),
        ("name of the cluster [lab]", "home", ""),
        ("addresses of its network [", "192.168.10.0/24", ""),
        ("address of the router [192.168.10.1]", "", ""),
        ("name of the master [cluster00]", "pi00", ""),
        ("address of the master [192.168.10.100]", "192.168.11.7", "outside the cluster's subnet"),
        ("address of the master [192.168.10.100]", "192.168.10.7", ""),
        ("MAC address of pi01, if it is known [none]", "b8:27:eb:40:45:36", ""),
        ("MAC address of pi02, if it is known [none]", "B827EB404536", "two workers have the MAC"),
        ("MAC address of pi02, if it is known [none]", "", ""),
        ("of id_ed25519.pub, another.pub, or none [id_ed25519.pub]", "mine", "not a public key"),
        ("of id_ed25519.pub, another.pub, or none [id_ed25519.pub]", "", ""),
    ] {
        person.exp_string(question).unwrap();
        person.send_line(answer).unwrap();
        person.exp_string(wrong).unwrap();
    }
    person.exp_string("written    cluster.toml").unwrap();
    person.exp_eof().unwrap();

    let cluster = home.read();
    assert_eq!((cluster.name.as_str(), cluster.master.name.as_str()), ("home", "pi00"));
    assert_eq!(cluster.master.address.to_string(), "192.168.10.7");
    let workers: Vec<String> = cluster
        .workers
        .iter()
        .map(|one| format!("{} {} {}", one.name, one.mac, one.address))
        .collect();
    assert_eq!(workers, ["pi01 b8:27:eb:40:45:36 192.168.10.8"]);
    assert_eq!(cluster.system.authorized_keys, [KEY]);
}

#[test]
fn what_options_say_is_not_asked_and_ctrl_c_leaves_nothing() {
    let home = Home::new();
    let mut person = home.at_a_terminal(&["--name", "home", "--subnet", "10.0.0.0/24", "--no-key"]);
    person.exp_string("address of the router [10.0.0.1]").unwrap();
    person.send_line("10.0.0.100").unwrap();
    person.exp_string("name of the master [cluster00]").unwrap();
    person.send_line("").unwrap();
    person.exp_string("address of the master [10.0.0.101]").unwrap();
    person.send_control('c').unwrap();
    person.exp_string("no file was written").unwrap();
    person.exp_eof().unwrap();
    assert!(!home.path("cluster.toml").exists());
}

#[test]
fn guesses_of_whatever_machine_make_a_cluster() {
    let home = Home::new().with_key();
    let written =
        contains("written    cluster.toml").and(contains("cargo xtask provision --plan --at"));
    home.init().arg("--yes").assert().success().stdout("").stderr(written);
    let cluster = home.read();
    assert_eq!((cluster.name.as_str(), cluster.workers.len()), ("lab", 0));
    assert_eq!(cluster.system.authorized_keys, [KEY]);
    // It is for others to read.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &home.path("cluster.toml").metadata().unwrap().permissions(),
    );
    assert_eq!(mode & 0o044, 0o044);
}

#[test]
fn options_are_checked_as_the_file_is() {
    let home = Home::new();
    let mut init = home.init();
    init.args(["--yes", "--name", "home", "--subnet", "10.1.0.0/24", "--master", "pi"]);
    init.args(["--worker", "b8:27:eb:40:45:36", "--worker", "b8:27:eb:5a:01:c2"]);
    for (wrong, said) in [
        (["--address", "10.2.0.1"], "outside the cluster's subnet"),
        (["--user", "Pi"], "`Pi` is not a user name"),
        (["--dhcp", "none"], "is not"),
        (["--worker", "b8:27"], "is not a MAC address"),
        (["--key", "nowhere.pub"], "the public key nowhere.pub cannot be read"),
    ] {
        let mut init = home.init();
        init.args(["--yes", "--subnet", "10.1.0.0/24"]).args(wrong);
        init.assert().code(2).stdout("").stderr(contains(said));
        assert!(!home.path("cluster.toml").exists(), "{wrong:?}");
    }
    init.assert().success();
    let cluster = home.read();
    let names: Vec<&str> = cluster.nodes().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["pi", "pi-01", "pi-02"]);
    assert_eq!(cluster.master.address.to_string(), "10.1.0.100");
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let home = Home::new();
    std::fs::write(home.path("cluster.toml"), "mine").unwrap();
    home.init().arg("--yes").assert().code(2).stderr(
        contains("cluster.toml is there already").and(contains("hint: --config names another")),
    );
    assert_eq!(std::fs::read_to_string(home.path("cluster.toml")).unwrap(), "mine");
    home.init().args(["--yes", "--force"]).assert().success();
    home.read();
}

#[test]
fn nobody_at_a_terminal_is_told_what_would_be_asked() {
    let home = Home::new();
    home.init()
        .args(["--name", "home"])
        .assert()
        .code(2)
        .stderr(contains("nobody is there to be asked").and(contains("hint: --yes")));
    assert!(!home.path("cluster.toml").exists());
}
