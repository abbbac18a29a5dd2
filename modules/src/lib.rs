//! What a cluster is made of, as desired state: one folder per module.
//!
//! A module turns a [`Site`] (the cluster as it should be, and what its master turned out to be) into [`Part`]s: packages and
//! steps of resources. It does no I/O. [`provision()`] puts the parts together, brings the master to them over SSH, and
//! records what workers will be known by. Adding a module means a folder here and a line in [`MODULES`].

mod access;
mod base;
mod boot_server;
mod docker;
mod error;
mod firmware;
mod generation;
mod generations;
mod known_hosts;
mod layout;
mod lock;
mod look;
mod network;
mod nfs;
mod part;
mod provision;
mod registry;
mod scope;
mod secrets;
mod share;
mod ssd;
mod ssd_boot;
mod survey;
mod swarm;
mod template;
mod workers;

/// What the docs say about modules of one's own compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/own-module.md")]
struct OwnModule;

pub use access::{Access, Awaited, KeepWaiting, Patience};
pub use error::ProvisionError;
pub use generation::{Boots, Generation, Generations, Source, Use, Uses, Wanted, generation_of};
pub use generations::{Created, Master};
pub use layout::Layout;
pub use part::{MODULES, Module, Part, Site};
pub use provision::{Permits, Provisioned, connect, provision, provision_with, steps};
pub use scope::Scope;
pub use secrets::Secrets;
pub use ssd::{ssd_finish, ssd_status};
pub use ssd_boot::{Card, Disk, Disks, MoveState, SsdStatus};
pub use survey::Survey;
pub use swarm::{SwarmError, set_availability};
