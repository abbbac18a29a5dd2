//! What workers run: a clone of the master's own system, published as one folder.

mod catalog;
mod script;
mod uses;

use feeder_plan::{Directory, Step, Task};

pub use catalog::{Boots, Generation, Generations, Wanted};
pub use script::Source;
pub(crate) use script::{Script, wanted};
pub use uses::{Use, Uses, generation_of};

use crate::{Part, Site};

pub(crate) const NAME: &str = "generation";

/// The first process of a worker, as the kernel command line names it.
pub(crate) const INIT: &str = "/usr/lib/feeder/worker-init";
pub(crate) const KERNEL: &str = "kernel8.img";
pub(crate) const INITRAMFS: &str = "initramfs8";

/// What every worker needs, beside what other modules put into a generation.
const PACKAGES: [&str; 1] = ["nfs-common"];

/// Makes the generation that workers are to boot, when there is none of that number.
fn made(site: &Site<'_>) -> Task {
    let number = site.boots.number;
    let generation = site.layout.generation(number);
    let probe =
        format!("if [ -f {generation}/kernel-release ]; then echo complete; else echo absent; fi");
    Task::new(
        format!("generation-{number}"),
        format!(
            "generation {number}: a clone of this system ({}, kernel {})",
            site.survey.system, site.survey.kernel
        ),
    )
    .probe(probe)
    .wanted("complete")
    .apply(Script::on_master(site).create(number, Source::Master, "provision"))
}

/// Has workers boot it at their next start.
pub(crate) fn active(site: &Site<'_>) -> Task {
    let (number, active) = (site.boots.number, site.layout.active());
    Task::new("active-generation", format!("workers boot generation {number}"))
        .probe(format!("[ ! -f {active} ] || tail -n 1 {active}"))
        .wanted(number.to_string())
        .apply(Script::on_master(site).activate(number))
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let step = Step::new(NAME)
        .title("what workers run")
        .with(Directory::new(site.layout.generations()))
        .with(made(site))
        .with(active(site));
    Part { packages: PACKAGES.map(str::to_owned).to_vec(), steps: vec![step], ..Part::default() }
}

#[cfg(test)]
mod tests;
