//! What a lab boots: made from locked inputs when the store does not have it yet.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_host::Need;
use feeder_image::{ImageError, Lock, Mirror, PackageSet, Recipe, build, fetch, repository};
use feeder_process::Cmd;
use feeder_store::Store;
use feeder_ui::Progress;
use fs_err as fs;

use crate::{Class, Failure, OrFail, RunDir, StageOptions, Story, Verdict};

/// The package sets that the router's mirror serves: what the image holds, and what provisioning installs.
const SERVED: &[&str] = &["master", "provision"];
/// The folder of the mirror, as the image's package sources name it.
const ARCHIVE: &str = "debian";

/// Recipes, locks and package sets of this checkout.
fn fixtures() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

pub(crate) struct Images {
    /// The master's SD card as it comes from the image; read-only.
    disk: Utf8PathBuf,
    /// The private key of the image's user.
    pub(crate) ssh_key: Utf8PathBuf,
    /// The apt repository; read-only.
    archive: Utf8PathBuf,
    /// What the router serves over HTTP.
    pub(crate) mirror: Utf8PathBuf,
}

impl Images {
    /// Sees to host tools, packages and images; says how far it is.
    pub(crate) fn prepare(story: &Story, options: &StageOptions) -> Verdict<Self> {
        let progress = &options.progress;
        let needs = [Need::Qemu, Need::Images, Need::Ssh];
        feeder_host::require(&needs, options.consent, progress)
            .map_err(|error| Failure::expected("this machine cannot run scenarios", &error))?;
        let images = Self::from_store(story, progress)
            .map_err(|error| Failure::expected("cannot make the images", &error))?;
        // The router serves one folder; the archive stands in it under the name that the image's sources give.
        let linked = fs::create_dir_all(&images.mirror).and_then(|()| {
            std::os::unix::fs::symlink(&images.archive, images.mirror.join(ARCHIVE))
        });
        linked.or_fail(Class::Host, "cannot link the package archive for the router")?;
        Ok(images)
    }

    fn from_store(story: &Story, progress: &Progress) -> Result<Self, ImageError> {
        let fixtures = fixtures();
        let lock = Lock::load(&fixtures.join("locks/trixie-arm64.lock"))?;
        lock.check(&PackageSet::load_dir(&fixtures.join("packages"))?)?;
        let store = Store::open(&Store::default_root())?;
        fetch(&store, &lock, &Mirror::choose(None)?, progress)?;
        let archive = repository(&store, &lock, SERVED)?;
        let recipe = Recipe::load(&fixtures.join("recipes/master-sd.toml"))?;
        let image = build(&store, &recipe, &lock, progress)?;
        story.version("image master-sd", image.digest.to_string());
        let mirror = story.dir().scratch().join("mirror");
        Ok(Self { disk: image.disk, ssh_key: image.ssh_key, archive, mirror })
    }

    /// A card of this run's own to write to.
    pub(crate) fn fresh_disk(&self, dir: &RunDir) -> Verdict<Utf8PathBuf> {
        let disk = dir.scratch().join("sd.img");
        // Sparse: the card is mostly empty.
        Cmd::new("cp")
            .args(["--sparse=always", "--reflink=auto", "--no-preserve=mode"])
            .args([self.disk.as_str(), disk.as_str()])
            .run()
            .or_fail(Class::Host, "cannot copy the master's SD card")?;
        Ok(disk)
    }
}
