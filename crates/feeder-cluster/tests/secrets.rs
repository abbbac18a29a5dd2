//! Secrets are had from where references say, and are shown nowhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_cluster::{Cluster, Secret, SecretError, load, parse};
use feeder_ui::{Exit, Expected};

/// `openssl passwd -6 -salt a8Sz5Gk1 hunter2` and `mkpasswd --method=yescrypt hunter2`.
const SHA512: &str = "$6$a8Sz5Gk1$CKvLn/S/CwFOrYhtmpRLLMp/Mo7iQ4Ym.L1TpiVOvIf.hlCs6uCM7mcvU68sMr9Wrdod6Ls0fRQ..1tqqC9.s0";
const YESCRYPT: &str = "$y$j9T$7x.m/e9rqFSRFCKM5Dbqn.$PHBZZltBUMqsiHm8M2zSWLybcgQQapszqRXW30mYeZ3";

struct Home {
    _guard: tempfile::TempDir,
    dir: Utf8PathBuf,
}

impl Home {
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        fs_err::create_dir(dir.join("secrets")).unwrap();
        Self { _guard: guard, dir }
    }

    fn file(&self, name: &str, content: &str, mode: u32) {
        let path = self.dir.join(name);
        fs_err::write(&path, content).unwrap();
        fs_err::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// A cluster in which that is the password.
    fn cluster(&self, reference: &str) -> Cluster {
        let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = fs_err::read_to_string(root.join("fixtures/clusters/minimal.toml")).unwrap();
        let path = self.dir.join("cluster.toml");
        fs_err::write(&path, format!("{text}\n[system]\npassword = \"{reference}\"\n")).unwrap();
        load(&path).map_err(|wrong| wrong.to_string()).unwrap().cluster
    }

    fn resolve(&self, reference: &str) -> Result<Secret, SecretError> {
        self.cluster(reference).system.password.unwrap().resolve()
    }

    fn hash(&self, reference: &str) -> Result<Secret, SecretError> {
        self.cluster(reference).system.password.unwrap().password_hash()
    }

    /// What is said, without the name of the folder.
    fn said(&self, error: &SecretError) -> String {
        let text = format!("{error}\n→ {}", error.hint().unwrap_or_default());
        text.replace(self.dir.as_str(), "HOME")
    }
}

#[test]
fn a_secret_is_had_from_where_the_reference_says() {
    let home = Home::new();
    home.file("secrets/pi", "hunter2\n", 0o600);
    home.file("secrets/group", "hunter2", 0o640);
    let path = std::env::var("PATH").unwrap();
    for (reference, value) in [
        ("file:secrets/pi", "hunter2"),
        ("file:secrets/group", "hunter2"),
        (&*format!("file:{}/secrets/pi", home.dir), "hunter2"),
        ("cmd:cat secrets/pi; echo talk >&2", "hunter2"),
        ("env:PATH", path.trim()),
    ] {
        let secret = home.resolve(reference).map_err(|error| error.to_string()).unwrap();
        assert_eq!(secret.expose(), value, "{reference}");
    }
}

#[test]
fn what_keeps_a_secret_from_being_had_is_said_with_its_place() {
    let home = Home::new();
    home.file("secrets/open", "hunter2", 0o644);
    home.file("secrets/written", "hunter2", 0o602);
    home.file("secrets/empty", "\n", 0o600);
    home.file("secrets/two", "hunter2\nhunter3\n", 0o600);
    let said: Vec<String> = [
        "file:secrets/open",
        "file:secrets/written",
        "file:secrets/empty",
        "file:secrets/two",
        "file:secrets/none",
        "file:~/pi",
        "file:secrets",
        "env:FEEDER_TEST_NO_SUCH_SECRET",
        "cmd:echo hunter2; echo 'it is locked' >&2; exit 3",
        "cmd:echo hunter2; exit 1",
        "cmd:printf '\\\\377'",
    ]
    .into_iter()
    .map(|reference| {
        let error = home.resolve(reference).unwrap_err();
        assert_eq!(error.exit(), Exit::Input);
        home.said(&error)
    })
    .collect();
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn a_hash_is_taken_and_a_password_is_not() {
    let home = Home::new();
    let hash = |content: &str| {
        home.file("secrets/pi", content, 0o600);
        home.hash("file:secrets/pi")
    };
    for good in [SHA512.to_owned(), YESCRYPT.to_owned(), SHA512.replace("$6$", "$6$rounds=9000$")] {
        let taken = hash(&good).map_err(|error| error.to_string()).unwrap();
        assert_eq!(taken.expose(), good);
    }
    let cut = &SHA512[..60];
    let injected = YESCRYPT.replace("j9T", "j9T:0:");
    for bad in ["hunter2", "$1$abc$def", cut, &injected, "$6$$", "*", "$y$j9T$"] {
        let error = hash(bad).unwrap_err();
        let said = home.said(&error);
        assert!(said.contains("openssl passwd -6") && said.contains("mkpasswd"), "{said}");
        assert!(!said.contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{said}");
    }
    insta::assert_snapshot!(home.said(&hash("hunter2").unwrap_err()));
}

#[test]
fn a_value_is_in_nothing_that_is_shown() {
    let home = Home::new();
    home.file("secrets/pi", "hunter2", 0o600);
    let cluster = home.cluster("file:secrets/pi");
    let secret = cluster.system.password.as_ref().unwrap().resolve().unwrap();
    assert_eq!(secret.expose(), "hunter2");
    let shown = format!("{secret:?} {cluster:?} {}", serde_json::to_string(&cluster).unwrap());
    assert!(!shown.contains("hunter2") && shown.contains("file:secrets/pi"), "{shown}");
}

#[test]
fn a_secret_in_the_file_is_in_no_message() {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/clusters/invalid");
    let mut seen = 0;
    for entry in root.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        let name = path.file_name().unwrap();
        if !(name.starts_with("secret-") && name.ends_with(".toml")) {
            continue;
        }
        let text = fs_err::read_to_string(&path).unwrap();
        let wrong = parse(&text, "cluster.toml").unwrap_err();
        let json = serde_json::to_string(&wrong).unwrap();
        for said in [wrong.to_string(), wrong.rendered(true), format!("{wrong:?}"), json] {
            assert!(!said.contains("hunter2"), "{name}: {said}");
        }
        seen += usize::from(text.contains("hunter2"));
    }
    assert!(seen > 6, "only {seen} samples hold a secret");
}

#[test]
fn a_secret_that_a_host_has_made_is_kept_for_nobody_else_to_read() {
    let home = Home::new();
    let reference = home.cluster("file:secrets/of/swarm").system.password.unwrap();
    assert_eq!(reference.kept(), Ok(None));
    for value in ["SWMKEY-1-a", "SWMKEY-1-b"] {
        reference.keep(&Secret::new(value)).map_err(|error| error.to_string()).unwrap();
        assert_eq!(reference.kept().unwrap().unwrap().expose(), value);
    }
    let of = home.dir.join("secrets/of");
    let mode = |path: &Utf8Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&of), mode(&of.join("swarm"))), (0o700, 0o600));
    assert_eq!(of.read_dir_utf8().unwrap().count(), 1, "no half of a file is left");
    assert!(home.cluster("env:PATH").system.password.unwrap().keep(&Secret::new("x")).is_err());
}
