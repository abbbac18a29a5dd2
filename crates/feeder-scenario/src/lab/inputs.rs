//! What decides how a run goes, beside the code of its steps.

use feeder_process::{Cmd, find_program};
use feeder_store::Digest;
use fs_err as fs;

use super::{images::Stored, prefix::MODULES};
use crate::{
    Class, Failure, OrFail, StageOptions, Story, Verdict,
    snapshot::{Code, Input, Inputs},
};

/// The group of sources that every step depends on.
const HARNESS: &str = "harness";
/// A longer text is told by its digest, in bytes.
const SHOWN: usize = 80;
const QEMU: &str = "qemu-system-aarch64";

/// What counts from the first step on. `stored` is what machines boot, install and run in containers, `cluster` is the sample
/// cluster's text.
pub(super) fn base(options: &StageOptions, stored: &Stored, cluster: &str) -> Verdict<Inputs> {
    let mut base = Inputs::default()
        .digest("image", stored.image)
        .digest("container", stored.container)
        .text("packages", &*stored.packages)
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

/// Tells them as versions, for whoever compares two runs.
pub(super) fn tell(story: &Story, inputs: &Inputs) {
    for (name, input) in inputs.iter() {
        let version = match input {
            Input::Text(text) if text.len() <= SHOWN => text.clone(),
            Input::Text(text) => Digest::of(text).to_string(),
            Input::Digest(digest) => digest.to_string(),
            Input::Files(files) => {
                let all: Vec<_> = files.iter().map(|(file, is)| format!("{file} {is}")).collect();
                Digest::of(all.join("\n")).to_string()
            }
        };
        story.version(name, version);
    }
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
