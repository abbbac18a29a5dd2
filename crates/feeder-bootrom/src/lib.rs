//! A twin of the Raspberry Pi's boot firmware, without I/O.
//!
//! Bytes and time go in, bytes and decisions come out: no sockets, no threads, no clock of its own.
//! What a Pi 3B+ does between power and kernel is done here by the same rules, from an SD card or a USB disk
//! ([`DiskBoot`], or [`boot_from_disk`] for a card alone) or over the network ([`NetBoot`]), and ends in the same thing: a [`Boot`] with
//! exactly the kernel, device tree, initramfs and command line that the board would have started, or
//! an error that says what it lacked.
//!
//! The boot ROM and `start.elf` are closed source. The crate's README lists every behaviour with its
//! source and marks what is inferred.

mod board;
mod boot;
mod cmdline;
pub mod config;
mod disk;
pub mod fdt;
mod firmware;
mod kernel;
mod net;
mod search;

pub use board::{
    ArpProfile, BoardModel, BoardProfile, DhcpProfile, MachineId, Ports, ProbeEnd, TftpProfile,
};
pub use boot::{Absence, Boot, BootError, Fetched, Loaded, Source, Stage};
pub use disk::{DiskBootError, Partition, PartitionType, Place, boot_from_disk, read_extent};
pub use net::{BootEvent, Dead, NetBoot, OfferSeen, Poll, option43};
pub use search::{
    Attached, Disk, DiskBoot, DiskUnreadable, Found, Otp, PassedOver, Plugged, Search, Tried,
    TryBoot, Went,
};
