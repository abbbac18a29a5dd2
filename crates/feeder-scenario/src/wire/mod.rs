//! What the nodes say to each other while they boot: frames in, events out. No I/O, no clock of its own.
//!
//! The twin of the boot firmware tells its own view ([`crate::Firmware`]); this is what servers say, and what kernels and
//! their first programs ask for, which no twin sees.

mod rpc;
mod tap;
mod tftp;
mod told;

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use feeder_wire::{
    dhcp,
    frame::{self, Body, Mac, Packet, Segment},
};

use self::rpc::Call;
pub(crate) use tap::listen;
pub use told::{Answer, Dhcp, Wire};

const DHCP: [u16; 2] = [67, 68];
const TFTP: u16 = 69;
const NFS: u16 = 2049;
/// Conversations that are followed at a time, of each kind. Older ones are forgotten.
const FOLLOWED: usize = 256;
/// What is said again within this time is counted, not told.
const AGAIN: Duration = Duration::from_secs(30);

/// Whether a frame may be one that [`Decoder::frame`] tells something about. Cheap: it sees every frame of the LAN.
pub(crate) fn matters(bytes: &[u8]) -> bool {
    let Some(Packet { from, to, body, .. }) = frame::parse(bytes) else { return false };
    match body {
        Body::Udp(payload) => {
            DHCP.contains(&to.1)
                || to.1 == TFTP
                || (from.1 >= 1024 && to.1 >= 1024 && tftp::matters(payload))
                || rpc::matters(payload)
        }
        Body::Tcp(Segment::Data, data) => {
            ![from.1, to.1].contains(&NFS) && rpc::in_stream(data).is_some_and(rpc::matters)
        }
        Body::Tcp(Segment::Open, _) => to.1 == NFS,
        Body::Tcp(Segment::Accept | Segment::Reset, _) => from.1 == NFS,
    }
}

/// Makes events of frames. Survives any bytes; what is damaged or cut off is not told.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    macs: BTreeMap<Mac, String>,
    addresses: BTreeMap<Ipv4Addr, String>,
    /// By the client's address and port.
    transfers: Recent<(Ipv4Addr, u16), Transfer>,
    /// By the client's address, port, and the call's identifier.
    calls: Recent<(Ipv4Addr, u16, u32), Call>,
    /// By the client's address and port.
    connections: Recent<(Ipv4Addr, u16), ()>,
    told: Recent<(Option<String>, Wire), (Duration, u64)>,
}

#[derive(Debug)]
struct Transfer {
    file: String,
    block_size: u64,
    size: Option<u64>,
    answered: bool,
}

impl Decoder {
    /// A node that is known beforehand.
    pub fn knows(&mut self, name: &str, mac: Option<Mac>, address: Ipv4Addr) {
        self.macs.extend(mac.map(|mac| (mac, name.to_owned())));
        self.addresses.insert(address, name.to_owned());
    }

    /// What a frame says that a node sent at a time since the LAN began, and about which client.
    pub fn frame(
        &mut self,
        at: Duration,
        sender: &str,
        bytes: &[u8],
    ) -> Option<(Option<String>, Wire)> {
        let packet = frame::parse(bytes)?;
        self.macs.entry(packet.mac).or_insert_with(|| sender.to_owned());
        if !packet.from.0.is_unspecified() {
            self.sends_from(packet.from.0, sender);
        }
        let (client, said) = match packet.body {
            Body::Udp(payload) if DHCP.contains(&packet.to.1) => self.dhcp(sender, payload)?,
            Body::Udp(payload) => match self.tftp(&packet, payload) {
                Some(told) => told,
                None => self.rpc(&packet, payload)?,
            },
            Body::Tcp(Segment::Data, data) => self.rpc(&packet, rpc::in_stream(data)?)?,
            Body::Tcp(segment, _) => self.connection(&packet, segment)?,
        };
        self.counted(at, client, said)
    }

    /// An address is whose frames come from it: what a master leaves, a worker's firmware may be given.
    fn sends_from(&mut self, address: Ipv4Addr, sender: &str) {
        if self.addresses.get(&address).is_none_or(|known| known != sender) {
            self.addresses.insert(address, sender.to_owned());
        }
    }

    /// What is told of something that was said: everything for the first time, and then at every power of two.
    fn counted(
        &mut self,
        at: Duration,
        client: Option<String>,
        said: Wire,
    ) -> Option<(Option<String>, Wire)> {
        let key = (client, said);
        if let Some((last, times)) = self.told.get_mut(&key)
            && at.saturating_sub(*last) < AGAIN
        {
            *last = at;
            *times += 1;
            let times = *times;
            return times.is_power_of_two().then(|| (key.0, key.1.said(times)));
        }
        self.told.put(key.clone(), (at, 1));
        Some(key)
    }

    fn name(&self, address: Ipv4Addr) -> String {
        self.addresses.get(&address).cloned().unwrap_or_else(|| address.to_string())
    }

    fn node(&self, address: Ipv4Addr) -> Option<String> {
        self.addresses.get(&address).cloned()
    }

    fn dhcp(&self, sender: &str, payload: &[u8]) -> Option<(Option<String>, Wire)> {
        let message = dhcp::parse(payload)?;
        let client = self.macs.get(&message.client).cloned();
        let to = match (message.is_reply(), &client) {
            (false, _) => "all".to_owned(),
            (true, Some(name)) => name.clone(),
            (true, None) => message.client.map(|byte| format!("{byte:02x}")).join(":"),
        };
        let said = Wire::Dhcp {
            message: message.kind,
            from: sender.to_owned(),
            to,
            server: message.server,
            yiaddr: message.yiaddr,
            option43_text: message.option43.as_deref().and_then(dhcp::text),
            option43: message.option43.as_deref().map(hex),
            vendor_class: message.vendor_class,
            times: 1,
        };
        Some((client, said))
    }

    fn tftp(&mut self, packet: &Packet<'_>, payload: &[u8]) -> Option<(Option<String>, Wire)> {
        let parsed = tftp::parse(payload)?;
        if packet.to.1 == TFTP {
            return match parsed {
                tftp::Packet::Request { file } => self.request(packet, file),
                _ => None,
            };
        }
        if self.transfers.get_mut(&packet.from).is_some() {
            // The client's own end of a transfer; with an error it breaks off, as a boot ROM does that asked for a size.
            if let tftp::Packet::Error { .. } = parsed {
                self.transfers.take(&packet.from);
            }
            return None;
        }
        let transfer = self.transfers.get_mut(&packet.to)?;
        transfer.answered = true;
        let server = packet.from.0;
        let said = match parsed {
            tftp::Packet::Options { block_size, size } => {
                transfer.block_size = block_size.unwrap_or(transfer.block_size);
                transfer.size = size;
                return None;
            }
            tftp::Packet::Data { block, length } => {
                let length = length as u64;
                if length >= transfer.block_size {
                    return None;
                }
                let before = u64::from(block).saturating_sub(1) * transfer.block_size;
                let Transfer { file, size, .. } = self.transfers.take(&packet.to)?;
                let bytes = size.unwrap_or(before + length);
                Wire::TftpDone { file, server: self.name(server), bytes, times: 1 }
            }
            tftp::Packet::Error { code, message: error } => {
                let Transfer { file, .. } = self.transfers.take(&packet.to)?;
                Wire::TftpError { file, server: self.name(server), code, error, times: 1 }
            }
            tftp::Packet::Request { .. } => return None,
        };
        Some((self.node(packet.to.0), said))
    }

    fn request(&mut self, packet: &Packet<'_>, file: String) -> Option<(Option<String>, Wire)> {
        let again = self
            .transfers
            .get_mut(&packet.from)
            .is_some_and(|before| before.file == file && !before.answered);
        if again {
            let server = self.name(packet.to.0);
            return Some((
                self.node(packet.from.0),
                Wire::TftpUnanswered { file, server, times: 1 },
            ));
        }
        // Without options, blocks have 512 bytes.
        let transfer = Transfer { file, block_size: 512, size: None, answered: false };
        self.transfers.put(packet.from, transfer);
        None
    }

    fn rpc(&mut self, packet: &Packet<'_>, message: &[u8]) -> Option<(Option<String>, Wire)> {
        let (xid, reply) = match rpc::parse(message)? {
            rpc::Message::Call(xid, call) => {
                self.calls.put((packet.from.0, packet.from.1, xid), call);
                return None;
            }
            rpc::Message::Reply(xid, reply) => (xid, reply),
        };
        let call = self.calls.take(&(packet.to.0, packet.to.1, xid))?;
        let server = self.name(packet.from.0);
        let said = match (call, rpc::result(reply)?) {
            (Call::Mount { path }, result) => {
                let status = result.map_or_else(str::to_owned, rpc::status);
                Wire::Mount { path, server, status, times: 1 }
            }
            (Call::Port { program }, Ok(0) | Err(_)) => {
                Wire::Unregistered { program: program.to_owned(), server, times: 1 }
            }
            (Call::Port { .. }, Ok(_)) => return None,
        };
        Some((self.node(packet.to.0), said))
    }

    fn connection(
        &mut self,
        packet: &Packet<'_>,
        segment: Segment,
    ) -> Option<(Option<String>, Wire)> {
        let (client, server, answer) = match segment {
            Segment::Open if packet.to.1 == NFS => {
                if self.connections.get_mut(&packet.from).is_none() {
                    self.connections.put(packet.from, ());
                    return None;
                }
                (packet.from, packet.to, Answer::Unanswered)
            }
            Segment::Accept | Segment::Reset if packet.from.1 == NFS => {
                self.connections.take(&packet.to)?;
                let refused = segment == Segment::Reset;
                let answer = if refused { Answer::Refused } else { Answer::Accepted };
                (packet.to, packet.from, answer)
            }
            _ => return None,
        };
        let said = Wire::Nfs { server: self.name(server.0), answer, times: 1 };
        Some((self.node(client.0), said))
    }
}

/// The newest [`FOLLOWED`] entries of a map. Small enough to be looked through.
#[derive(Debug)]
struct Recent<K, V>(VecDeque<(K, V)>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K: PartialEq, V> Recent<K, V> {
    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.iter_mut().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    fn put(&mut self, key: K, value: V) {
        self.take(&key);
        self.0.push_back((key, value));
        if self.0.len() > FOLLOWED {
            self.0.pop_front();
        }
    }

    fn take(&mut self, key: &K) -> Option<V> {
        let at = self.0.iter().rposition(|(known, _)| known == key)?;
        self.0.remove(at).map(|(_, value)| value)
    }
}

/// Bytes as in a packet dump: `06 01 03`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// The longest text in bytes that [`hex`] has written.
pub(crate) fn text_in(hex: &str) -> Option<String> {
    let bytes = hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).ok());
    dhcp::text(&bytes.collect::<Option<Vec<u8>>>()?)
}

#[cfg(test)]
mod tests;
