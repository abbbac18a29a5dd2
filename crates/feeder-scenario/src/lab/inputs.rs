//! What decides how a run goes, beside the code of its steps.

use feeder_process::{Cmd, find_program};
use feeder_store::Digest;
use fs_err as fs;

use super::prefix::MODULES;
use crate::{
    Class, Failure, OrFail, StageOptions, Verdict,
    snapshot::{Code, Inputs},
};

/// The group of sources that every step depends on.
const HARNESS: &str = "harness";
const QEMU: &str = "qemu-system-aarch64";

/// What counts from the first step on. `image` and `packages` are digests of what machines boot and install, `cluster` is the
/// sample cluster's text.
pub(super) fn base(
    options: &StageOptions,
    image: Digest,
    packages: &str,
    cluster: &str,
) -> Verdict<Inputs> {
    let mut base = Inputs::default()
        .digest("image", image)
        .text("packages", packages)
        .text("machine", &*options.machine)
        .text("seed", options.seed.to_string())
        .digest("cluster", Digest::of(cluster))
        .text("qemu", qemu_version()?)
        .digest("qemu's program", qemu_program()?);
    if let Some(harness) = options.code.groups.get(HARNESS) {
        base.set(HARNESS, harness.clone());
    }
    Ok(base)
}

/// What counts from the step on that uses it.
pub(super) fn ingredients(code: &Code) -> Inputs {
    code.groups.get(MODULES).map(|modules| (MODULES, modules.clone())).into_iter().collect()
}

fn qemu_version() -> Verdict<String> {
    let said = Cmd::new(QEMU).arg("--version").output().or_fail(Class::Host, "cannot ask QEMU")?;
    Ok(said.stdout_text().lines().next().unwrap_or_default().to_owned())
}

fn qemu_program() -> Verdict<Digest> {
    let path = find_program(QEMU).ok_or_else(|| Failure::host(format!("{QEMU} is not there")))?;
    let file = fs::File::open(path).or_fail(Class::Host, "cannot read QEMU's program")?;
    Ok(Digest::of_reader(file).or_fail(Class::Host, "cannot read QEMU's program")?.0)
}
