//! What the boards on the cluster's segment do, as the master sees it.
//!
//! [`discover`] shows who asks to boot, and puts boards into `cluster.toml`. Nothing is installed anywhere, and nothing on a
//! board or on the master is changed.

mod discover;
mod table;

pub use discover::{
    Add, Added, Answer, Device, DiscoverError, Discovered, Model, NotAdded, Place, discover,
    table as discovered,
};
