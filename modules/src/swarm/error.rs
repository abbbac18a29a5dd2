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
            Self::Elsewhere { .. } | Self::NoSwarm { .. } | Self::Locked { .. } => Exit::Input,
            Self::Engine { .. }
            | Self::NotReady { .. }
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
            Self::Engine { host, .. } => {
                Some(format!("`cargo xtask node logs {host} --unit docker` says more"))
            }
            Self::Elsewhere { host, .. } => Some(format!(
                "if it is to leave that swarm: `cargo xtask node exec {host} --root -- docker swarm leave --force`"
            )),
            Self::NotReady { host, .. } => Some(format!(
                "it must reach the managers on TCP ports 2377 and 7946: `cargo xtask node logs {host} --unit docker`"
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
