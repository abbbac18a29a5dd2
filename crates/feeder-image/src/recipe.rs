//! What an image is made of, beside packages: a TOML file and a directory of files beside it.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_store::Digest;
use serde::Deserialize;

use crate::ImageError;
use crate::disk::DiskParts;
use crate::disk::mbr::Signature;
use crate::files::files_below;

/// A recipe for the SD card of a Pi.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Of the image, and of the directory with its files.
    pub name: String,
    /// Package sets to install.
    pub install: Vec<String>,
    /// Package sets of which only files are taken, for the boot partition.
    pub boot_files: Vec<String>,
    /// Name of the machine before anybody gave it another.
    pub hostname: String,
    /// Contents of `/etc/machine-id`: empty, or `uninitialized` (machine-id(5), "First boot semantics").
    pub(crate) machine_id: String,
    pub(crate) user: User,
    pub(crate) disk: Disk,
    pub(crate) boot: Boot,
    pub(crate) packages: Packages,
    pub(crate) modules: Modules,
    pub(crate) units: Units,
    /// Modes in octal of files in `root/` that are neither 0644 nor, when executable, 0755.
    #[serde(default)]
    modes: BTreeMap<String, String>,
    #[serde(skip)]
    text: String,
    /// Files to lie over those of the packages, by path.
    #[serde(skip)]
    pub(crate) root_files: BTreeMap<Utf8PathBuf, OverlayFile>,
    /// Files for the boot partition.
    #[serde(skip)]
    pub(crate) boot_overlay: BTreeMap<Utf8PathBuf, OverlayFile>,
}

/// The person who logs in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) groups: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disk {
    pub(crate) size_mib: u64,
    pub(crate) signature: Signature,
    pub(crate) boot_mib: u64,
    pub(crate) boot_label: String,
    pub(crate) boot_serial: Signature,
    pub(crate) root_label: String,
    pub(crate) root_uuid: String,
    pub(crate) root_hash_seed: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Boot {
    pub(crate) firmware_dir: Utf8PathBuf,
    pub(crate) firmware: Vec<Utf8PathBuf>,
    pub(crate) device_trees: Vec<Utf8PathBuf>,
}

/// What dpkg leaves out: shell patterns in which `*` matches slashes too. A later match wins, and includes come last.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Packages {
    pub(crate) exclude: Vec<String>,
    pub(crate) include: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Modules {
    pub(crate) exclude: Vec<Utf8PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Units {
    pub(crate) enable: Vec<String>,
    pub(crate) mask: Vec<String>,
}

/// A file of the recipe, its placeholders filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OverlayFile {
    pub(crate) text: String,
    pub(crate) mode: u32,
}

impl Recipe {
    /// Reads a recipe and the files beside it: for `x.toml`, everything in `x/root` and `x/boot`.
    ///
    /// # Errors
    ///
    /// [`ImageError::Input`] with the file, and line and column where there are some.
    pub fn load(file: &Utf8Path) -> Result<Self, ImageError> {
        let text = fs_err::read_to_string(file).map_err(ImageError::input(file))?;
        let mut recipe = Self::parse(&text).map_err(ImageError::input(file))?;
        let dir = file.with_extension("");
        recipe.root_files = recipe.overlay(&dir.join("root"))?;
        recipe.boot_overlay = recipe.overlay(&dir.join("boot"))?;
        for path in recipe.modes.keys() {
            if !recipe.root_files.contains_key(Utf8Path::new(path)) {
                return Err(ImageError::input(file)(format!(
                    "it gives a mode to `{path}`, which {dir}/root lacks"
                )));
            }
        }
        recipe.parts().map_err(ImageError::input(file))?;
        Ok(recipe)
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let mut recipe: Self = toml::from_str(text)?;
        text.clone_into(&mut recipe.text);
        Ok(recipe)
    }

    /// Where things lie on the disk.
    pub(crate) fn parts(&self) -> Result<DiskParts, String> {
        DiskParts::new(self.disk.size_mib << 20, self.disk.boot_mib << 20)
    }

    /// What decides the image's bytes, as far as the recipe goes.
    pub(crate) fn digest(&self) -> Digest {
        let mut text = self.text.clone();
        for (part, files) in [("root", &self.root_files), ("boot", &self.boot_overlay)] {
            for (path, OverlayFile { text: content, mode }) in files {
                text.push_str(&format!("\n{part}/{path} {mode:o} {}", Digest::of(content)));
            }
        }
        Digest::of(text)
    }

    fn overlay(&self, root: &Utf8Path) -> Result<BTreeMap<Utf8PathBuf, OverlayFile>, ImageError> {
        let mut files = BTreeMap::new();
        for path in files_below(root).map_err(ImageError::input(root))? {
            let inside = path.strip_prefix(root).map_err(ImageError::input(&path))?.to_owned();
            let file = self.overlay_file(&path, &inside).map_err(ImageError::input(&path))?;
            files.insert(inside, file);
        }
        Ok(files)
    }

    fn overlay_file(&self, path: &Utf8Path, inside: &Utf8Path) -> Result<OverlayFile, String> {
        use std::os::unix::fs::PermissionsExt as _;
        let io = |error: std::io::Error| error.to_string();
        let text = fs_err::read_to_string(path).map_err(io)?;
        let executable = fs_err::metadata(path).map_err(io)?.permissions().mode() & 0o111 != 0;
        let mode = match self.modes.get(inside.as_str()) {
            Some(mode) => u32::from_str_radix(mode, 8)
                .map_err(|_| format!("its mode `{mode}` is no octal number"))?,
            None if executable => 0o755,
            None => 0o644,
        };
        Ok(OverlayFile { text: text.replace("@DISK_ID@", &self.disk.signature.to_string()), mode })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Recipe {
        let file =
            Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/recipes/master-sd.toml");
        Recipe::load(&file).unwrap()
    }

    #[test]
    fn the_project_s_own_recipe_can_be_read() {
        let recipe = ours();
        assert!((recipe.disk.size_mib).is_power_of_two(), "QEMU's SD card wants a power of two");
        assert_eq!(recipe.root_files[Utf8Path::new("etc/sudoers.d/010_pi-nopasswd")].mode, 0o440);
        assert_eq!(
            recipe.root_files[Utf8Path::new("etc/initramfs-tools/hooks/feeder")].mode,
            0o755
        );
        let command_line = &recipe.boot_overlay[Utf8Path::new("cmdline.txt")].text;
        assert!(
            command_line.contains(&format!("root=PARTUUID={}-02 ", recipe.disk.signature)),
            "{command_line}"
        );
        assert_eq!(command_line.lines().count(), 1);
    }

    #[test]
    fn every_change_changes_the_digest() {
        let recipe = ours();
        let mut other = ours();
        assert_eq!(recipe.digest(), other.digest());
        other.boot_overlay.get_mut(Utf8Path::new("config.txt")).unwrap().text.push('\n');
        assert_ne!(recipe.digest(), other.digest());
        let mut other = ours();
        other.text = other.text.replace("raspberrypi", "raspberry");
        assert_ne!(recipe.digest(), other.digest());
    }

    #[test]
    fn a_wrong_key_is_told_with_its_place() {
        let text = ours().text.replace("size_mib", "size_mb");
        let error = Recipe::parse(&text).unwrap_err().to_string();
        assert!(error.contains("size_mb") && error.contains("line"), "{error}");
    }
}
