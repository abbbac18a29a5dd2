//! The machine that is looked at.

use std::{
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::Cmd;

/// A machine: where its files are, where its programs are, and what we may do there. [`Host::this`] is the real one;
/// tests make their own in a temporary directory.
#[derive(Debug, Clone)]
pub struct Host {
    /// `/`, or a directory that stands for it.
    pub root: Utf8PathBuf,
    /// Where programs are looked for, as in `PATH`.
    pub path: OsString,
    /// What we may do.
    pub privilege: Privilege,
    /// The processor's architecture, as Rust names it.
    pub architecture: String,
    /// Whether it is there to be tested on, and nobody lives on it.
    pub ci: bool,
}

/// What we may do on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// We are root.
    Root,
    /// `sudo` may make us root, perhaps after asking for a password.
    NotRoot,
}

/// What `/etc/os-release` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distribution {
    /// `debian`, `ubuntu`, `fedora`…; empty when unknown.
    pub id: String,
    /// `bookworm`, `trixie`…; empty when there is none.
    pub codename: String,
    /// For people.
    pub pretty_name: String,
}

/// Whether `CI=true` in the environment says that nobody lives on this machine.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| matches!(&*value, "true" | "1"))
}

impl Host {
    /// The machine we run on.
    pub fn this() -> Self {
        let root = rustix::process::geteuid().is_root();
        Self {
            root: "/".into(),
            path: with_sbin(&std::env::var_os("PATH").unwrap_or_default()),
            privilege: if root { Privilege::Root } else { Privilege::NotRoot },
            architecture: std::env::consts::ARCH.to_owned(),
            ci: in_ci(),
        }
    }

    /// Where an absolute path of the machine is.
    pub fn file(&self, path: &str) -> Utf8PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The first executable of that name in the machine's path.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let executable = |file: &PathBuf| {
            file.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        std::env::split_paths(&self.path).map(|dir| dir.join(name)).find(executable)
    }

    /// A program of the machine, to be run with the machine's path.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Cmd {
        Cmd::new(program).env("PATH", &self.path).env("LC_ALL", "C.UTF-8")
    }

    /// Which distribution it is; nothing known when there is no `os-release`.
    pub fn distribution(&self) -> Distribution {
        let read = |path| std::fs::read_to_string(self.file(path)).ok();
        let text = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"));
        text.map(|text| Distribution::parse(&text)).unwrap_or_default()
    }

    /// Whether `sudo` makes us root without asking for a password.
    pub(crate) fn sudo_is_free(&self) -> bool {
        let Some(sudo) = self.program("sudo") else { return false };
        self.command(sudo).args(["-n", "true"]).output().is_ok_and(|output| output.status.success())
    }
}

impl Distribution {
    /// Reads `os-release` (os-release(5)).
    pub fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line =
                text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
            Some(line.trim_matches(['"', '\'']).to_owned())
        };
        Self {
            id: value("ID").unwrap_or_default(),
            codename: value("VERSION_CODENAME").unwrap_or_default(),
            pretty_name: value("PRETTY_NAME")
                .or_else(|| value("NAME"))
                .unwrap_or_else(|| "an unknown system".into()),
        }
    }

    /// Whether packages are those of Debian itself.
    pub fn is_debian(&self) -> bool {
        self.id == "debian"
    }
}

/// A `PATH` that also has the directories for administrators, where `mke2fs` and `fsck.fat` are: an ordinary user's PATH
/// lacks them on Debian.
pub fn with_sbin(path: &OsStr) -> OsString {
    let mut dirs: Vec<PathBuf> =
        std::env::split_paths(path).filter(|dir| dir != Path::new("")).collect();
    for sbin in ["/usr/local/sbin", "/usr/sbin", "/sbin"] {
        if !dirs.iter().any(|dir| dir == Utf8Path::new(sbin)) {
            dirs.push(sbin.into());
        }
    }
    std::env::join_paths(dirs).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        let debian = Distribution::parse(text);
        assert_eq!((debian.id.as_str(), debian.codename.as_str()), ("debian", "bookworm"));
        assert_eq!(debian.pretty_name, "Debian GNU/Linux 12 (bookworm)");
        let derived = Distribution::parse(
            "ID='ubuntu'\nID_LIKE=debian\nVERSION_CODENAME=noble\nNAME=Ubuntu\n",
        );
        assert!(!derived.is_debian() && derived.pretty_name == "Ubuntu");
        assert!(!Distribution::parse("").is_debian());
    }

    #[test]
    fn sbin_comes_last_and_once() {
        assert_eq!(
            with_sbin(OsStr::new("/usr/bin:/usr/sbin")),
            "/usr/bin:/usr/sbin:/usr/local/sbin:/sbin"
        );
        let full = with_sbin(OsStr::new("/bin"));
        assert_eq!(with_sbin(&full), full);
    }
}
