//! Images of containers, made of locked packages: an OCI layout in one archive, the same bytes every time.
//!
//! The archive is what `docker save` writes since Docker 25: an OCI image layout (opencontainers/image-spec `image-layout.md`) with
//! a `manifest.json` beside it, so that `docker load` of every version takes it, and so does what understands OCI alone.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::Cmd;
use feeder_store::{Derivation, Digest, Store};
use fs_err as fs;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::files::files_below;
use crate::repository::blob;
use crate::{ImageError, Lock};

/// Of the code below: a new number when the same input gives other bytes.
const MAKE: &str = "1";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What an image of a container is made of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerRecipe {
    name: String,
    /// As `docker run` names it.
    tag: String,
    /// Package sets of which files are taken.
    install: Vec<String>,
    /// What runs in it.
    command: Vec<String>,
    /// The TCP port that it listens on.
    port: u16,
    /// Files in the image, and where the packages have them.
    files: BTreeMap<Utf8PathBuf, Utf8PathBuf>,
    /// Symbolic links, and what they hold.
    links: BTreeMap<Utf8PathBuf, String>,
    #[serde(skip)]
    text: String,
    /// The folder beside the recipe.
    #[serde(skip)]
    own: Utf8PathBuf,
}

/// A file that lies beside a recipe.
struct OwnFile {
    bytes: Vec<u8>,
    mode: u32,
}

/// A built image.
#[derive(Debug, Clone)]
pub struct Container {
    /// What `docker load` takes.
    pub archive: Utf8PathBuf,
    /// As `docker run` names it.
    pub tag: String,
    /// Of everything that it was built from.
    pub digest: Digest,
}

impl ContainerRecipe {
    /// Reads a recipe and, for `x.toml`, the files in the folder `x` beside it.
    ///
    /// # Errors
    ///
    /// [`ImageError::Input`] with the file, and line and column where there are some.
    pub fn load(file: &Utf8Path) -> Result<Self, ImageError> {
        let text = fs::read_to_string(file).map_err(ImageError::input(file))?;
        let mut recipe: Self = toml::from_str(&text).map_err(ImageError::input(file))?;
        recipe.own = file.with_extension("");
        recipe.text = text;
        Ok(recipe)
    }

    /// Every file of the recipe's own, by its path in the image.
    fn own_files(&self) -> Result<BTreeMap<Utf8PathBuf, OwnFile>, ImageError> {
        let mut files = BTreeMap::new();
        for path in files_below(&self.own).map_err(ImageError::input(&self.own))? {
            let inside = path.strip_prefix(&self.own).map_err(ImageError::input(&path))?;
            let bytes = fs::read(&path).map_err(ImageError::input(&path))?;
            let mode = mode_of(&path).map_err(ImageError::input(&path))?;
            files.insert(inside.to_owned(), OwnFile { bytes, mode });
        }
        Ok(files)
    }
}

/// Builds an image, or finds it in the store. Every package must have been fetched.
///
/// # Errors
///
/// [`ImageError::Missing`] when one was not, [`ImageError::Process`] when a tool fails. Nothing is kept then.
pub fn container(
    store: &Store,
    recipe: &ContainerRecipe,
    lock: &Lock,
) -> Result<Container, ImageError> {
    let packages = lock.of_sets(&recipe.install)?;
    let own = recipe.own_files()?;
    let listed: String = own
        .iter()
        .map(|(path, OwnFile { bytes, mode })| format!("{path} {mode:o} {}\n", Digest::of(bytes)))
        .collect();
    let derivation = Derivation::new(format!("container-{}", recipe.name))
        .input("make", MAKE)
        .input("recipe", Digest::of(&recipe.text).to_string())
        .input("files", Digest::of(listed).to_string())
        .input("packages", lock.digest_of(&packages).to_string());
    let dir = store.realise(&derivation, |out| -> Result<(), ImageError> {
        let scratch = store.scratch(derivation.name())?;
        let unpacked = scratch.path().join("packages");
        for package in &packages {
            Cmd::new("dpkg-deb")
                .args(["--extract", blob(store, package)?.as_str(), unpacked.as_str()])
                .run()
                .map_err(ImageError::process(format!("unpack {}", package.path)))?;
        }
        let root = scratch.path().join("root");
        lay_out(recipe, &own, &unpacked, &root).map_err(ImageError::io("lay out a container"))?;
        let layout = scratch.path().join("layout");
        write(recipe, lock, &root, &layout)?;
        tar(&layout, &out.join("image.tar"), lock)
    })?;
    Ok(Container {
        archive: dir.join("image.tar"),
        tag: recipe.tag.clone(),
        digest: derivation.hash(),
    })
}

/// The root file system of the image. What is executable where it comes from is executable here.
fn lay_out(
    recipe: &ContainerRecipe,
    own: &BTreeMap<Utf8PathBuf, OwnFile>,
    unpacked: &Utf8Path,
    root: &Utf8Path,
) -> std::io::Result<()> {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let place = |path: &Utf8Path| -> std::io::Result<Utf8PathBuf> {
        let place = root.join(path);
        fs::create_dir_all(place.parent().unwrap_or(root))?;
        Ok(place)
    };
    for dir in ["dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(dir))?;
    }
    let write = |path: &Utf8Path, bytes: &[u8], mode: u32| -> std::io::Result<()> {
        let place = place(path)?;
        fs::write(&place, bytes)?;
        fs::set_permissions(&place, std::fs::Permissions::from_mode(mode))
    };
    for (path, from) in &recipe.files {
        let from = unpacked.join(from);
        write(path, &fs::read(&from)?, mode_of(&from)?)?;
    }
    for (path, OwnFile { bytes, mode }) in own {
        write(path, bytes, *mode)?;
    }
    for (path, target) in &recipe.links {
        symlink(target, place(path)?)?;
    }
    Ok(())
}

/// Of a file in the image: of the original's mode it keeps whether it is executable.
fn mode_of(file: &Utf8Path) -> std::io::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let executable = fs::metadata(file)?.permissions().mode() & 0o100 != 0;
    Ok(if executable { 0o755 } else { 0o644 })
}

/// The layout: blobs by their digests, and the texts that name them.
fn write(
    recipe: &ContainerRecipe,
    lock: &Lock,
    root: &Utf8Path,
    layout: &Utf8Path,
) -> Result<(), ImageError> {
    let problem = || ImageError::io("write the image of a container");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(problem())?;
    let archive = root.with_extension("tar");
    tar(root, &archive, lock)?;
    let layer = fs::read(&archive).map_err(problem())?;

    let put = |media: &str, bytes: &[u8]| -> Result<Value, ImageError> {
        let digest = Digest::of(bytes).to_string();
        fs::write(blobs.join(&digest), bytes).map_err(problem())?;
        Ok(json!({ "mediaType": media, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    };
    let layer = put(LAYER, &layer)?;
    let created = lock.release_date.to_string();
    let config = json!({
        "architecture": lock.architecture,
        "os": "linux",
        "created": created,
        "config": {
            "Cmd": recipe.command,
            "Env": ["PATH=/bin"],
            "ExposedPorts": { format!("{}/tcp", recipe.port): {} },
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
        "history": [{ "created": created, "created_by": "feeder" }],
    });
    let config = put(CONFIG, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    });
    let mut named = put(MANIFEST, manifest.to_string().as_bytes())?;
    let (_, version) = recipe.tag.rsplit_once(':').unwrap_or((&recipe.tag, "latest"));
    named["annotations"] = json!({
        "io.containerd.image.name": recipe.tag,
        "org.opencontainers.image.ref.name": version,
    });
    let path = |of: &Value| {
        let digest = of["digest"].as_str().unwrap_or_default();
        format!("blobs/{}", digest.replace(':', "/"))
    };
    for (file, text) in [
        ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
        ("index.json", json!({ "schemaVersion": 2, "manifests": [named] })),
        (
            "manifest.json",
            json!([{ "Config": path(&config), "RepoTags": [recipe.tag], "Layers": [path(&layer)] }]),
        ),
    ] {
        fs::write(layout.join(file), text.to_string()).map_err(problem())?;
    }
    Ok(())
}

/// An archive in which nothing is of this machine or moment.
fn tar(dir: &Utf8Path, archive: &Utf8Path, lock: &Lock) -> Result<(), ImageError> {
    Cmd::new("tar")
        .args([
            "--create",
            "--format=ustar",
            "--sort=name",
            "--numeric-owner",
            "--owner=0",
            "--group=0",
        ])
        .args(["--mode=u=rwX,go=rX", &format!("--mtime=@{}", lock.release_date.as_second())])
        .args(["--file", archive.as_str(), "--directory", dir.as_str(), "."])
        .env("LC_ALL", "C")
        .run()
        .map_err(ImageError::process(format!("pack {dir}")))?;
    Ok(())
}
