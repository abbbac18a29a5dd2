//! What the boards on the cluster's segment do, as the master sees it.
//!
//! [`discover()`] shows who asks to boot, and puts boards into `cluster.toml`; [`watch()`] and [`snapshot`] tell how far each node of
//! the cluster is. Nothing is installed anywhere, and nothing on a board or on the master is changed.

mod discover;
mod table;
mod watch;

pub use discover::{
    Add, Added, Answer, Device, DiscoverError, Discovered, Model, NotAdded, Place, discover,
    table as discovered,
};
pub use watch::{
    Member, NodeState, Room, Snapshot, Stage, WatchError, changed, snapshot, table as watched,
    watch,
};
