//! What can go wrong with a LAN.

use std::io;
use std::net::SocketAddrV4;

use camino::Utf8PathBuf;
use ipnet::Ipv4Net;

/// Why a LAN could not be started or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LanError {
    /// A unix socket's path does not fit into the kernel's address.
    #[error(
        "the socket path {path} is {length} bytes long, unix sockets allow {max}; choose a shorter directory for the sockets (such as one in /tmp)"
    )]
    SocketPath {
        /// The path.
        path: Utf8PathBuf,
        /// Its length in bytes.
        length: usize,
        /// How many bytes fit.
        max: usize,
    },
    /// Another process listens on a socket that this LAN needs.
    #[error(
        "another process is using {path}; is the same cluster running already? Stop it or use another directory"
    )]
    SocketInUse {
        /// The socket.
        path: Utf8PathBuf,
    },
    /// A socket could not be made.
    #[error("cannot {what}: {source}")]
    Socket {
        /// What was tried, on which path or address.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The capture file could not be made.
    #[error("cannot write the packet capture {path}: {source}")]
    Capture {
        /// The file.
        path: Utf8PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A node's name cannot be part of a file name.
    #[error(
        "{name:?} cannot name a node: use letters, digits, '-', '_' and '.', at most 63, and not \"router\" or \"steps\""
    )]
    NodeName {
        /// The name.
        name: String,
    },
    /// The node has such a port already.
    #[error("node {node} is attached to the LAN already; detach it first")]
    Attached {
        /// The node.
        node: String,
    },
    /// A forward leads nowhere.
    #[error("cannot forward to {guest}: it is not in the LAN's network {subnet}")]
    Forward {
        /// Where the forward was to lead.
        guest: SocketAddrV4,
        /// The LAN's network.
        subnet: Ipv4Net,
    },
    /// The router's settings contradict each other.
    #[error("the router's settings are wrong: {why}")]
    Router {
        /// What contradicts what.
        why: String,
    },
    /// A second DHCP server's settings contradict each other.
    #[error("the settings of the DHCP server {node} are wrong: {why}")]
    Dhcp {
        /// The server.
        node: String,
        /// What contradicts what.
        why: String,
    },
    /// A fault makes no sense.
    #[error("cannot inject \"{fault}\": {why}")]
    Fault {
        /// The fault, in words.
        fault: String,
        /// What is wrong with it.
        why: String,
    },
    /// The LAN was shut down.
    #[error("the virtual LAN has been shut down")]
    Stopped,
}
