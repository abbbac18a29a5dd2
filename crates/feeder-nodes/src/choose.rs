//! Which nodes are meant.

use feeder_cluster::Cluster;
use feeder_modules::Access;
use feeder_remote::{Privilege, SshOptions};
use feeder_ui::{Exit, Expected};

/// Which nodes somebody means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// These, by name.
    pub names: Vec<String>,
    /// All workers.
    pub workers: bool,
    /// The master and all workers.
    pub all: bool,
}

/// What a node is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It has the disk from which the others boot.
    Master,
    /// It boots from the master.
    Worker,
}

/// A node, and the way to it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// How it is reached.
    pub ssh: SshOptions,
}

impl Target {
    /// How it is reached to run scripts so.
    pub(crate) fn with(&self, privilege: Privilege) -> SshOptions {
        SshOptions { privilege, ..self.ssh.clone() }
    }
}

/// Nobody is meant, or somebody who is not there.
#[derive(Debug, thiserror::Error)]
pub enum NotChosen {
    /// Neither a name nor a flag was given, or the cluster has no workers.
    #[error("no node is chosen")]
    Nobody {
        /// Those that could be.
        nodes: Vec<String>,
    },
    /// The cluster has no node of that name.
    #[error("the cluster has no node `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        nodes: Vec<String>,
    },
}

impl Expected for NotChosen {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Nobody { nodes } => {
                format!("give names, --workers or --all; its nodes are {}", nodes.join(", "))
            }
            Self::Unknown { nodes, .. } => format!("its nodes are {}", nodes.join(", ")),
        })
    }
}

/// The nodes that are meant, each once, the master first and the workers in the order of the file.
///
/// # Errors
/// Nobody is meant, or somebody who is not there.
pub fn choose(
    cluster: &Cluster,
    access: &Access,
    choice: &Choice,
) -> Result<Vec<Target>, NotChosen> {
    let nodes = || cluster.nodes().map(|node| node.name.to_string()).collect();
    let known = |name: &str| cluster.nodes().any(|node| node.name.as_str() == name);
    if let Some(name) = choice.names.iter().find(|name| !known(name)) {
        return Err(NotChosen::Unknown { name: name.clone(), nodes: nodes() });
    }
    let targets: Vec<Target> = cluster
        .nodes()
        .filter_map(|node| {
            let name = node.name.as_str();
            let role = if cluster.worker(name).is_some() { Role::Worker } else { Role::Master };
            let meant = choice.all
                || (choice.workers && role == Role::Worker)
                || choice.names.iter().any(|wanted| wanted == name);
            let ssh = access.found(cluster, name).filter(|_| meant)?;
            Some(Target { name: name.to_owned(), role, ssh })
        })
        .collect();
    if targets.is_empty() {
        return Err(NotChosen::Nobody { nodes: nodes() });
    }
    Ok(targets)
}
