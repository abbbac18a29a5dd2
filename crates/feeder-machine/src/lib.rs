//! One QEMU process: its arguments from a board profile, QMP, serial console, power, and its state in a file.
//!
//! ```no_run
//! # fn spec() -> feeder_machine::Spec { unimplemented!() }
//! use feeder_machine::{Machine, State, StopReason};
//! let machine = Machine::power_on(spec())?;
//! machine.console().expect("login:", &mut || machine.cpu_time().is_ok_and(|t| t.as_secs() < 60))?;
//! machine.power_off()?;
//! assert_eq!(machine.wait_stopped(&mut || true), Some(StopReason::GuestShutdown));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is deliberately absent: this crate knows no cluster and no boot firmware. A kernel, an initramfs, a device tree
//! and a command line come in; a guest's reset ends the machine, so that whoever plays the firmware boots it anew.
//! Nothing survives the owner: QEMU leads its own process group and the kernel kills it when we end.

mod accel;
mod argv;
mod console;
pub mod disk;
mod error;
mod machine;
mod profile;
mod qmp;
mod save;
mod spec;
mod terminal;
mod unplug;
pub mod write_log;

pub use accel::probe_accel;
pub use argv::{argv, command_line};
pub use console::{Console, ConsoleError, Line, Seen};
pub use error::MachineError;
pub use machine::{Machine, State, StopReason};
pub use profile::{DeviceTree, DiskKind, NicKind, Profile, UsbKind};
pub use qapi;
pub use qmp::{Event, Qmp, QmpError};
pub use spec::{Accel, Disk, DiskFormat, Io, IoError, IoFault, Nic, Plug, Spec, Times};
