//! One TFTP transfer, from the request to the last acknowledgement.

use std::time::Duration;

use super::tftp::{self, PLAIN_BLOCK, Packet, SERVER_PORT};
use crate::board::{ProbeEnd, TftpProfile};
use crate::boot::Absence;

/// A board has 1 GiB of memory; nothing it loads comes near this.
const LARGEST: usize = 768 << 20;

/// What the transfer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The ROM's way: no options.
    Plain,
    /// Only to learn that the file exists.
    Probe,
    /// The whole file, with options.
    Fetch,
}

/// A UDP payload for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub to_port: u16,
    pub payload: Vec<u8>,
}

/// How a transfer ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The file exists.
    Exists,
    /// All of it arrived.
    Complete {
        bytes: Vec<u8>,
        blocks: u64,
        retransmits: u32,
        /// The size that the server had announced.
        announced: Option<u64>,
    },
    /// It counts as absent.
    Absent(Absence),
}

pub(crate) struct Transfer {
    purpose: Purpose,
    profile: TftpProfile,
    pub(crate) local_port: u16,
    /// The server's port for this transfer, known from its first answer (RFC 1350, section 4).
    server_port: Option<u16>,
    block_size: usize,
    announced: Option<u64>,
    /// Blocks received in order; the next one is this plus one, modulo 65536.
    blocks: u64,
    bytes: Vec<u8>,
    retransmits: u32,
    last_sent: Outgoing,
    /// When the server last moved us forward.
    progress: Duration,
    sent: Duration,
}

impl Transfer {
    /// Returns the transfer and its request.
    pub(crate) fn begin(
        now: Duration,
        name: &str,
        purpose: Purpose,
        local_port: u16,
        profile: &TftpProfile,
    ) -> (Self, Outgoing) {
        let mut options = Vec::new();
        if purpose != Purpose::Plain {
            options.push(("tsize", "0".to_owned()));
        }
        if let (Purpose::Fetch, Some(size)) = (purpose, profile.block_size) {
            options.push(("blksize", size.to_string()));
        }
        let request = Outgoing { to_port: SERVER_PORT, payload: tftp::rrq(name, &options) };
        let transfer = Self {
            purpose,
            profile: profile.clone(),
            local_port,
            server_port: None,
            block_size: PLAIN_BLOCK,
            announced: None,
            blocks: 0,
            bytes: Vec::new(),
            retransmits: 0,
            last_sent: request.clone(),
            progress: now,
            sent: now,
        };
        (transfer, request)
    }

    /// How many bytes have come.
    pub(crate) fn received(&self) -> usize {
        self.bytes.len()
    }

    /// Takes a datagram sent to our port.
    pub(crate) fn receive(
        &mut self,
        now: Duration,
        from_port: u16,
        payload: &[u8],
    ) -> (Option<Outgoing>, Option<End>) {
        let Some(packet) = tftp::parse(payload) else { return (None, None) };
        // Another port is another transfer: late packets of one that was given up.
        if *self.server_port.get_or_insert(from_port) != from_port {
            return (None, None);
        }
        match packet {
            Packet::Error { code, message } => {
                (None, Some(End::Absent(Absence::Refused { code, message })))
            }
            Packet::Oack { size, block_size } => self.oack(now, size, block_size),
            Packet::Data { block, bytes } => self.data(now, block, bytes),
        }
    }

    fn oack(
        &mut self,
        now: Duration,
        size: Option<u64>,
        block_size: Option<u64>,
    ) -> (Option<Outgoing>, Option<End>) {
        if self.purpose == Purpose::Plain {
            // Nothing was asked for; RFC 2347 has error 8 for it.
            return self.break_off("OACK without options asked for", 8);
        }
        if self.blocks > 0 {
            // A late duplicate.
            return (None, None);
        }
        self.announced = size;
        match (block_size, self.profile.block_size) {
            (None, _) => {}
            (Some(given), Some(asked))
                if (8..=u64::from(asked)).contains(&given) && self.purpose == Purpose::Fetch =>
            {
                self.block_size = given as usize;
            }
            (Some(given), _) => {
                return self
                    .break_off(&format!("server chose blksize {given}, which was not offered"), 8);
            }
        }
        if self.purpose == Purpose::Probe && self.profile.probe_end == ProbeEnd::AtOack {
            return (Some(self.early_terminate()), Some(End::Exists));
        }
        self.progress = now;
        (Some(self.send(now, tftp::ack(0))), None)
    }

    fn data(&mut self, now: Duration, block: u16, bytes: &[u8]) -> (Option<Outgoing>, Option<End>) {
        let expected = (self.blocks + 1) as u16;
        if block != expected {
            // The last one again: our acknowledgement was lost, so it is repeated. Anything else is
            // out of order and dropped; the server will send what is missing.
            let repeated = self.blocks > 0 && block == self.blocks as u16;
            return (repeated.then(|| self.send(now, tftp::ack(block))), None);
        }
        if self.purpose == Purpose::Probe {
            return (Some(self.early_terminate()), Some(End::Exists));
        }
        if bytes.len() > self.block_size {
            let why =
                format!("block {block} has {} bytes, {} were agreed", bytes.len(), self.block_size);
            return self.break_off(&why, 4);
        }
        if self.bytes.len() + bytes.len() > LARGEST {
            return self.break_off("the file is larger than the board's memory", 3);
        }
        self.bytes.extend_from_slice(bytes);
        self.blocks += 1;
        self.progress = now;
        let ack = self.send(now, tftp::ack(block));
        let end = (bytes.len() < self.block_size).then(|| End::Complete {
            bytes: std::mem::take(&mut self.bytes),
            blocks: self.blocks,
            retransmits: self.retransmits,
            announced: self.announced,
        });
        (Some(ack), end)
    }

    /// What is due now: our last packet again, or giving up.
    pub(crate) fn poll(&mut self, now: Duration) -> (Option<Outgoing>, Option<End>) {
        if now >= self.progress + self.profile.patience {
            let absence = Absence::TimedOut { after: self.profile.patience, blocks: self.blocks };
            // It goes to our own port number instead of the server's, where nobody hears it:
            // raspberrypi/firmware#1025.
            let lost = (self.server_port.is_some()).then(|| Outgoing {
                to_port: self.local_port,
                payload: tftp::error(0, "Early terminate"),
            });
            return (lost, Some(End::Absent(absence)));
        }
        match self.profile.retransmit {
            Some(after) if now >= self.sent + after => {
                self.sent = now;
                self.retransmits += 1;
                (Some(self.last_sent.clone()), None)
            }
            _ => (None, None),
        }
    }

    /// When [`Transfer::poll`] has something to do.
    pub(crate) fn deadline(&self) -> Duration {
        let give_up = self.progress + self.profile.patience;
        self.profile.retransmit.map_or(give_up, |after| give_up.min(self.sent + after))
    }

    fn send(&mut self, now: Duration, payload: Vec<u8>) -> Outgoing {
        self.sent = now;
        self.last_sent = Outgoing { to_port: self.server_port.unwrap_or(SERVER_PORT), payload };
        self.last_sent.clone()
    }

    fn early_terminate(&self) -> Outgoing {
        Outgoing {
            to_port: self.server_port.unwrap_or(SERVER_PORT),
            payload: tftp::error(0, "Early terminate"),
        }
    }

    fn break_off(&self, why: &str, code: u16) -> (Option<Outgoing>, Option<End>) {
        let error = Outgoing {
            to_port: self.server_port.unwrap_or(SERVER_PORT),
            payload: tftp::error(code, why),
        };
        (Some(error), Some(End::Absent(Absence::Broken(why.into()))))
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
