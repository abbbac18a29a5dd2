//! How far each node is, from power to work.
//!
//! The master knows most of it: what dnsmasq and the NFS server log, who its neighbours and NFS clients are, and the swarm that
//! it manages. Workers are asked over SSH, through the master's connection, so that whoever reaches the master sees all. What it
//! comes to is a pure function of events ([`State`]): `log.rs`, `look.rs` and `health.rs` make them of text.

mod error;
mod health;
mod hint;
mod log;
mod look;
mod moment;
mod node;
mod run;
mod show;
mod snapshot;
mod state;

use self::moment::Moment;
pub use self::{
    error::WatchError,
    look::Member,
    node::Stage,
    run::{snapshot, watch},
    show::{changed, table},
    snapshot::{NodeState, Room, Snapshot},
};
