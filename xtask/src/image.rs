//! `cargo xtask image`

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, Subcommand};
use feeder_host::{Consent, Need};
use feeder_image::{Container, ContainerRecipe, ImageError, Lock, Mirror, PackageSet, Recipe};
use feeder_store::Store;
use feeder_ui::{Exit, Expected, plural, size};
use serde::Serialize;

use crate::{Context, Outcome, Run, format::Format};

/// Where package sets, recipes and locks are, below the repository.
const SETS: &str = "fixtures/packages";
const RECIPES: &str = "fixtures/recipes";
const CONTAINERS: &str = "fixtures/containers";
const LOCK: &str = "fixtures/locks/trixie-arm64.lock";

/// Lock packages and build disk images from what is locked
///
/// apt resolves once, in `image lock`; `image build` takes only files whose size and SHA-256 are in the lock, builds without
/// a network, and keeps the result in the store under the hash of everything it was made of: $FEEDER_STORE, else
/// $XDG_CACHE_HOME/feeder/store, else ~/.cache/feeder/store.
#[derive(Debug, Args)]
pub(crate) struct Image {
    #[command(subcommand)]
    verb: Verb,
    /// The package archive: the directory that holds `dists` and `pool` [default: FEEDER_MIRROR, else this machine's apt sources]
    #[arg(long, global = true, value_name = "URL")]
    mirror: Option<String>,
    /// Install missing tools of this machine without asking
    #[arg(long, global = true)]
    yes: bool,
    /// The form of the result on stdout
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Resolve the package sets with apt, check signatures, and write the lock
    Lock,
    /// Fetch what the lock names and build an image, unless the store has it
    Build {
        /// The recipe: a file in fixtures/recipes, without .toml
        #[arg(default_value = "master-sd")]
        recipe: String,
    },
    /// Fetch what the lock names and build an image for containers, unless the store has it
    ///
    /// The result is an archive that `docker load` takes, and an OCI image layout at the same time.
    Container {
        /// The recipe: a file in fixtures/containers, without .toml
        #[arg(default_value = "web")]
        recipe: String,
    },
    /// List the recipes, and the package sets that are locked
    List,
}

/// The lock could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the lock; the old one, if any, is as it was")]
struct NotWritten(#[source] io::Error);

impl Expected for NotWritten {
    fn exit(&self) -> Exit {
        Exit::Host
    }
}

/// There is no such recipe.
#[derive(Debug, thiserror::Error)]
#[error("there is no recipe `{name}` in {dir}")]
struct NoRecipe {
    name: String,
    dir: &'static str,
    known: Vec<String>,
}

impl Expected for NoRecipe {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        Some(format!("the recipes are: {}", self.known.join(", ")))
    }
}

#[derive(Serialize)]
struct Locked {
    lock: Utf8PathBuf,
    changed: bool,
    packages: usize,
    bytes: u64,
}

#[derive(Serialize)]
struct Built {
    digest: String,
    disk: Utf8PathBuf,
    ssh_key: Utf8PathBuf,
}

#[derive(Serialize)]
struct Contained {
    digest: String,
    archive: Utf8PathBuf,
    tag: String,
}

#[derive(Serialize)]
struct Listed {
    recipes: Vec<String>,
    containers: Vec<String>,
    suite: String,
    release_date: String,
    sets: Vec<Set>,
}

#[derive(Serialize)]
struct Set {
    name: String,
    packages: usize,
    bytes: u64,
}

impl Run for Image {
    fn run(self, context: &Context) -> Outcome {
        match &self.verb {
            Verb::Lock => self.lock(context),
            Verb::Build { recipe } => self.build(context, recipe),
            Verb::Container { recipe } => self.container(context, recipe),
            Verb::List => self.list(context),
        }
    }
}

impl Image {
    fn lock(&self, context: &Context) -> Outcome {
        let sets = PackageSet::load_dir(&context.root.join(SETS))?;
        self.tools(context)?;
        let lock = feeder_image::lock(&sets, &self.mirror()?, &context.progress)?;
        let file = context.root.join(LOCK);
        let text = lock.to_string();
        let changed = std::fs::read_to_string(&file).map_or(true, |old| old != text);
        if changed {
            replace(&file, &text).map_err(NotWritten)?;
        }
        let bytes = lock.packages().iter().map(|package| package.size).sum();
        let locked = Locked { lock: LOCK.into(), changed, packages: lock.packages().len(), bytes };
        self.format.print(&locked, |locked| {
            let what = if locked.changed { "written" } else { "as it was" };
            format!(
                "{LOCK} {what}: {}, {}\n",
                plural(locked.packages, "package"),
                size(locked.bytes)
            )
        })?;
        Ok(Exit::Ok)
    }

    fn build(&self, context: &Context, name: &str) -> Outcome {
        let recipe = Recipe::load(&found(context, RECIPES, name)?)?;
        let (store, lock) = self.fetched(context)?;
        let image = feeder_image::build(&store, &recipe, &lock, &context.progress)?;
        let built =
            Built { digest: image.digest.to_string(), disk: image.disk, ssh_key: image.ssh_key };
        self.format.print(&built, |built| {
            format!("disk     {}\nssh key  {}\n", built.disk, built.ssh_key)
        })?;
        Ok(Exit::Ok)
    }

    fn container(&self, context: &Context, name: &str) -> Outcome {
        let recipe = ContainerRecipe::load(&found(context, CONTAINERS, name)?)?;
        let (store, lock) = self.fetched(context)?;
        let Container { archive, tag, digest } = feeder_image::container(&store, &recipe, &lock)?;
        let built = Contained { digest: digest.to_string(), archive, tag };
        self.format.print(&built, |built| {
            format!("archive  {}\ntag      {}\n", built.archive, built.tag)
        })?;
        Ok(Exit::Ok)
    }

    /// The store with everything in it that the lock names.
    fn fetched(&self, context: &Context) -> Result<(Store, Lock), Box<dyn Expected>> {
        let lock = Lock::load(&context.root.join(LOCK)).map_err(ImageError::from)?;
        lock.check(&PackageSet::load_dir(&context.root.join(SETS))?).map_err(ImageError::from)?;
        self.tools(context)?;
        let store = Store::open(&Store::default_root()).map_err(ImageError::from)?;
        feeder_image::fetch(&store, &lock, &self.mirror()?, &context.progress)?;
        Ok((store, lock))
    }

    fn list(&self, context: &Context) -> Outcome {
        let lock = Lock::load(&context.root.join(LOCK)).map_err(ImageError::from)?;
        let set = |name: &str| {
            let packages = lock.of_sets(&[name]).map_err(ImageError::from)?;
            let bytes = packages.iter().map(|package| package.size).sum();
            Ok(Set { name: name.to_owned(), packages: packages.len(), bytes })
        };
        let listed = Listed {
            recipes: recipes(&context.root.join(RECIPES)),
            containers: recipes(&context.root.join(CONTAINERS)),
            suite: lock.suite.clone(),
            release_date: lock.release_date.to_string(),
            sets: lock.set_names().map(set).collect::<Result<_, ImageError>>()?,
        };
        self.format.print(&listed, table)?;
        Ok(Exit::Ok)
    }

    fn tools(&self, context: &Context) -> Result<(), feeder_host::HostError> {
        feeder_host::require(&[Need::Images], Consent::from_flag(self.yes), &context.progress)
    }

    fn mirror(&self) -> Result<Mirror, ImageError> {
        Ok(Mirror::choose(self.mirror.as_deref())?)
    }
}

/// The file of a recipe.
fn found(context: &Context, dir: &'static str, name: &str) -> Result<Utf8PathBuf, NoRecipe> {
    let known = recipes(&context.root.join(dir));
    if known.iter().any(|recipe| recipe == name) {
        return Ok(context.root.join(dir).join(name).with_extension("toml"));
    }
    Err(NoRecipe { name: name.to_owned(), dir, known })
}

/// The names of the recipes in a directory, sorted.
fn recipes(dir: &Utf8Path) -> Vec<String> {
    let files = dir.read_dir_utf8().into_iter().flatten().flatten().map(|entry| entry.into_path());
    let recipes = files.filter(|file| file.extension() == Some("toml"));
    let mut names: Vec<String> =
        recipes.filter_map(|file| file.file_stem().map(str::to_owned)).collect();
    names.sort();
    names
}

/// Gives a file a new text in one piece: an interrupt leaves the old one.
fn replace(file: &Utf8Path, text: &str) -> io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, file)
}

fn table(listed: &Listed) -> String {
    let names = |kind: &str, names: &[String]| -> String {
        names.iter().map(|name| format!("{kind:<10}{name}\n")).collect()
    };
    let recipes = names("recipe", &listed.recipes) + &names("container", &listed.containers);
    let row = |set: &Set| {
        let (packages, bytes) = (plural(set.packages, "package"), size(set.bytes));
        format!("set       {:<16} {packages:>13}  {bytes:>9}\n", set.name)
    };
    let sets: String = listed.sets.iter().map(row).collect();
    format!("{recipes}{sets}lock      {} as of {}\n", listed.suite, listed.release_date)
}
