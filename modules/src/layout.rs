//! Where things lie on the master.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_cluster::Worker;

/// Number of the generation that workers boot.
const GENERATION: u32 = 1;

/// Paths on the master; all below one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    base: Utf8PathBuf,
}

impl Default for Layout {
    fn default() -> Self {
        Self { base: "/srv/feeder".into() }
    }
}

impl Layout {
    /// The folder of everything.
    #[must_use]
    pub fn base(&self) -> &Utf8Path {
        &self.base
    }

    /// Number of the generation that workers boot.
    #[must_use]
    pub fn generation_number(&self) -> u32 {
        GENERATION
    }

    /// Systems of workers, one folder each, by number.
    #[must_use]
    pub fn generations(&self) -> Utf8PathBuf {
        self.base.join("generations")
    }

    /// The generation that workers boot: `root`, `boot` and `kernel-release`.
    #[must_use]
    pub fn generation(&self) -> Utf8PathBuf {
        self.generations().join(GENERATION.to_string())
    }

    /// The root file system of the generation, read-only to workers.
    #[must_use]
    pub fn generation_root(&self) -> Utf8PathBuf {
        self.generation().join("root")
    }

    /// What firmware loads: kernel, initramfs, device trees, overlays.
    #[must_use]
    pub fn generation_boot(&self) -> Utf8PathBuf {
        self.generation().join("boot")
    }

    /// The root of what TFTP serves.
    #[must_use]
    pub fn tftp(&self) -> Utf8PathBuf {
        self.base.join("tftp")
    }

    /// The boot tree of a worker: `<serial>`, or its MAC address with dashes where no serial is known.
    #[must_use]
    pub fn boot_tree(&self, worker: &Worker) -> Utf8PathBuf {
        let name = worker.boot_directory_names().into_iter().next();
        self.tftp().join(name.unwrap_or_else(|| worker.mac.dashed()))
    }

    /// The folder of all that a worker keeps: `state.img` and `identity`.
    #[must_use]
    pub fn state(&self, worker: &Worker) -> Utf8PathBuf {
        self.base.join("state").join(worker.name.as_str())
    }

    /// Files that are laid over the worker's root at every boot.
    #[must_use]
    pub fn identity(&self, worker: &Worker) -> Utf8PathBuf {
        self.state(worker).join("identity")
    }

    /// The private host key of a worker; `.pub` is beside it.
    #[must_use]
    pub fn host_key(&self, worker: &Worker) -> Utf8PathBuf {
        self.identity(worker).join("etc/ssh/ssh_host_ed25519_key")
    }
}
