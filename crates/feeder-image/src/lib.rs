//! Images of disks, made of locked packages, the same bytes every time.
//!
//! ```text
//! package sets ──lock()──► Lock ──fetch()──► blobs in the store ──repository()──► an apt repository
//!   (TOML)       (apt, once)        (mirror)                           │
//! recipe + files ──────────────────────────────────────────────────── build() ──► disk.img
//! ```
//!
//! Only [`lock()`] asks what there is, and only it checks signatures: from then on every file is known by its
//! SHA-256. Only [`fetch()`] uses the network. [`build()`] works without one, from the store alone.

mod build;
mod container;
mod disk;
mod error;
mod fetch;
mod files;
mod lock;
mod mirror;
mod package_set;
mod recipe;
mod repository;
mod root;

pub use build::{MasterSd, build, plan, stored};
pub use container::{Container, ContainerRecipe, container};
pub use disk::{DiskParts, assemble, ext4, fat, mbr};
pub use error::ImageError;
pub use fetch::{Fetched, fetch};
pub use lock::{Lock, LockError, LockedPackage, lock};
pub use mirror::{Mirror, MirrorError};
pub use package_set::PackageSet;
pub use recipe::Recipe;
pub use repository::repository;
