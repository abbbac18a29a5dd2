//! What a lab boots: made from locked inputs when the store does not have it yet.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_host::Need;
use feeder_image::{
    Container, ContainerRecipe, ImageError, Lock, MasterSd, Mirror, PackageSet, Recipe, build,
    container, fetch, repository,
};
use feeder_store::{Digest, Store};
use feeder_ui::Progress;
use fs_err as fs;

use crate::{Class, Failure, OrFail, StageOptions, Story, Verdict};

/// The package sets that the router's mirror serves: what the image holds, what provisioning installs, and what it is compared with.
const SERVED: &[&str] =
    &["master", "provision", "network-manager", "dhcpcd", "docker", "registry", "ansible"];
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
    /// The image that containers are started from.
    pub(crate) container: Container,
}

/// What a lab would boot, if the store has all of it.
pub(crate) struct Stored {
    /// Of the SD card.
    pub(crate) image: Digest,
    /// Of the image that containers are started from.
    pub(crate) container: Digest,
    /// The name of the package archive.
    pub(crate) packages: String,
}

/// Looks what the store has.
pub(crate) fn stored() -> Result<Option<Stored>, ImageError> {
    let fixtures = fixtures();
    let lock = Lock::load(&fixtures.join("locks/trixie-arm64.lock"))?;
    lock.check(&PackageSet::load_dir(&fixtures.join("packages"))?)?;
    let store = Store::open(&Store::default_root())?;
    let recipe = Recipe::load(&fixtures.join("recipes/master-sd.toml"))?;
    let Some(image) = feeder_image::stored(&store, &recipe, &lock)? else { return Ok(None) };
    let rest =
        repository(&store, &lock, SERVED).and_then(|archive| Ok((archive, web(&store, &lock)?)));
    match rest {
        Ok((archive, container)) => Ok(Some(Stored {
            image: image.digest,
            container: container.digest,
            packages: name_of(&archive),
        })),
        // Locked since the image was built, and not fetched yet.
        Err(ImageError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn web(store: &Store, lock: &Lock) -> Result<Container, ImageError> {
    container(store, &ContainerRecipe::load(&fixtures().join("containers/web.toml"))?, lock)
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
        let container = web(&store, &lock)?;
        story.version("image master-sd", image.digest.to_string());
        let mirror = story.dir().scratch().join("mirror");
        let MasterSd { disk, ssh_key, digest } = image;
        Ok(Self { disk, ssh_key, archive, mirror, digest, container })
    }

    /// What of it decides how a run goes.
    pub(crate) fn stored(&self) -> Stored {
        Stored {
            image: self.digest,
            container: self.container.digest,
            packages: name_of(&self.archive),
        }
    }
}
