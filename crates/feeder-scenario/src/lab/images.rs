//! What a lab boots: made from locked inputs when the store does not have it yet.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_host::Need;
use feeder_image::{
    ImageError, Lock, MasterSd, Mirror, PackageSet, Recipe, build, fetch, repository,
};
use feeder_store::{Digest, Store};
use feeder_ui::Progress;
use fs_err as fs;

use crate::{Class, Failure, OrFail, StageOptions, Story, Verdict};

/// The package sets that the router's mirror serves: what the image holds, and what provisioning installs.
const SERVED: &[&str] = &["master", "provision", "network-manager"];
/// The folder of the mirror, as the image's package sources name it.
const ARCHIVE: &str = "debian";

/// Recipes, locks and package sets of this checkout.
fn fixtures() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

pub(crate) struct Images {
    /// The master's SD card as it comes from the image; read-only.
    pub(crate) disk: Utf8PathBuf,
    /// The private key of the image's user.
    pub(crate) ssh_key: Utf8PathBuf,
    /// The apt repository; read-only.
    archive: Utf8PathBuf,
    /// What the router serves over HTTP.
    pub(crate) mirror: Utf8PathBuf,
    /// Of all that the SD card was built from.
    pub(crate) digest: Digest,
}

/// What a lab would boot, if the store has all of it: the digest of the SD card, and the name of the package archive.
pub(crate) fn stored() -> Result<Option<(Digest, String)>, ImageError> {
    let fixtures = fixtures();
    let lock = Lock::load(&fixtures.join("locks/trixie-arm64.lock"))?;
    lock.check(&PackageSet::load_dir(&fixtures.join("packages"))?)?;
    let store = Store::open(&Store::default_root())?;
    let recipe = Recipe::load(&fixtures.join("recipes/master-sd.toml"))?;
    let Some(image) = feeder_image::stored(&store, &recipe, &lock)? else { return Ok(None) };
    // The image is built from packages of the same lock: they are there.
    let archive = repository(&store, &lock, SERVED)?;
    Ok(Some((image.digest, name_of(&archive))))
}

fn name_of(archive: &Utf8Path) -> String {
    archive.file_name().unwrap_or_default().to_owned()
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
        let MasterSd { disk, ssh_key, digest } = image;
        Ok(Self { disk, ssh_key, archive, mirror, digest })
    }

    /// The name of the package archive, which has its digest in it.
    pub(crate) fn packages(&self) -> String {
        name_of(&self.archive)
    }
}
