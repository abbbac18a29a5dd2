//! The root file system: mmdebstrap, from our own repository, without a network.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, quote};
use feeder_store::Store;
use feeder_ui::Task;

use crate::disk::ext4::{self, Ext4};
use crate::recipe::OverlayFile;
use crate::{ImageError, Lock, LockedPackage, Recipe, repository};

/// What the build runs: the hook outside the new root, the settings inside it, and what makes the file system.
pub(crate) const SCRIPTS: [&str; 3] =
    [include_str!("hook.sh"), include_str!("configure.sh"), include_str!("pack.sh")];

/// What came out: all in one directory that the caller removes.
pub(crate) struct Root {
    /// Image of the file system.
    pub(crate) image: Utf8PathBuf,
    /// The kernel as Debian ships it.
    pub(crate) kernel: Utf8PathBuf,
    /// `initramfs8`.
    pub(crate) initramfs: Utf8PathBuf,
    /// Directory with the device trees.
    pub(crate) device_trees: Utf8PathBuf,
}

/// Builds the root of `recipe` in the empty directory `work`.
pub(crate) fn make(
    store: &Store,
    recipe: &Recipe,
    lock: &Lock,
    ssh_public_key: &str,
    work: &Utf8Path,
    task: &Task,
) -> Result<Root, ImageError> {
    let packages = lock.of_sets(&recipe.install)?;
    let mirror = repository(store, lock, &recipe.install)?;
    let job = Job { recipe, lock, packages: &packages, mirror: &mirror, ssh_public_key, work };
    job.prepare().map_err(ImageError::io("prepare the build of a root file system"))?;
    job.bootstrap(store, task)?;
    task.say("file system");
    job.pack()
}

struct Job<'a> {
    recipe: &'a Recipe,
    lock: &'a Lock,
    packages: &'a [&'a LockedPackage],
    mirror: &'a Utf8Path,
    ssh_public_key: &'a str,
    work: &'a Utf8Path,
}

impl Job<'_> {
    fn time(&self) -> i64 {
        self.lock.release_date.as_second()
    }

    /// Writes everything that the scripts read.
    fn prepare(&self) -> std::io::Result<()> {
        let work = self.work;
        let mut list = String::new();
        for LockedPackage { name, path, .. } in self.packages {
            list.push_str(&format!("{name} {}\n", self.mirror.join(path)));
        }
        fs_err::write(work.join("packages"), list)?;
        fs_err::write(work.join("filters"), filters(self.recipe))?;
        fs_err::write(work.join("variables"), self.variables())?;
        let [hook, configure, pack] = SCRIPTS;
        fs_err::write(work.join("configure.sh"), configure)?;
        let hook = format!("{}{hook}", self.variables());
        fs_err::write(work.join("hook.sh"), hook)?;
        let make = ext4::make(
            &self.ext4(),
            work.join("tree").as_str(),
            work.join("out/root.ext4").as_str(),
        );
        let pack = format!("{}{pack}{}\n", self.variables(), make.command_line());
        fs_err::write(work.join("pack.sh"), pack)?;
        for (path, file) in &self.recipe.root_files {
            write_file(&work.join("overlay").join(path), file)?;
        }
        fs_err::create_dir(work.join("out"))?;
        fs_err::create_dir(work.join("tmp"))?;
        if !we_are_root() {
            // Root of a user namespace is somebody else outside of it.
            open_to_all(&work.join("out"))?;
            open_to_all(&work.join("tmp"))?;
            open_to_all(work)?;
        }
        Ok(())
    }

    /// What the scripts need to know, as assignments.
    fn variables(&self) -> String {
        let Recipe { user, units, boot, .. } = self.recipe;
        let trees: Vec<&str> = boot.device_trees.iter().map(|tree| tree.as_str()).collect();
        [
            ("WORK", self.work.to_string()),
            ("ARCHITECTURE", self.lock.architecture.clone()),
            ("SOURCE_DATE_EPOCH", self.time().to_string()),
            ("MACHINE_ID", self.recipe.machine_id.clone()),
            ("USER_NAME", user.name.clone()),
            ("USER_ID", user.uid.to_string()),
            ("USER_GROUPS", user.groups.join(",")),
            ("SSH_PUBLIC_KEY", self.ssh_public_key.trim().to_owned()),
            ("UNITS_ENABLED", units.enable.join(" ")),
            ("UNITS_MASKED", units.mask.join(" ")),
            ("DEVICE_TREES", trees.join(" ")),
        ]
        .map(|(name, value)| format!("{name}={}\n", quote(&value)))
        .concat()
    }

    fn ext4(&self) -> Ext4<'_> {
        let disk = &self.recipe.disk;
        // The recipe was checked when it was loaded.
        let size = self.recipe.parts().map_or(0, |parts| parts.root.size);
        Ext4 {
            label: &disk.root_label,
            uuid: &disk.root_uuid,
            hash_seed: &disk.root_hash_seed,
            size,
            time: self.time(),
        }
    }

    /// Installs the packages. What the tools say goes to a log, which stays when it fails.
    fn bootstrap(&self, store: &Store, task: &Task) -> Result<(), ImageError> {
        let logs = store.root().join("logs");
        fs_err::create_dir_all(&logs).map_err(ImageError::io("make a directory for logs"))?;
        let log_path = logs.join(format!("{}-{}.log", self.recipe.name, std::process::id()));
        let mut log = fs_err::File::create(&log_path).map_err(ImageError::io("write a log"))?;

        let mode = if we_are_root() { "root" } else { "unshare" };
        let source = format!(
            "deb [trusted=yes] copy://{} {} {}",
            self.mirror,
            self.lock.suite,
            components(self.packages).join(" ")
        );
        let cmd = with_mounts_of_its_own("mmdebstrap")
            .args([&format!("--mode={mode}"), "--variant=essential", "--format=tar", "--verbose"])
            .arg(format!("--architectures={}", self.lock.architecture))
            .arg(format!("--dpkgopt={}/filters", self.work))
            .args(["--dpkgopt=force-unsafe-io", "--aptopt=Acquire::Check-Valid-Until \"false\""])
            .arg(format!("--customize-hook=sh {}/hook.sh \"$1\"", self.work))
            .args([&self.lock.suite, self.work.join("root.tar").as_str(), &source])
            .env("SOURCE_DATE_EPOCH", self.time().to_string())
            .env("TMPDIR", self.work.join("tmp").as_str())
            .env("LC_ALL", "C");
        let mut set_up = 0;
        let result = cmd.stream(|_, line| {
            use std::io::Write as _;
            // A log that cannot be written is no reason to stop.
            let _ = writeln!(log, "{line}");
            if let Some(step) = line.strip_prefix("feeder: ") {
                task.say(step);
            } else if line.starts_with("I: extracting archives") {
                task.say("essential packages");
            } else if line.starts_with("Setting up ") {
                set_up += 1;
                task.count(set_up, Some(self.packages.len() as u64));
            }
        });
        match result {
            Ok(_) => {
                let _ = fs_err::remove_file(&log_path);
                Ok(())
            }
            Err(error) => Err(ImageError::process(format!(
                "build the root file system; all of what was said is in {log_path}"
            ))(error)),
        }
    }

    fn pack(&self) -> Result<Root, ImageError> {
        let script = self.work.join("pack.sh");
        let cmd = if we_are_root() {
            Cmd::new("sh").arg(script.as_str())
        } else {
            Cmd::new("unshare").args([
                "--user",
                "--map-root-user",
                "--map-auto",
                "sh",
                script.as_str(),
            ])
        };
        cmd.run().map_err(ImageError::process("make the root file system"))?;
        let out = self.work.join("out");
        let image = out.join("root.ext4");
        ext4::settle(&image, self.time())?;
        Ok(Root {
            image,
            kernel: out.join("vmlinuz"),
            initramfs: out.join("initramfs8"),
            device_trees: out,
        })
    }
}

/// dpkg's rules about what to leave out, one a line.
fn filters(recipe: &Recipe) -> String {
    let Recipe { packages, modules, .. } = recipe;
    let exclude = packages.exclude.iter().map(|path| format!("path-exclude={path}\n"));
    let modules = modules
        .exclude
        .iter()
        .map(|dir| format!("path-exclude=/usr/lib/modules/*/kernel/{dir}/*\n"));
    let include = packages.include.iter().map(|path| format!("path-include={path}\n"));
    exclude.chain(modules).chain(include).collect()
}

fn components<'a>(packages: &[&'a LockedPackage]) -> Vec<&'a str> {
    let mut components: Vec<&str> = packages.iter().map(|package| package.component()).collect();
    components.sort_unstable();
    components.dedup();
    components
}

/// Writes a file of the recipe, making the directories above it.
pub(crate) fn write_file(path: &Utf8Path, file: &OverlayFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs_err::create_dir_all(path.parent().unwrap_or(path))?;
    fs_err::write(path, &file.text)?;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(file.mode))
}

fn open_to_all(dir: &Utf8Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs_err::set_permissions(dir, std::fs::Permissions::from_mode(0o777))
}

/// A program whose mounts nobody else sees, and which go with it however it ends: what it mounts below the staging directory
/// must not stay there when it is killed.
fn with_mounts_of_its_own(program: &str) -> Cmd {
    if we_are_root() {
        Cmd::new("unshare").args(["--mount", "--propagation", "private", "--", program])
    } else {
        // It is in a user namespace of its own, which no mount leaves.
        Cmd::new("env").args(["--", program])
    }
}

fn we_are_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_program_mounted_goes_with_it() {
        if !we_are_root() {
            // Everybody else mounts in a user namespace, which the kernel takes away.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let script = format!("mount -t tmpfs none {dir} && touch {dir}/mounted && kill -KILL $$");
        let ended = with_mounts_of_its_own("sh").args(["-c", &script]).run();
        assert!(ended.is_err(), "it was killed");
        let mounts = fs_err::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(dir.as_str()), "{mounts}");
        assert!(!dir.join("mounted").exists());
    }
}
