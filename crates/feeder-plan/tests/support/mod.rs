//! A host that is this machine with a temporary folder for its files, and fakes for what a test must not touch.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "part of the tests, each of which uses some of it"
)]

use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_plan::{File, HostPlan, Mode, Report, RunError, Step, gather, plan, run};
use feeder_remote::Local;

/// Tools that the engine runs on a host, as scripts that keep their state below `$FAKE`.
const FAKES: [(&str, &str); 5] = [
    ("systemctl", include_str!("../fake/systemctl")),
    ("dpkg-query", include_str!("../fake/dpkg-query")),
    ("apt-get", include_str!("../fake/apt-get")),
    // A disk that others write to makes it slow; what it is for, no test can show.
    ("sync", "#!/bin/sh\n[ -f \"$1\" ]\n"),
    ("dpkg", "#!/bin/sh\necho \"dpkg $*\" >>\"$FAKE/log\"\n"),
];

/// The machine under test.
pub struct Machine {
    _guard: tempfile::TempDir,
    pub root: Utf8PathBuf,
    pub host: Local,
}

impl Machine {
    /// Scripts run in `sh`, which Debian makes dash.
    pub fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let bin = root.join("bin");
        for folder in ["bin", "fake/packages", "fake/units"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
        let host = Local::new("cluster00")
            .env("PATH", path)
            .env("FAKE", root.join("fake").as_str())
            .env("FEEDER_RUN", root.join("run").as_str());
        let this = Self { _guard: guard, root, host };
        for (name, text) in FAKES {
            this.program(name, text);
        }
        this
    }

    /// Puts a program in front of all others.
    pub fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn path(&self, name: &str) -> Utf8PathBuf {
        self.root.join(name)
    }

    /// A file below the root, owned by whoever runs the test.
    pub fn file(&self, name: &str, content: impl Into<Vec<u8>>) -> File {
        let (user, group) = me();
        File::new(self.path(name), content).owner(user, group)
    }

    /// Applies, with the first plan.
    pub fn apply(&self, steps: &[Step]) -> Result<Report, RunError> {
        run(&self.host, steps, Mode::Apply, &mut |_| {})
    }

    pub fn plan(&self, steps: &[Step]) -> HostPlan {
        plan(steps, &gather(&self.host, steps).unwrap()).unwrap()
    }

    /// What the fakes were asked to change, and forgets it.
    pub fn log(&self) -> Vec<String> {
        let log = self.root.join("fake/log");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        drop(std::fs::remove_file(&log));
        text.lines().map(str::to_owned).collect()
    }

    /// What is shown, without this run's folder.
    pub fn shown(&self, what: impl ToString) -> String {
        what.to_string().replace(self.root.as_str(), "")
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Utf8Path::new("/"))).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A unit that exists.
    pub fn unit(&self, name: &str, enabled: &str, active: &str) {
        self.write(&format!("fake/units/{name}.enabled"), &format!("{enabled}\n"));
        self.write(&format!("fake/units/{name}.active"), &format!("{active}\n"));
    }

    /// Names below a folder.
    pub fn names(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .path(name)
            .read_dir_utf8()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        names.sort();
        names
    }
}

/// Our own user and group, as numbers.
pub fn me() -> (String, String) {
    use std::os::unix::fs::MetadataExt;
    let me = std::fs::metadata("/proc/self").unwrap();
    (me.uid().to_string(), me.gid().to_string())
}
