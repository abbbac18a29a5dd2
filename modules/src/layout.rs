//! Where things lie on the master.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_cluster::Worker;

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

    /// The same below another folder.
    #[must_use]
    pub fn at(base: impl Into<Utf8PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// Systems of workers, one folder each, by number.
    #[must_use]
    pub fn generations(&self) -> Utf8PathBuf {
        self.base.join("generations")
    }

    /// The numbers of the generations that were active, one a line; the last is the one that workers boot.
    #[must_use]
    pub fn active(&self) -> Utf8PathBuf {
        self.generations().join("active")
    }

    /// A generation: `root`, `boot`, and files that say what it is.
    #[must_use]
    pub fn generation(&self, number: u32) -> Utf8PathBuf {
        self.generations().join(number.to_string())
    }

    /// The root file system of a generation, read-only to workers.
    #[must_use]
    pub fn generation_root(&self, number: u32) -> Utf8PathBuf {
        self.generation(number).join("root")
    }

    /// What firmware loads: kernel, initramfs, device trees, overlays.
    #[must_use]
    pub fn generation_boot(&self, number: u32) -> Utf8PathBuf {
        self.generation(number).join("boot")
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

    /// The folders of all workers' own copies.
    #[must_use]
    pub fn copies(&self) -> Utf8PathBuf {
        self.base.join("copies")
    }

    /// A worker's own copy of the root file system of a generation.
    #[must_use]
    pub fn copy_root(&self, worker: &Worker, number: u32) -> Utf8PathBuf {
        let generations = self.copies().join(worker.name.as_str()).join("generations");
        generations.join(number.to_string()).join("root")
    }

    /// The folders of all workers' states.
    #[must_use]
    pub fn states(&self) -> Utf8PathBuf {
        self.base.join("state")
    }

    /// The folder of all that a worker keeps: `state.img` and `identity`.
    #[must_use]
    pub fn state(&self, worker: &Worker) -> Utf8PathBuf {
        self.states().join(worker.name.as_str())
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
