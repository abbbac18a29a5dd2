//! Why a swarm is not as wanted.

use feeder_cluster::SecretError;
use feeder_remote::RemoteError;
use feeder_ui::{Exit, Expected};

/// Why the swarm was not brought to what the cluster says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwarmError {
    /// A node could not be asked.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// An engine refused.
    #[error("cannot {doing} on {host}: {said}")]
    Engine {
        /// Whose engine.
        host: String,
        /// What was to be done.
        doing: String,
        /// In its own words.
        said: String,
    },
    /// A node is in a swarm that is not the cluster's.
    #[error("{host} is in another swarm, {}. It was left there", whose(managers))]
    Elsewhere {
        /// The node.
        host: String,
        /// Where that swarm's managers are.
        managers: Vec<String>,
    },
    /// A manager waits for the swarm's unlock key.
    #[error("{host} manages a locked swarm and waits for its key: {why}")]
    Locked {
        /// The manager.
        host: String,
        /// Why it was not given.
        why: String,
    },
    /// The swarm's unlock key cannot be had or kept.
    #[error(transparent)]
    Key(#[from] SecretError),
    /// A node joined, or came back, and the managers do not hear of it.
    #[error("{host} has joined the swarm, and the managers do not see it ready: {last}")]
    NotReady {
        /// The node.
        host: String,
        /// What was last seen.
        last: String,
    },
    /// A node was told to manage, and the managers do not reach it as one of them.
    #[error("{host} was told to manage the swarm, and does not yet: {last}")]
    NotManager {
        /// The node.
        host: String,
        /// What was last seen.
        last: String,
    },
    /// Tasks still run on a node that is drained.
    #[error("{host} is drained, and {last}")]
    NotIdle {
        /// The node.
        host: String,
        /// What was last seen.
        last: String,
    },
    /// The managers did not take an order, though it was given again and again.
    #[error("cannot {doing}: {last}")]
    NotDone {
        /// What was to be done.
        doing: String,
        /// What was last seen.
        last: String,
    },
    /// The master manages the swarm at an address that it has not any more.
    #[error("the swarm of {host} is managed at {was}, and cluster.toml gives it {is}")]
    Moved {
        /// The master.
        host: String,
        /// Where workers look for it.
        was: String,
        /// Its address.
        is: String,
    },
    /// The cluster has no swarm.
    #[error("there is no swarm on {host}")]
    NoSwarm {
        /// The master.
        host: String,
    },
    /// A node is not in the swarm.
    #[error("{host} is not in the swarm")]
    NotMember {
        /// The node.
        host: String,
    },
    /// The swarm takes no orders.
    #[error("the swarm on {host} takes no orders: {said}")]
    NoQuorum {
        /// The master.
        host: String,
        /// In its own words.
        said: String,
    },
    /// Everything was done and yet.
    #[error("the swarm is still not as wanted after everything was done: {}", left.join("; "))]
    NotAsWanted {
        /// What still differs.
        left: Vec<String>,
    },
}

fn whose(managers: &[String]) -> String {
    match managers {
        [] => "whose managers it does not name".to_owned(),
        managers => format!("managed from {}", managers.join(", ")),
    }
}

impl Expected for SwarmError {
    fn exit(&self) -> Exit {
        match self {
            Self::Remote(error) => error.exit(),
            Self::Key(error) => error.exit(),
            Self::Elsewhere { .. }
            | Self::NoSwarm { .. }
            | Self::Locked { .. }
            | Self::Moved { .. } => Exit::Input,
            Self::Engine { .. }
            | Self::NotReady { .. }
            | Self::NotManager { .. }
            | Self::NotIdle { .. }
            | Self::NotDone { .. }
            | Self::NoQuorum { .. }
            | Self::NotMember { .. }
            | Self::NotAsWanted { .. } => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Remote(error) => error.hint(),
            Self::Key(error) => error.hint(),
            Self::Locked { host, .. } => Some(format!(
                "put the key into the file that `autolock` in [swarm] names and provision again, or type it: `docker swarm unlock` after `cargo xtask node ssh {host}`"
            )),
            // Its configuration counts from its next start on.
            Self::Engine { host, said, .. } if said.contains("live-restore") => {
                Some(format!("`cargo xtask node reboot {host}`, then provision again"))
            }
            Self::Engine { host, .. } => {
                Some(format!("`cargo xtask node logs {host} --unit docker` says more"))
            }
            Self::Elsewhere { host, .. } => Some(format!(
                "if it is to leave that swarm: `cargo xtask node exec {host} --root -- docker swarm leave --force`. When it is the last manager there, its services and secrets are gone with it. If that was this cluster's swarm, give the master back its /var/lib/docker/swarm first"
            )),
            Self::NotReady { host, .. } => Some(format!(
                "it must reach the managers on TCP ports 2377 and 7946: `cargo xtask node logs {host} --unit docker`"
            )),
            Self::NotManager { host, .. } => Some(format!(
                "the managers must reach it on TCP port 2377: `cargo xtask node logs {host} --unit docker`"
            )),
            Self::NotIdle { host, .. } => Some(format!(
                "they end when their `stop_grace_period` is over; `cargo xtask node exec {host} --root -- docker ps` shows them. Run this again to go on waiting"
            )),
            Self::NotDone { .. } => Some("somebody else gives the swarm orders: try again".into()),
            Self::Moved { host, is, .. } => Some(format!(
                "`cargo xtask node exec {host} --root -- docker swarm init --force-new-cluster --advertise-addr {is}` keeps its services and secrets, and makes {host} its only manager; then let the workers leave (`docker swarm leave --force`), and provision"
            )),
            Self::NoSwarm { .. } => {
                Some("write [swarm] into cluster.toml and run `cargo xtask provision`".into())
            }
            Self::NotMember { .. } => {
                Some("give it power and run `cargo xtask provision`: it joins when it answers".into())
            }
            Self::NoQuorum { .. } => Some(
                "more than half of its managers must be alive: give them power; if they are lost for good, `docker swarm init --force-new-cluster` on the master makes it the only one".into(),
            ),
            Self::NotAsWanted { .. } => {
                Some("somebody else gives the swarm orders, or its managers change".into())
            }
        }
    }
}
