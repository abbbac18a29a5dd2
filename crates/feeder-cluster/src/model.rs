//! The cluster as the rest of the project sees it: complete, consistent, defaults filled in.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::{
    Availability, Board, ByteSize, DhcpMode, DiskId, FileSystem, Journal, MacAddr, NodeLabel,
    NodeName, PasswordLogin, Root, SdCard, SecretRef, Serial, Sudo,
};

/// A whole cluster. Names, MAC addresses, serials and addresses are each unique in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// What it is called.
    pub name: NodeName,
    /// The segment it lives on.
    pub network: Network,
    /// The node with a disk.
    pub master: Master,
    /// The nodes without, in the order of the file. May be empty.
    pub workers: Vec<Worker>,
    /// What the systems of all nodes have in common.
    #[serde(skip_serializing_if = "System::is_empty")]
    pub system: System,
    /// The folder that all nodes share, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// How Docker runs on all nodes, if it does. It does where there is a swarm or a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<Docker>,
    /// The swarm that they form, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swarm: Option<Swarm>,
    /// The registry on the master, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<Registry>,
}

/// What the systems of all nodes have in common. What is not said is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct System {
    /// Debian packages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// The time zone, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The locale, in UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// Where journals are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<Journal>,
    /// Groups in which the user is, beside those of the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Public keys with which one can log in as the user, beside those of the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorized_keys: Vec<String>,
    /// Where the hash of the user's password is to be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Whether sudo asks the user for the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sudo: Option<Sudo>,
    /// Whether one can log in with a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_login: Option<PasswordLogin>,
}

impl System {
    /// Nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A folder on the master that all nodes mount in the same place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Its path, below `/srv`.
    pub folder: String,
}

/// A registry and a cache of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registry {
    /// The registry whose images are cached: `https://`, a host, and perhaps a port.
    pub upstream: String,
}

/// How Docker runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Docker {
    /// The size at which the next log file of a container is begun.
    pub log_size: ByteSize,
    /// Where it comes from, when that is not Debian.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
}

impl Default for Docker {
    fn default() -> Self {
        Self { log_size: ByteSize::mib(10), archive: None }
    }
}

/// An archive of Debian packages with a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// Where apt finds it: `https://` or `http://`, a host and a path.
    pub url: String,
    /// The public key that it is signed with, armored, without a line's end behind it.
    pub key: String,
}

/// A swarm of all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Swarm {
    /// How many nodes manage it; odd, and no more than there are.
    pub managers: usize,
    /// Whether the master takes tasks, when that is not left to commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<Availability>,
    /// Seconds from one sign of life of a node to the next, when that is not left to commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u64>,
    /// The file that keeps the key without which no manager goes on after a restart, if managers are locked. It is never a
    /// variable or a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autolock: Option<SecretRef>,
}

/// The segment that master and workers share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Its addresses; no host bits are set.
    pub subnet: Ipv4Net,
    /// The router, in `subnet`.
    pub gateway: Ipv4Addr,
    /// Name servers in order of preference; at least one, anywhere.
    pub dns: Vec<Ipv4Addr>,
    /// Who hands out addresses.
    pub dhcp: DhcpMode,
}

/// The node with a disk, from which the others boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Master {
    /// Its host name.
    pub name: NodeName,
    /// Its static address, in the subnet.
    pub address: Ipv4Addr,
    /// Its model.
    pub board: Board,
    /// Who logs in over SSH.
    pub user: String,
    /// Where the user's password is to be had, for nodes on which sudo asks for it.
    #[serde(skip_serializing_if = "Option::is_none", rename = "sudo-password")]
    pub sudo_password: Option<SecretRef>,
    /// Its labels in the swarm, no two of one name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<NodeLabel>,
    /// Where it moves to from its SD card, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssd: Option<Ssd>,
}

/// The disk to which the master moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ssd {
    /// Which disk.
    pub disk: DiskId,
    /// The file system of its root.
    pub file_system: FileSystem,
    /// What becomes of the SD card.
    pub sd_card: SdCard,
}

/// A node that boots from the master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Worker {
    /// Its host name.
    pub name: NodeName,
    /// The address of its network card.
    pub mac: MacAddr,
    /// The low 32 bits of its serial number, when known.
    pub serial: Option<Serial>,
    /// The address it is given, in the subnet.
    pub address: Ipv4Addr,
    /// Its model.
    pub board: Board,
    /// What it has as its root.
    pub root: Root,
    /// The size of the image that holds what it writes.
    #[serde(rename = "state")]
    pub state_size: ByteSize,
    /// Its labels in the swarm, no two of one name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<NodeLabel>,
}

/// What master and workers have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Node<'a> {
    /// Its host name.
    pub name: &'a NodeName,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its model.
    pub board: Board,
    /// Its labels in the swarm.
    pub labels: &'a [NodeLabel],
}

impl Worker {
    /// The directories of the TFTP root in which this worker looks for its files, the one to prefer first.
    ///
    /// Boot firmware asks for `<serial>/start.elf` and, only when that is absent, for `start.elf`, which a server can map to
    /// a directory named after the MAC address (`b8-27-eb-40-45-36`). The high eight bits of a 3B's serial cannot be told from
    /// its MAC address, so without a serial in the file only the second name is known.
    pub fn boot_directory_names(&self) -> Vec<String> {
        self.serial
            .map(|serial| serial.to_string())
            .into_iter()
            .chain([self.mac.dashed()])
            .collect()
    }
}

impl Cluster {
    /// The worker of that name.
    pub fn worker(&self, name: &str) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.name.as_str() == name)
    }

    /// The master, then the workers in the order of the file.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        let Master { name, address, board, labels, .. } = &self.master;
        let workers = self.workers.iter().map(|worker| Node {
            name: &worker.name,
            address: worker.address,
            board: worker.board,
            labels: &worker.labels,
        });
        std::iter::once(Node { name, address: *address, board: *board, labels }).chain(workers)
    }

    /// The address of the master or worker of that name.
    pub fn address_of(&self, name: &str) -> Option<Ipv4Addr> {
        self.nodes().find(|node| node.name.as_str() == name).map(|node| node.address)
    }

    /// An address for one more worker: the first behind the master's that nobody in the file has, else the first of the subnet.
    /// None when the subnet is full.
    pub fn next_free_address(&self) -> Option<Ipv4Addr> {
        let mut taken: BTreeSet<Ipv4Addr> = self.nodes().map(|node| node.address).collect();
        taken.insert(self.network.gateway);
        taken.extend(&self.network.dns);
        free_address(self.network.subnet, &taken, Some(self.master.address))
    }
}

/// The first host address of `subnet` that is not taken, looking behind `after` first.
pub(crate) fn free_address(
    subnet: Ipv4Net,
    taken: &BTreeSet<Ipv4Addr>,
    after: Option<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let first = u32::from(subnet.network()) + 1;
    let last = u32::from(subnet.broadcast()) - 1;
    let start = match after {
        Some(after) if subnet.contains(&after) => {
            u32::from(after).saturating_add(1).clamp(first, last)
        }
        _ => first,
    };
    (start..=last).chain(first..start).map(Ipv4Addr::from).find(|address| !taken.contains(address))
}
