//! An apt repository of locked packages: what images are built from, and what the virtual router serves.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::Cmd;
use feeder_store::{Derivation, Digest, Store};

use crate::{ImageError, Lock, LockedPackage};

/// Of the code below: a new number when the same input gives other bytes.
const MAKE: &str = "1";

/// A directory that is an apt repository of these sets and nothing else: `dists/<suite>` and `pool/` with hard links
/// to the store's blobs.
///
/// It is not signed. Use it with `Trusted: yes`: each file in it was checked against the lock, whose index was signed,
/// and it never leaves this machine and its virtual network.
///
/// # Errors
///
/// [`ImageError::Missing`] when a package was not fetched, [`ImageError::Lock`] when the lock has no such set.
pub fn repository<S: AsRef<str>>(
    store: &Store,
    lock: &Lock,
    sets: &[S],
) -> Result<Utf8PathBuf, ImageError> {
    let packages = lock.of_sets(sets)?;
    let derivation = Derivation::new("repository")
        .input("make", MAKE)
        .input("packages", lock.digest_of(&packages).to_string());
    store.realise(&derivation, |out| write(store, lock, &packages, out))
}

/// The blob of a package.
///
/// # Errors
///
/// [`ImageError::Missing`].
pub(crate) fn blob(store: &Store, package: &LockedPackage) -> Result<Utf8PathBuf, ImageError> {
    store.blob(&package.sha256).ok_or_else(|| {
        let LockedPackage { name, version, architecture, .. } = package;
        ImageError::Missing { package: format!("{name} {version} ({architecture})") }
    })
}

fn write(
    store: &Store,
    lock: &Lock,
    packages: &[&LockedPackage],
    out: &Utf8Path,
) -> Result<(), ImageError> {
    let problem = || ImageError::io("write an apt repository");
    let mut indices: BTreeMap<&str, String> = BTreeMap::from([("main", String::new())]);
    for package in packages {
        let blob = blob(store, package)?;
        let place = out.join(&package.path);
        fs_err::create_dir_all(place.parent().unwrap_or(out)).map_err(problem())?;
        fs_err::hard_link(&blob, &place).map_err(problem())?;
        let index = indices.entry(package.component()).or_default();
        index.push_str(&stanza(package, &control(&blob)?));
    }

    let dist = out.join("dists").join(&lock.suite);
    let mut listed = String::new();
    for (component, index) in &indices {
        let name = format!("{component}/binary-{}/Packages", lock.architecture);
        fs_err::create_dir_all(dist.join(&name).parent().unwrap_or(out)).map_err(problem())?;
        fs_err::write(dist.join(&name), index).map_err(problem())?;
        listed.push_str(&format!(" {} {} {name}\n", Digest::of(index), index.len()));
    }
    let components: Vec<&str> = indices.keys().copied().collect();
    let release = format!(
        "Origin: Debian\nLabel: Debian\nSuite: stable\nCodename: {}\nDate: {}\nArchitectures: {}\nComponents: {}\n\
         Description: Locked packages of Debian {}\nSHA256:\n{listed}",
        lock.suite,
        lock.release_date.strftime("%a, %d %b %Y %H:%M:%S UTC"),
        lock.architecture,
        components.join(" "),
        lock.suite,
    );
    fs_err::write(dist.join("Release"), release).map_err(problem())
}

/// The control file inside a `.deb`.
fn control(deb: &Utf8Path) -> Result<String, ImageError> {
    let output = Cmd::new("dpkg-deb")
        .args(["--field", deb.as_str()])
        .env("LC_ALL", "C")
        .run()
        .map_err(ImageError::process(format!("read the control file of {deb}")))?;
    Ok(output.stdout_text())
}

/// A package's entry in `Packages`: its control file, and where and what the file is.
fn stanza(package: &LockedPackage, control: &str) -> String {
    let LockedPackage { path, size, sha256, .. } = package;
    format!("{}\nFilename: {path}\nSize: {size}\nSHA256: {sha256}\n\n", control.trim_end())
}
