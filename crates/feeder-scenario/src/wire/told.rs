//! What is told of a LAN's traffic. The names in JSON are an interface, as all of [`crate::Event`].

use std::net::Ipv4Addr;

pub use feeder_wire::dhcp::Dhcp;
use serde::{Deserialize, Serialize};

/// Something that was said on the LAN, by and to nodes by name; whoever has no name is called by its hardware or network
/// address. The record's node is the client. In JSON, `what` says which.
///
/// What is said again within half a minute is not written down each time but when it was said for the 2nd, 4th, 8th … time;
/// `times` tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Wire {
    /// A DHCP message (RFC 2131).
    Dhcp {
        /// Which.
        message: Dhcp,
        /// Who sent it.
        from: String,
        /// The client that it is for, of a server's message; `all` of a client's.
        to: String,
        /// Option 54: the server that answers or is asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<Ipv4Addr>,
        /// The address that a server gives; none from a proxy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        yiaddr: Option<Ipv4Addr>,
        /// Option 43 as hexadecimal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        option43: Option<String>,
        /// The text in option 43, blanks included: what a boot ROM looks for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        option43_text: Option<String>,
        /// Option 60: what the client says that it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vendor_class: Option<String>,
        /// How often it was said so far.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u64,
    },
    /// A server has sent all of a file (RFC 1350).
    TftpDone {
        /// The file's path.
        file: String,
        /// The server.
        server: String,
        /// The file's size in bytes.
        bytes: u64,
        /// How often so far.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u64,
    },
    /// A server refused or broke off a transfer.
    TftpError {
        /// The file's path.
        file: String,
        /// The server.
        server: String,
        /// The error's number: 1 is "file not found".
        code: u16,
        /// The server's words.
        error: String,
        /// How often so far.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u64,
    },
    /// A file was asked for again, because no answer came.
    TftpUnanswered {
        /// The file's path.
        file: String,
        /// The server.
        server: String,
        /// How often so far.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u64,
    },
    /// A server of mounts answered (RFC 1813, appendix I).
    Mount {
        /// The folder that the client wants.
        path: String,
        /// The server.
        server: String,
        /// `ok`, or why not.
        status: String,
        /// How often so far.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u64,
    },
    /// A server does not have a program that NFS takes (RFC 1833).
    Unregistered {
        /// The program: `mountd`, `nfs`.
        program: String,
        /// The server.
        server: String,
        /// How often so far.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u64,
    },
    /// An NFS server took a connection, refused it or said nothing.
    Nfs {
        /// The server.
        server: String,
        /// What it said.
        answer: Answer,
        /// How often so far.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: u64,
    },
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was made.
    Accepted,
    /// Nobody listens.
    Refused,
    /// The client asked again.
    Unanswered,
}

fn once() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_once(times: &u64) -> bool {
    *times == 1
}

impl Wire {
    /// The same, said so often.
    pub(super) fn said(mut self, count: u64) -> Self {
        *self.times_mut() = count;
        self
    }

    fn times_mut(&mut self) -> &mut u64 {
        match self {
            Self::Dhcp { times, .. }
            | Self::TftpDone { times, .. }
            | Self::TftpError { times, .. }
            | Self::TftpUnanswered { times, .. }
            | Self::Mount { times, .. }
            | Self::Unregistered { times, .. }
            | Self::Nfs { times, .. } => times,
        }
    }
}

impl std::fmt::Display for Wire {
    /// One line without addresses and counts, which differ from run to run.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dhcp { message, from, to, option43, option43_text, .. } => {
                write!(f, "{from} → {to}   {message}")?;
                if let Some(bytes) = option43 {
                    write!(f, "   option 43 = {bytes}")?;
                } else if *message == Dhcp::Offer {
                    f.write_str("   without option 43")?;
                }
                option43_text.iter().try_for_each(|text| write!(f, " \"{text}\""))
            }
            Self::TftpDone { file, server, bytes, .. } => {
                write!(f, "{server} sent {file}, {bytes} bytes")
            }
            Self::TftpError { file, server, code, error, .. } => {
                write!(f, "{server} refused {file}: {error} (TFTP error {code})")
            }
            Self::TftpUnanswered { file, server, .. } => {
                write!(f, "{server} did not answer for {file}")
            }
            Self::Mount { path, server, status, .. } if status == "ok" => {
                write!(f, "{server} lets it mount {path}")
            }
            Self::Mount { path, server, status, .. } => {
                write!(f, "{server} refused to let it mount {path}: {status}")
            }
            Self::Unregistered { program, server, .. } => write!(f, "{server} runs no {program}"),
            Self::Nfs { server, answer, .. } => match answer {
                Answer::Accepted => write!(f, "{server} took its NFS connection"),
                Answer::Refused => write!(f, "{server} refused its NFS connection"),
                Answer::Unanswered => write!(f, "{server} did not answer its NFS connection"),
            },
        }
    }
}
