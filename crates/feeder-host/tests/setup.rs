//! Setting up a machine that is made of a temporary directory: its programs are shell scripts that print versions, and its
//! apt-get installs more of them.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_host::{
    Consent, Host, HostError, Look, Need, NotInstalled, Privilege, Supply, TOOLS, inventory_of,
    require_on,
};
use feeder_process::Cmd;
use feeder_ui::{Exit, Expected, Progress};
use tempfile::TempDir;

const BOOKWORM: &str =
    "ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
const SOURCES: &str = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
                       Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";

/// What apt-get does: notes its arguments, and puts every tool of the table in its place.
const APT_GET: &str = r#"#!/bin/sh
echo "$@" >>@ROOT@/apt.log
case " $* " in *" install "*) ;; *) exit 0;; esac
echo "Setting up everything"
cp @ROOT@/store/* @ROOT@/bin/
mkdir -p @ROOT@/usr/share/keyrings @ROOT@/usr/lib/binfmt.d
echo 'Debian Stable Release Key (13/trixie)' >@ROOT@/usr/share/keyrings/debian-archive-keyring.gpg
echo ':qemu-aarch64:M::magic:mask:/usr/bin/qemu-aarch64-static:OP' >@ROOT@/usr/lib/binfmt.d/qemu-aarch64.conf
"#;

/// The kernel, as far as binfmt_misc goes: mounting makes the registry; a registration becomes an entry.
const MOUNT: &str = "#!/bin/sh\nmkdir -p \"$4\" && : >\"$4/register\"\n";
const TEE: &str = r#"#!/bin/sh
case "$1" in
*/register) echo "$(cat)" >>@ROOT@/registered
  printf 'enabled\nflags: OPF\nmagic 7f454c460201010000000000000000000200b700\n' >"${1%register}qemu-aarch64";;
*) exec /usr/bin/tee "$@";;
esac
"#;

struct Machine {
    dir: TempDir,
    host: Host,
}

impl Machine {
    fn new(os_release: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = Utf8Path::from_path(dir.path()).expect("a UTF-8 path").to_owned();
        let path = format!("{root}/bin:{root}/shell").into();
        let host = Host {
            root,
            path,
            privilege: Privilege::Root,
            architecture: "x86_64".into(),
            ci: false,
        };
        let machine = Self { dir, host };
        machine.write("etc/os-release", os_release);
        machine.write("etc/apt/sources.list.d/debian.sources", SOURCES);
        for tool in TOOLS {
            match tool.look {
                Look::Program(names) => {
                    machine.script(&format!("store/{}", names[0]), "#!/bin/sh\n")
                }
                Look::UnlessRoot(name) => machine.script(&format!("store/{name}"), "#!/bin/sh\n"),
                Look::Versioned { program, least, .. } => {
                    machine.script(
                        &format!("store/{program}"),
                        &format!("#!/bin/sh\necho tool version {least}.1\n"),
                    );
                }
                Look::File { .. } | Look::Arm64Programs => {}
            }
        }
        fs::remove_file(machine.at("store/apt-get")).expect("it was written above");
        machine.script("bin/apt-get", APT_GET);
        machine.script("bin/mount", MOUNT);
        machine.script("bin/tee", TEE);
        fs::create_dir_all(machine.at("shell")).expect("a directory");
        for real in ["sh", "cat", "cp", "mkdir", "sed", "env", "printf"] {
            let target = ["/bin", "/usr/bin"]
                .iter()
                .map(|dir| Utf8Path::new(dir).join(real))
                .find(|file| file.exists());
            std::os::unix::fs::symlink(
                target.expect("a POSIX machine"),
                machine.at("shell").join(real),
            )
            .expect("a link");
        }
        machine
    }

    fn at(&self, path: &str) -> Utf8PathBuf {
        self.host.root.join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.at(path);
        fs::create_dir_all(file.parent().expect("in a directory")).expect("a directory");
        fs::write(file, text).expect("a file");
    }

    /// Another process writes it: a file that this one has open for writing, or one forked from it meanwhile, could not be
    /// started.
    fn script(&self, path: &str, text: &str) {
        let write = "mkdir -p \"${0%/*}\" && cat >\"$0\" && chmod 755 \"$0\"";
        let text = text.replace("@ROOT@", self.host.root.as_str());
        Cmd::new("sh")
            .args(["-c", write, self.at(path).as_str()])
            .stdin(text)
            .run()
            .expect("a script");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    fn require(&self, consent: Consent) -> Result<(), HostError> {
        require_on(&self.host, &Need::ALL, consent, &Progress::silent())
    }
}

#[test]
fn a_server_is_installed_where_nobody_lives_and_only_used_elsewhere() {
    let machine = Machine::new(BOOKWORM);
    let sshd = |host: &Host| {
        let tools = inventory_of(host, &[Need::Checks]);
        let sshd = tools.into_iter().find(|tool| tool.name == "sshd").unwrap();
        (sshd.is_missing(), sshd.package)
    };
    assert_eq!(sshd(&machine.host), (false, None));
    let ci = Host { ci: true, ..machine.host.clone() };
    assert_eq!(sshd(&ci), (true, Some("openssh-server")));
}

#[test]
fn a_bare_bookworm_gets_everything_and_then_nothing_more() {
    let machine = Machine::new(BOOKWORM);
    machine.require(Consent::Given).expect("set up");

    let source = machine.read("etc/apt/sources.list.d/feeder-backports.sources");
    assert!(
        source.contains("URIs: http://mirror.example/debian\nSuites: bookworm-backports\n"),
        "{source}"
    );
    let log = machine.read("apt.log");
    let calls: Vec<&str> = log.lines().collect();
    assert_eq!(calls.len(), 3, "{log}");
    assert!(calls[0].ends_with("update"), "{log}");
    assert!(calls[1].contains("--no-install-recommends arch-test busybox chromium cpio"), "{log}");
    assert!(
        calls[2].ends_with("-t bookworm-backports qemu-system-arm qemu-user-static qemu-utils"),
        "{log}"
    );
    assert_eq!(
        machine.read("registered"),
        ":qemu-aarch64:M::magic:mask:/usr/bin/qemu-aarch64-static:OPF\n",
        "registered once, with the flag F"
    );

    machine.require(Consent::Ask).expect("nothing to ask");
    assert_eq!(machine.read("apt.log"), log, "the second time changes nothing");
}

#[test]
fn trixie_needs_no_backports() {
    let machine = Machine::new(&BOOKWORM.replace("bookworm", "trixie"));
    machine.require(Consent::Given).expect("set up");
    assert!(!machine.at("etc/apt/sources.list.d/feeder-backports.sources").exists());
    let log = machine.read("apt.log");
    assert_eq!(log.lines().count(), 2, "update and one install: {log}");
    assert!(log.contains("qemu-system-arm") && !log.contains(" -t "), "{log}");
}

#[test]
fn an_old_tool_is_as_good_as_none() {
    let machine = Machine::new(BOOKWORM);
    machine.require(Consent::Given).expect("set up");
    machine.script("bin/qemu-system-aarch64", "#!/bin/sh\necho QEMU emulator version 7.2.15\n");
    let tools = inventory_of(&machine.host, &[Need::Qemu]);
    let qemu = tools.iter().find(|tool| tool.name == "qemu-system-aarch64").expect("in the table");
    assert!(qemu.is_missing());
    assert_eq!(qemu.state(), "7.2.15, needed is 8.2 or newer");

    fs::remove_file(machine.at("apt.log")).expect("apt ran");
    machine.require(Consent::Given).expect("set up again");
    let log = machine.read("apt.log");
    assert!(
        log.lines()
            .last()
            .is_some_and(|line| line.ends_with("-t bookworm-backports qemu-system-arm")),
        "{log}"
    );
}

#[test]
fn without_root_nothing_is_touched_and_the_commands_are_told() {
    let machine = Machine::new(BOOKWORM);
    let error = refused(&machine, NotInstalled::NoRoot);
    let hint = error.hint().expect("a hint");
    assert!(hint.contains("sudo tee") && hint.contains("Suites: bookworm-backports"), "{hint}");
    assert!(hint.contains("sudo apt-get") && hint.contains("qemu-system-arm"), "{hint}");
    assert!(error.to_string().contains(
        "qemu-system-aarch64: missing, needed is 8.2 or newer (used to run virtual boards"
    ));
    assert_eq!(error.exit(), Exit::Host);
    assert!(
        !machine.at("apt.log").exists()
            && !machine.at("etc/apt/sources.list.d/feeder-backports.sources").exists()
    );
}

/// Requires without root and with a sudo that wants a password.
fn refused(machine: &Machine, expected: NotInstalled) -> HostError {
    machine.script("bin/sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n");
    let host = Host { privilege: Privilege::NotRoot, ..machine.host.clone() };
    let error =
        require_on(&host, &Need::ALL, Consent::Given, &Progress::silent()).expect_err("refused");
    match &error {
        HostError::Missing { why, .. } => assert_eq!(*why, expected),
        other => panic!("{other}"),
    }
    error
}

#[test]
fn sudo_without_a_password_will_do() {
    let machine = Machine::new(BOOKWORM);
    machine.script(
        "bin/sudo",
        "#!/bin/sh\nprintf '%s\\n' \"$*\" >>@ROOT@/sudo.log\nshift\n[ \"$1\" = true ] || exec \"$@\"\n",
    );
    let host = Host { privilege: Privilege::NotRoot, ..machine.host.clone() };
    require_on(&host, &Need::ALL, Consent::Given, &Progress::silent()).expect("set up");
    let log = machine.read("sudo.log");
    assert!(log.lines().all(|line| line.starts_with("-n ")), "{log}");
    assert!(machine.at("bin/newuidmap").exists(), "needed where we are not root");
}

#[test]
fn another_distribution_is_left_alone() {
    let machine = Machine::new("ID=fedora\nPRETTY_NAME=\"Fedora Linux 42\"\n");
    fs::remove_file(machine.at("bin/apt-get")).expect("it was there");
    let error = machine.require(Consent::Given).expect_err("not ours to change");
    let text = format!("{error}\n{}", error.hint().unwrap_or_default());
    assert!(
        text.contains("this is Fedora Linux 42")
            && text.contains("Debian calls the packages: apt arch-test"),
        "{text}"
    );
}

#[test]
fn a_failing_apt_is_told_with_its_words() {
    let machine = Machine::new(BOOKWORM);
    machine.script("bin/apt-get", "#!/bin/sh\necho 'E: Failed to fetch' >&2\nexit 100\n");
    let error = machine.require(Consent::Given).expect_err("apt fails");
    let text = feeder_ui::render(&error);
    assert!(
        text.contains("could not read the package lists") && text.contains("E: Failed to fetch"),
        "{text}"
    );
    assert_eq!(error.exit(), Exit::Host);
}

#[test]
fn packages_that_bring_nothing_are_noticed() {
    let machine = Machine::new(BOOKWORM);
    machine.script("bin/apt-get", "#!/bin/sh\nmkdir -p @ROOT@/usr/lib/binfmt.d; : >@ROOT@/usr/lib/binfmt.d/qemu-aarch64.conf\n");
    let error = machine.require(Consent::Given).expect_err("nothing came");
    assert!(matches!(&error, HostError::StillMissing { tools } if tools.len() > 10), "{error}");
}

#[test]
fn optional_tools_are_never_missing() {
    let machine = Machine::new(BOOKWORM);
    for tool in inventory_of(&machine.host, &Need::ALL) {
        let optional =
            TOOLS.iter().any(|row| row.name == tool.name && row.supply == Supply::Optional);
        assert!(!(optional && tool.is_missing()), "{}", tool.name);
    }
    drop(machine.dir);
}
