//! User-space Ethernet for virtual machines, without root: a learning switch, a home router, and a capture of every frame.
//!
//! A [`Lan`] is one thread. QEMU processes hang on it by pairs of unix datagram sockets ([`Lan::attach_qemu`]), code by
//! in-process ports ([`Lan::attach`]). The router hands out addresses, resolves names and serves a directory over HTTP;
//! [`Lan::forward`] leads from a port on the host's loopback to a guest. The capture is pcapng with the nodes' names.
//!
//! ```no_run
//! use feeder_lan::{Lan, LanConfig, RouterConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lan = Lan::start(LanConfig {
//!     sockets: "/tmp/lan".into(),
//!     capture: Some("lan.pcapng".into()),
//!     router: RouterConfig::home("192.168.50.0/24".parse()?),
//!     seed: 1,
//! })?;
//! let cable = lan.attach_qemu("master")?;
//! // qemu-system-aarch64 … -netdev dgram,id=lan,local.type=unix,local.path={cable.qemu},
//! //                        remote.type=unix,remote.path={cable.lan}
//! let ssh = lan.forward("192.168.50.10:22".parse()?)?;
//! # let _ = (cable, ssh);
//! # Ok(())
//! # }
//! ```

mod capture;
mod clock;
mod config;
mod error;
mod fabric;
mod fault;
pub mod frame;
mod inbox;
mod lan;
mod lease;
mod pcapng;
mod port;
mod rogue;
mod router;
mod scan;
mod socket_port;
mod state;
mod stats;
mod switch;
mod tap;

pub use config::{LanConfig, RouterConfig};
pub use error::LanError;
pub use fault::{
    Direction, Fault, FaultCounts, FaultId, FaultKind, FaultReport, Place, Probability, Traffic,
};
pub use frame::Mac;
pub use lan::{Lan, QemuPort};
pub use lease::Lease;
pub use port::Port;
pub use rogue::{RogueDhcp, RogueDhcpConfig};
pub use router::ROUTER_MAC;
pub use scan::{ScanError, Service, Stranger};
pub use state::{DhcpClient, DhcpState, LanState, Settled};
pub use stats::{NodeStats, Summary};
pub use tap::{Tap, TappedFrame};
