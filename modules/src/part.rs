//! What a module is given and what it gives.

use feeder_cluster::Cluster;
use feeder_plan::Step;
use sha2::{Digest, Sha256};

use crate::{
    Layout, Survey, boot_server, docker, generation, network, nfs, registry, ssd_boot, workers,
};

/// What modules look at.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The cluster as it should be.
    pub cluster: &'a Cluster,
    /// What its master is now.
    pub survey: &'a Survey,
    /// Where things lie on the master.
    pub layout: &'a Layout,
}

/// What a module wants of the master.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Steps that must be done before packages are installed, since installing starts services.
    pub before_packages: Vec<Step>,
    /// Debian packages; those of all modules are installed in one go.
    pub packages: Vec<&'static str>,
    /// Everything else.
    pub steps: Vec<Step>,
}

/// A module: the same site always gives the same part.
pub type Module = fn(&Site<'_>) -> Part;

/// All modules, in the order in which they are applied.
pub static MODULES: &[Module] = &[
    network::part,
    generation::part,
    nfs::part,
    workers::part,
    boot_server::part,
    registry::part,
    docker::part,
    ssd_boot::part,
];

/// SHA-256 of a text, as hex: what `sha256sum` prints for a file that holds it.
pub(crate) fn digest(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Layout, Site};
    use crate::survey::tests::debian;

    pub(crate) const LAB: &str = include_str!("../../fixtures/clusters/lab.toml");

    /// Runs with the sample cluster on a Debian master.
    pub(crate) fn with_site(run: impl FnOnce(&Site<'_>)) {
        with_cluster(LAB, run);
    }

    /// Runs with the sample cluster and these sections behind it.
    pub(crate) fn with_sections(sections: &str, run: impl FnOnce(&Site<'_>)) {
        with_cluster(&format!("{LAB}\n{sections}\n"), run);
    }

    pub(crate) fn with_cluster(text: &str, run: impl FnOnce(&Site<'_>)) {
        let parsed = feeder_cluster::parse(text, "cluster.toml").expect("the sample is valid");
        let (survey, layout) = (debian(), Layout::default());
        run(&Site { cluster: &parsed.cluster, survey: &survey, layout: &layout });
    }

    /// `sh -n`: the script parses.
    pub(crate) fn shell_accepts(script: &str) {
        feeder_process::Cmd::new("sh").arg("-n").stdin(script).run().expect("valid shell");
    }
}
