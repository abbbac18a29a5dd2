//! What a module is given and what it gives.

use feeder_cluster::Cluster;
use feeder_plan::Step;
use sha2::{Digest, Sha256};

use crate::{
    Boots, Layout, Secrets, Survey, Wanted, base, boot_server, docker, generation, network, nfs,
    registry, share, ssd_boot, workers,
};

/// What modules look at.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The cluster as it should be.
    pub cluster: &'a Cluster,
    /// The values of secrets that it refers to.
    pub secrets: &'a Secrets,
    /// What its master is now.
    pub survey: &'a Survey,
    /// Where things lie on the master.
    pub layout: &'a Layout,
    /// What makes up the cluster, in the order in which it is applied.
    pub modules: &'a [Module],
    /// What the modules want of a generation.
    pub wanted: Wanted,
    /// The generation that workers are to boot.
    pub boots: Boots,
}

impl<'a> Site<'a> {
    /// A cluster made up of these modules, whose workers boot what the state of its master calls for.
    #[must_use]
    pub fn new(
        cluster: &'a Cluster,
        secrets: &'a Secrets,
        survey: &'a Survey,
        layout: &'a Layout,
        modules: &'a [Module],
    ) -> Self {
        // What modules want of a generation is asked for before it has a number.
        let (wanted, boots) = (Wanted([0; 32]), Boots { number: 0, nfs_root_built_in: None });
        let draft = Self { cluster, secrets, survey, layout, modules, wanted, boots };
        let wanted = generation::wanted(&draft);
        Self { wanted, boots: survey.generations.boots(&wanted), ..draft }
    }

    /// What all modules want of the master: what workers run first, which is made of the others' contributions.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        let modules = self.modules.iter().map(|module| module(self));
        std::iter::once(generation::part(self)).chain(modules).collect()
    }

    /// The same, with workers that boot another generation.
    #[must_use]
    pub fn booting(self, boots: Boots) -> Self {
        Self { boots, ..self }
    }

    /// The kernel that workers boot mounts an NFS root without an initramfs.
    #[must_use]
    pub fn nfs_root_built_in(&self) -> bool {
        self.boots.nfs_root_built_in.unwrap_or(self.survey.nfs_root_built_in)
    }
}

/// What a module wants of the master. `Debug` does not show scripts: they may carry secrets.
#[derive(Clone, Default)]
pub struct Part {
    /// Steps that must be done before packages are installed, since installing starts services.
    pub before_packages: Vec<Step>,
    /// Debian packages; those of all modules are installed in one go.
    pub packages: Vec<String>,
    /// Everything else.
    pub steps: Vec<Step>,
    /// What is to be done in every new generation, each a POSIX script with `$root` set to its root file system. It may run in a clone
    /// of the master and in a copy of an older generation alike, must not depend on the number of the generation, and a
    /// change of it has provisioning make a new one.
    pub in_generation: Vec<String>,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { before_packages, packages, steps, in_generation } = self;
        f.debug_struct("Part")
            .field("before_packages", before_packages)
            .field("packages", packages)
            .field("steps", steps)
            .field("in_generation", &in_generation.len())
            .finish()
    }
}

/// A module: the same site always gives the same part.
pub type Module = fn(&Site<'_>) -> Part;

/// All modules, in the order in which they are applied; what workers run is made of what they put into it.
pub static MODULES: &[Module] = &[
    network::part,
    base::part,
    share::part,
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
    use super::{Layout, MODULES, Secrets, Site};
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
        let access = crate::Access::new("known_hosts").with_sudo_password(&parsed.cluster);
        let sudo_password = access.expect("it is to be had").sudo_password;
        let secrets = Secrets::of(&parsed.cluster, sudo_password.as_ref());
        let secrets = secrets.expect("they are to be had");
        let (survey, layout) = (debian(), Layout::default());
        run(&Site::new(&parsed.cluster, &secrets, &survey, &layout, MODULES));
    }

    /// `sh -n`: the script parses.
    pub(crate) fn shell_accepts(script: &str) {
        feeder_process::Cmd::new("sh").arg("-n").stdin(script).run().expect("valid shell");
    }
}
