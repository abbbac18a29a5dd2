//! Locks (with `--lock`), fetches and builds by hand: `cargo run -p feeder-image --example build`.

#![expect(clippy::print_stdout, reason = "an example")]

use camino::Utf8Path;
use feeder_image::{ImageError, Lock, Mirror, PackageSet, Recipe, build, fetch, lock, repository};
use feeder_store::Store;
use feeder_ui::{Exit, Progress, report};

fn main() -> std::process::ExitCode {
    feeder_process::interrupt::install();
    let exit = match run() {
        Ok(()) => Exit::Ok,
        Err(error) => report(&error),
    };
    std::process::ExitCode::from(exit.code())
}

fn run() -> Result<(), ImageError> {
    let fixtures = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let progress = Progress::terminal();
    let file = fixtures.join("locks/trixie-arm64.lock");
    let sets = PackageSet::load_dir(&fixtures.join("packages"))?;
    let mirror = Mirror::choose(None)?;
    if std::env::args().any(|arg| arg == "--lock") {
        let lock = lock(&sets, &mirror, &progress)?;
        std::fs::write(&file, lock.to_string()).expect("the lock can be written");
    }
    let lock = Lock::load(&file)?;
    lock.check(&sets)?;
    let store = Store::open(&Store::default_root())?;
    fetch(&store, &lock, &mirror, &progress)?;
    println!("{}", repository(&store, &lock, &["master", "provision"])?);
    let recipe = Recipe::load(&fixtures.join("recipes/master-sd.toml"))?;
    let image = build(&store, &recipe, &lock, &progress)?;
    println!("{}\n{}", image.disk, image.ssh_key);
    Ok(())
}
