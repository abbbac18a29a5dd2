//! From a recipe and a lock to a disk image in the store.

use std::io::{Read, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::Cmd;
use feeder_store::{Derivation, Digest, Store};
use feeder_ui::{Progress, Task, size};
use flate2::{Compression, GzBuilder};
use fs_err::File;

use crate::disk::{assemble, fat};
use crate::files::files_below;
use crate::recipe::Recipe;
use crate::repository::blob;
use crate::{ImageError, Lock, root};

/// Of the code of this crate: a new number when the same input gives other bytes.
const MAKE: &str = "1";

/// A built SD card.
#[derive(Debug, Clone)]
pub struct MasterSd {
    /// The card's contents: a sparse, read-only raw file.
    pub disk: Utf8PathBuf,
    /// Private key that logs in as the image's user; mode 0600.
    pub ssh_key: Utf8PathBuf,
    /// Of everything the image was built from.
    pub digest: Digest,
}

/// Builds the SD card of a recipe, or finds it in the store. Every package must have been fetched.
///
/// # Errors
///
/// [`ImageError::Missing`] when one was not, [`ImageError::Process`] when a tool fails. Nothing is kept then.
pub fn build(
    store: &Store,
    recipe: &Recipe,
    lock: &Lock,
    progress: &Progress,
) -> Result<MasterSd, ImageError> {
    let ssh_key = ssh_key(store)?;
    let derivation = plan(recipe, lock, &ssh_key)?;
    let digest = derivation.hash();
    let task = progress.task("image");
    let found = |dir: Utf8PathBuf| MasterSd {
        disk: dir.join("disk.img"),
        ssh_key: ssh_key.clone(),
        digest,
    };
    if let Some(dir) = store.output(&derivation) {
        task.done(format!("{} {} from store", recipe.name, digest.short()));
        return Ok(found(dir));
    }
    if store.is_being_built(&derivation) {
        task.say(format!("{} {} is being built by another process", recipe.name, digest.short()));
    }
    let dir = store.realise(&derivation, |out| {
        Build { store, recipe, lock, ssh_key: &ssh_key, task: &task }.run(out)
    })?;
    task.done(format!("{} {} built", recipe.name, digest.short()));
    Ok(found(dir))
}

/// The SD card of a recipe, if the store has it already.
///
/// # Errors
///
/// As [`plan`].
pub fn stored(store: &Store, recipe: &Recipe, lock: &Lock) -> Result<Option<MasterSd>, ImageError> {
    let ssh_key = ssh_key(store)?;
    let derivation = plan(recipe, lock, &ssh_key)?;
    let digest = derivation.hash();
    let found = |dir: Utf8PathBuf| MasterSd { disk: dir.join("disk.img"), ssh_key, digest };
    Ok(store.output(&derivation).map(found))
}

/// Everything that decides the bytes of the image.
///
/// # Errors
///
/// [`ImageError::Lock`] when the lock lacks a set, [`ImageError::Process`] when a tool is missing.
pub fn plan(recipe: &Recipe, lock: &Lock, ssh_key: &Utf8Path) -> Result<Derivation, ImageError> {
    let sets: Vec<&String> = recipe.install.iter().chain(&recipe.boot_files).collect();
    let packages = lock.of_sets(&sets)?;
    let mut derivation = Derivation::new(&recipe.name)
        .input("make", MAKE)
        .input("scripts", Digest::of(root::SCRIPTS.concat()).to_string())
        .input("recipe", recipe.digest().to_string())
        .input("packages", lock.digest_of(&packages).to_string())
        .input("ssh-key", public(ssh_key)?.trim());
    // The bytes they write are theirs to decide.
    for (tool, flag) in [
        ("mmdebstrap", "--version"),
        ("dpkg", "--version"),
        ("mke2fs", "-V"),
        ("mkfs.vfat", "--help"),
        ("mcopy", "--version"),
        ("zstd", "--version"),
    ] {
        let output = Cmd::new(tool).arg(flag).env("LC_ALL", "C").output();
        let output = output.map_err(ImageError::process(format!("ask {tool} for its version")))?;
        let said = output.stdout_text() + &output.stderr;
        derivation =
            derivation.input(format!("tool {tool}"), said.lines().next().unwrap_or_default());
    }
    Ok(derivation)
}

/// The key pair of this store. It is made once: an image that everybody could log into would be no good.
fn ssh_key(store: &Store) -> Result<Utf8PathBuf, ImageError> {
    let dir = store.secret("ssh-key", |dir| -> Result<(), ImageError> {
        Cmd::new("ssh-keygen")
            .args([
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                "feeder",
                "-f",
                dir.join("id_ed25519").as_str(),
            ])
            .run()
            .map_err(ImageError::process("make a key pair for the image's user"))?;
        Ok(())
    })?;
    Ok(dir.join("id_ed25519"))
}

fn public(ssh_key: &Utf8Path) -> Result<String, ImageError> {
    fs_err::read_to_string(ssh_key.with_extension("pub"))
        .map_err(ImageError::io("read the public key"))
}

struct Build<'a> {
    store: &'a Store,
    recipe: &'a Recipe,
    lock: &'a Lock,
    ssh_key: &'a Utf8Path,
    task: &'a Task,
}

impl Build<'_> {
    fn run(&self, out: &Utf8Path) -> Result<(), ImageError> {
        let Self { store, recipe, lock, task, .. } = *self;
        let scratch = store.scratch(&recipe.name)?;
        let work = scratch.path().join("root");
        fs_err::create_dir(&work).map_err(ImageError::io("make a directory to build in"))?;
        let root = root::make(store, recipe, lock, &public(self.ssh_key)?, &work, task)?;

        task.say("boot partition");
        let boot = scratch.path().join("boot");
        self.boot_tree(&root, &scratch.path().join("firmware"), &boot)?;
        let parts = recipe.parts().map_err(ImageError::input(Utf8Path::new(&recipe.name)))?;
        let boot_image = scratch.path().join("boot.fat");
        let fat = fat::Fat {
            label: &recipe.disk.boot_label,
            serial: &recipe.disk.boot_serial.to_string(),
            size: parts.boot.size,
            start: parts.boot.start,
            time: lock.release_date.as_second(),
        };
        fat::make(&fat, &boot, &boot_image)?;

        task.say("disk");
        assemble(&parts, recipe.disk.signature, &boot_image, &root.image, &out.join("disk.img"))?;
        let manifest =
            manifest(&boot).map_err(ImageError::io("list what is on the boot partition"))?;
        fs_err::write(out.join("boot.txt"), manifest).map_err(ImageError::io("write the manifest"))
    }

    /// Lays out the boot partition: firmware, kernel, initramfs, device trees, and the recipe's own files.
    fn boot_tree(
        &self,
        root: &root::Root,
        unpacked: &Utf8Path,
        boot: &Utf8Path,
    ) -> Result<(), ImageError> {
        let problem = || ImageError::io("lay out the boot partition");
        fs_err::create_dir(boot).map_err(problem())?;
        for package in self.lock.of_sets(&self.recipe.boot_files)? {
            Cmd::new("dpkg-deb")
                .args(["--extract", blob(self.store, package)?.as_str(), unpacked.as_str()])
                .run()
                .map_err(ImageError::process(format!("unpack {}", package.path)))?;
        }
        let firmware = unpacked.join(&self.recipe.boot.firmware_dir);
        for name in &self.recipe.boot.firmware {
            copy(&firmware.join(name), &boot.join(name)).map_err(problem())?;
        }
        for name in &self.recipe.boot.device_trees {
            copy(&root.device_trees.join(name), &boot.join(name)).map_err(problem())?;
        }
        copy(&root.initramfs, &boot.join("initramfs8")).map_err(problem())?;
        kernel8(&root.kernel, &boot.join("kernel8.img"))?;
        for (path, file) in &self.recipe.boot_overlay {
            root::write_file(&boot.join(path), file).map_err(problem())?;
        }
        Ok(())
    }
}

/// Copies a file or a directory.
fn copy(from: &Utf8Path, to: &Utf8Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs_err::copy(from, to).map(|_| ());
    }
    fs_err::create_dir(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        copy(entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The kernel as Raspberry Pi OS has it: the arm64 `Image`, compressed with gzip, which firmware and QEMU unpack.
fn kernel8(vmlinuz: &Utf8Path, kernel8: &Utf8Path) -> Result<(), ImageError> {
    let problem = || ImageError::io("write kernel8.img");
    let mut image = Vec::new();
    File::open(vmlinuz).and_then(|mut file| file.read_to_end(&mut image)).map_err(problem())?;
    // Documentation/arch/arm64/booting.rst: "ARM\x64" at byte 56. A compressed EFI image ("zboot") has it not.
    if image.get(56..60) != Some(b"ARM\x64") {
        return Err(ImageError::input(vmlinuz)(
            "it is no arm64 `Image`, the only kind a Pi's firmware starts",
        ));
    }
    let file = File::create(kernel8).map_err(problem())?;
    let mut gzip = GzBuilder::new().mtime(0).write(file, Compression::best());
    gzip.write_all(&image).and_then(|()| gzip.finish()).map_err(problem())?;
    Ok(())
}

/// Every file on the boot partition, with size and SHA-256.
fn manifest(boot: &Utf8Path) -> std::io::Result<String> {
    let mut text = String::new();
    for file in files_below(boot)? {
        let (digest, bytes) = Digest::of_reader(File::open(&file)?)?;
        let name = file.strip_prefix(boot).unwrap_or(&file);
        text.push_str(&format!("{digest}  {name}  {}\n", size(bytes)));
    }
    Ok(text)
}
