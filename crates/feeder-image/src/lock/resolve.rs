//! Resolving package sets with apt, in a private root: this machine's apt state is neither read nor changed.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, ProcessError};
use feeder_store::Digest;
use feeder_ui::Progress;
use jiff::Timestamp;

use super::{Lock, LockedPackage};
use crate::{ImageError, Mirror, PackageSet};

const SUITE: &str = "trixie";
const ARCHITECTURE: &str = "arm64";
const COMPONENTS: &str = "main non-free-firmware";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What the archive says about itself.
pub(super) struct Release {
    pub(super) suite: String,
    pub(super) architecture: String,
    pub(super) date: Timestamp,
    pub(super) sha256: Digest,
}

/// Asks apt what the sets take today. `sets` must be in the order of [`PackageSet::load_dir`]: each after those it
/// is installed on.
///
/// # Errors
///
/// [`ImageError::Signature`] when the archive's index is not signed by a key of Debian, [`ImageError::Process`] when
/// apt fails otherwise, for example because there is no such package.
pub fn lock(sets: &[PackageSet], mirror: &Mirror, progress: &Progress) -> Result<Lock, ImageError> {
    let task = progress.task("lock");
    task.say(format!("index of {SUITE} from {mirror}"));
    let apt = PrivateApt::new(mirror)?;
    apt.update(mirror)?;
    let release = apt.release()?;

    let mut locked: BTreeMap<String, LockedPackage> = BTreeMap::new();
    let mut stanzas: BTreeMap<&str, Vec<Stanza>> = BTreeMap::new();
    for set in sets {
        task.say(format!("resolving {}", set.name));
        let base: Vec<&Stanza> =
            set.on.iter().filter_map(|base| stanzas.get(&**base)).flatten().collect();
        apt.pretend_installed(&base)?;
        let resolved = apt.resolve(set)?;
        for stanza in &resolved {
            let package = stanza.locked()?;
            let known = locked.entry(package.name.clone()).or_insert(package);
            known.sets.push(set.name.clone());
            known.sets.sort();
        }
        // A set stands on everything its bases stand on.
        let all = base.into_iter().cloned().chain(resolved).collect();
        stanzas.insert(&set.name, all);
    }
    let lock = Lock::new(sets, release, locked);
    let bytes: u64 = lock.packages.iter().map(|package| package.size).sum();
    task.done(format!(
        "{} of {SUITE} as of {}, {}",
        feeder_ui::plural(lock.packages.len(), "package"),
        lock.release_date.strftime("%Y-%m-%d"),
        feeder_ui::size(bytes)
    ));
    Ok(lock)
}

/// A directory that apt takes for the root of a machine on which nothing is installed.
struct PrivateApt {
    dir: tempfile::TempDir,
    root: Utf8PathBuf,
}

impl PrivateApt {
    fn new(mirror: &Mirror) -> Result<Self, ImageError> {
        let problem = || ImageError::io("prepare a private root for apt");
        let dir = tempfile::Builder::new().prefix("feeder-apt-").tempdir().map_err(problem())?;
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).map_err(|path| {
            ImageError::Input {
                file: path.to_string_lossy().into_owned().into(),
                why: "the name of the temporary directory is not UTF-8".into(),
            }
        })?;
        for part in [
            "etc/apt/apt.conf.d",
            "etc/apt/preferences.d",
            "etc/apt/sources.list.d",
            "etc/apt/trusted.gpg.d",
            "var/lib/apt/lists/partial",
            "var/lib/dpkg",
            "var/cache/apt/archives/partial",
        ] {
            fs_err::create_dir_all(root.join(part)).map_err(problem())?;
        }
        let apt = Self { dir, root };
        apt.write("var/lib/dpkg/status", "")?;
        apt.write(
            "etc/apt/sources.list",
            &format!("deb [signed-by={KEYRING}] {mirror} {SUITE} {COMPONENTS}\n"),
        )?;
        // The sandbox user of apt may not enter the directory, and has nothing to protect there.
        apt.write(
            "apt.conf",
            &format!(
                "Dir \"{root}\";\nDir::State::status \"{root}/var/lib/dpkg/status\";\nAPT::Sandbox::User \"root\";\n\
                 APT::Architecture \"{ARCHITECTURE}\";\nAPT::Architectures {{ \"{ARCHITECTURE}\"; }};\n\
                 APT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\nAcquire::Retries \"3\";\n{}",
                host_proxy(),
                root = apt.root
            ),
        )?;
        Ok(apt)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), ImageError> {
        fs_err::write(self.root.join(name), text)
            .map_err(ImageError::io("prepare a private root for apt"))
    }

    fn cmd(&self, program: &str) -> Cmd {
        Cmd::new(program)
            .env("APT_CONFIG", self.root.join("apt.conf"))
            .env("LC_ALL", "C")
            .dir(self.dir.path())
    }

    /// Fetches the index and checks its signature.
    fn update(&self, mirror: &Mirror) -> Result<(), ImageError> {
        let failed = match self.cmd("apt-get").args(["-q", "update", "--error-on=any"]).run() {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let said = match &failed {
            ProcessError::Failed { stderr_tail, .. } => stderr_tail.as_str(),
            _ => "",
        };
        let no_keyring = !Utf8Path::new(KEYRING).exists();
        if no_keyring || is_unsigned(said) {
            return Err(ImageError::Signature {
                suite: SUITE.into(),
                mirror: mirror.clone(),
                keyring: KEYRING.into(),
                said: if no_keyring { "there is no such file".into() } else { said.trim().into() },
            });
        }
        Err(ImageError::process(format!("read the index of {SUITE} from {mirror}"))(failed))
    }

    fn release(&self) -> Result<Release, ImageError> {
        let lists = self.root.join("var/lib/apt/lists");
        let problem = || ImageError::io("read the archive's index");
        let mut files = lists.read_dir_utf8().map_err(problem())?.flatten();
        let file = files.find(|entry| entry.file_name().ends_with("_InRelease"));
        let path = file.map_or_else(|| lists.join("InRelease"), camino::Utf8DirEntry::into_path);
        let text = fs_err::read_to_string(&path).map_err(problem())?;
        let date = release_date(&text).ok_or_else(|| ImageError::Input {
            file: "InRelease".into(),
            why: "it has no `Date:` that can be read".into(),
        })?;
        Ok(Release {
            suite: SUITE.into(),
            architecture: ARCHITECTURE.into(),
            date,
            sha256: Digest::of(&text),
        })
    }

    /// Makes apt believe that these are installed.
    fn pretend_installed(&self, base: &[&Stanza]) -> Result<(), ImageError> {
        let status: String = base
            .iter()
            .map(|stanza| format!("{}\nStatus: install ok installed\n\n", stanza.0.trim_end()))
            .collect();
        self.write("var/lib/dpkg/status", &status)
    }

    /// The stanzas of every package that installing the set would bring.
    fn resolve(&self, set: &PackageSet) -> Result<Vec<Stanza>, ImageError> {
        let what = || format!("resolve the package set `{}`", set.name);
        let mut wanted = set.packages.clone();
        if set.essential {
            wanted.push("?essential".into());
        }
        let versions = if set.files_only {
            wanted
        } else {
            let install = ["-q", "--simulate", "--no-remove", "install", "--"];
            let output = self
                .cmd("apt-get")
                .args(install)
                .args(&wanted)
                .run()
                .map_err(ImageError::process(what()))?;
            installed(&output.stdout_text())
        };
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        let show = ["show", "--no-all-versions", "--"];
        let output = self
            .cmd("apt-cache")
            .args(show)
            .args(&versions)
            .run()
            .map_err(ImageError::process(what()))?;
        Ok(output
            .stdout_text()
            .split("\n\n")
            .filter(|text| !text.trim().is_empty())
            .map(|text| Stanza(text.to_owned()))
            .collect())
    }
}

/// Whether apt refused the index because of its signature.
fn is_unsigned(said: &str) -> bool {
    // By gpgv, by sqv, and when there is none.
    ["NO_PUBKEY", "Missing key", "is not signed"].iter().any(|words| said.contains(words))
}

/// The proxy that this machine's apt uses, as lines of configuration. Without it the archive may be out of reach.
fn host_proxy() -> String {
    let Ok(output) = Cmd::new("apt-config")
        .args(["dump", "--no-empty", "Acquire::http::Proxy", "Acquire::https::Proxy"])
        .run()
    else {
        return String::new();
    };
    let text = output.stdout_text();
    text.lines()
        .filter(|line| line.starts_with("Acquire::http"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// `name=version` of each line `Inst name [old] (version origin [arch])` of apt's simulation.
fn installed(simulation: &str) -> Vec<String> {
    let package = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        let version = rest.split_once('(')?.1.split(' ').next()?;
        Some(format!("{name}={version}"))
    };
    simulation.lines().filter_map(package).collect()
}

/// `Date:` of a Release file, RFC 2822 with the zone `UTC`.
fn release_date(text: &str) -> Option<Timestamp> {
    let date = text.lines().find_map(|line| line.strip_prefix("Date:"))?.trim();
    let date = date
        .strip_suffix("UTC")
        .or_else(|| date.strip_suffix("GMT"))
        .or_else(|| date.strip_suffix("+0000"))?;
    let civil = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S", date.trim()).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// One package's entry in the archive's index.
#[derive(Debug, Clone)]
struct Stanza(String);

impl Stanza {
    fn field(&self, name: &str) -> Result<&str, ImageError> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .ok_or_else(|| ImageError::Input {
                file: "the archive's index".into(),
                why: format!("no `{name}` in `{}`", self.0.lines().next().unwrap_or_default()),
            })
    }

    fn locked(&self) -> Result<LockedPackage, ImageError> {
        let number =
            |text: &str| text.parse().map_err(ImageError::input("the archive's index".into()));
        Ok(LockedPackage {
            name: self.field("Package")?.into(),
            version: self.field("Version")?.into(),
            architecture: self.field("Architecture")?.into(),
            path: self.field("Filename")?.into(),
            size: number(self.field("Size")?)?,
            sha256: self
                .field("SHA256")?
                .parse()
                .map_err(ImageError::input("the archive's index".into()))?,
            sets: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_apt_s_simulation() {
        let text = "Reading package lists...\n\
            Inst libc6 (2.41-12 Debian:13.1/stable [arm64]) []\n\
            Inst tzdata [2025a-1] (2025b-4 Debian:13.1/stable [all])\n\
            Conf libc6 (2.41-12 Debian:13.1/stable [arm64])\n";
        assert_eq!(installed(text), ["libc6=2.41-12", "tzdata=2025b-4"]);
    }

    #[test]
    fn tells_a_missing_key_from_a_missing_network() {
        let gpgv = "W: GPG error: http://a.example.test/debian trixie InRelease: The following signatures couldn't be \
                    verified because the public key is not available: NO_PUBKEY 6ED0E7B82643E131";
        let sqv = "Err:1 http://a.example.test/debian trixie InRelease\n  Sub-process /usr/bin/sqv returned an error \
                   code (1), error message is: Missing key 6ED0E7B82643E131, which is needed to verify signature.";
        let none =
            "E: The repository 'http://a.example.test/debian trixie InRelease' is not signed.";
        let down = "E: Failed to fetch http://a.example.test/debian/dists/trixie/InRelease  Could not connect";
        assert!([gpgv, sqv, none].into_iter().all(is_unsigned));
        assert!(!is_unsigned(down));
    }

    #[test]
    fn reads_the_date_of_a_release() {
        let date = |text: &str| release_date(text).map(|date| date.to_string());
        assert_eq!(
            date("Suite: stable\nDate: Sat, 05 Sep 2026 09:12:41 UTC\n").unwrap(),
            "2026-09-05T09:12:41Z"
        );
        assert_eq!(date("Date: Sat,  5 Sep 2026 09:12:41 +0000").unwrap(), "2026-09-05T09:12:41Z");
        assert_eq!(date("Date: yesterday"), None);
    }

    #[test]
    fn reads_a_stanza() {
        let stanza = Stanza(
            "Package: a\nVersion: 1:2\nArchitecture: all\nDepends: b\nFilename: pool/main/a/a/a_2_all.deb\n\
             Size: 3\nSHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
                .into(),
        );
        let package = stanza.locked().unwrap();
        assert_eq!((&*package.version, package.size), ("1:2", 3));
        let error = Stanza("Package: a".into()).locked().unwrap_err().to_string();
        assert!(error.contains("no `Version` in `Package: a`"), "{error}");
    }
}
