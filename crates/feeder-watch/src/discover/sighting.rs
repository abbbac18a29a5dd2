//! Who was seen asking, and who answered: frames in, devices out. No I/O, no clock.

use std::net::Ipv4Addr;

use feeder_cluster::{Cluster, MacAddr, Serial};
use feeder_wire::{
    dhcp::{self, CLIENT_PORT, Dhcp, Message, SERVER_PORT},
    frame::{self, Body, Packet},
};
use serde::{Serialize, Serializer};

use super::model::{self, Guess, Model};

/// What boot firmware looks for in option 43.
const BOOT_TEXT: &str = "Raspberry Pi Boot";

/// A board, or another machine that wants to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Device {
    /// Its hardware address.
    #[serde(serialize_with = "displayed")]
    pub mac: MacAddr,
    /// What it is, as far as its messages tell.
    #[serde(serialize_with = "displayed")]
    pub model: Model,
    /// Its serial number, when it sent it.
    #[serde(serialize_with = "displayed_if_any")]
    pub serial: Option<Serial>,
    /// Its address is in a block that is known to be Raspberry Pi's.
    pub known_block: bool,
    /// It asked for a boot server, not only for an address.
    pub boots: bool,
    /// How often it asked.
    pub asked: u32,
    /// Who answered, each once, in the order in which they were first heard.
    pub answers: Vec<Answer>,
    /// Its place in `cluster.toml`.
    pub place: Place,
    /// What is odd about it, each a sentence.
    pub remarks: Vec<String>,
}

/// An answer that was seen. The router's may go to the board alone, where a switch keeps the master from seeing them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// Who answered.
    pub server: Ipv4Addr,
    /// The address that it offers; a proxy offers none.
    pub offers: Option<Ipv4Addr>,
    /// It says what boot firmware looks for, so the board takes it for its boot server.
    pub boots: bool,
}

/// What a device is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// This worker.
    Worker(String),
    /// The master itself.
    Master,
    /// It was not in `cluster.toml`, and was added as this worker.
    Added(String),
    /// It is not in `cluster.toml`.
    None,
}

/// What a frame has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// A device was seen for the first time.
    Appeared(MacAddr),
    /// More is known of one.
    Learned(MacAddr),
    /// One was answered by somebody who had not answered it before.
    Answered(MacAddr),
}

/// Everybody who was seen.
#[derive(Debug)]
pub(crate) struct Sightings<'c> {
    cluster: &'c Cluster,
    /// The master's own hardware address.
    pub(crate) own: Option<MacAddr>,
    devices: Vec<Device>,
    /// Clients that are no Raspberry Pi and do not want to boot.
    others: Vec<MacAddr>,
}

impl<'c> Sightings<'c> {
    pub(crate) fn of(cluster: &'c Cluster) -> Self {
        Self { cluster, own: None, devices: Vec::new(), others: Vec::new() }
    }

    /// In the order in which they appeared.
    pub(crate) fn devices(&self) -> &[Device] {
        &self.devices
    }

    pub(crate) fn others(&self) -> usize {
        self.others.len()
    }

    pub(crate) fn device(&self, mac: MacAddr) -> Option<&Device> {
        self.devices.iter().find(|device| device.mac == mac)
    }

    /// It is a worker of `cluster.toml` from now on.
    pub(crate) fn added(&mut self, mac: MacAddr, name: &str) {
        if let Some(device) = self.devices.iter_mut().find(|device| device.mac == mac) {
            device.place = Place::Added(name.to_owned());
        }
    }

    /// What a frame tells that was not known.
    pub(crate) fn frame(&mut self, frame: &[u8]) -> Option<Change> {
        let Packet { from, to, body: Body::Udp(payload), .. } = frame::parse(frame)? else {
            return None;
        };
        if ![SERVER_PORT, CLIENT_PORT].contains(&to.1) {
            return None;
        }
        let message = dhcp::parse(payload)?;
        let mac = MacAddr::new(message.client).ok()?;
        if message.is_reply() {
            // A proxy that says nothing of itself in option 54 is known by where its message came from.
            self.answered(mac, &message, message.server.unwrap_or(from.0))
        } else if matches!(message.kind, Dhcp::Discover | Dhcp::Request | Dhcp::Inform) {
            self.asks(mac, &message)
        } else {
            None
        }
    }

    fn asks(&mut self, mac: MacAddr, message: &Message) -> Option<Change> {
        let Some(guess) = model::guess(mac, message) else {
            if !self.others.contains(&mac) {
                self.others.push(mac);
            }
            return None;
        };
        let place = self.place(mac);
        if let Some(at) = self.devices.iter().position(|device| device.mac == mac) {
            let device = &mut self.devices[at];
            device.asked += 1;
            let learned = device.learns(guess);
            if learned {
                let remarks = self.remarks(&self.devices[at]);
                self.devices[at].remarks = remarks;
            }
            return learned.then_some(Change::Learned(mac));
        }
        let Guess { model, serial, boots } = guess;
        let (known_block, answers, remarks) = (mac.is_raspberry_pi(), Vec::new(), Vec::new());
        let mut device =
            Device { mac, model, serial, known_block, boots, asked: 1, answers, place, remarks };
        device.remarks = self.remarks(&device);
        self.devices.push(device);
        Some(Change::Appeared(mac))
    }

    fn answered(&mut self, mac: MacAddr, message: &Message, server: Ipv4Addr) -> Option<Change> {
        let device = self.devices.iter_mut().find(|device| device.mac == mac)?;
        let text = message.option43.as_deref().is_some_and(|bytes| {
            bytes.windows(BOOT_TEXT.len()).any(|window| window == BOOT_TEXT.as_bytes())
        });
        let answer = Answer { server, offers: message.yiaddr, boots: text };
        if device.answers.contains(&answer) {
            return None;
        }
        device.answers.push(answer);
        Some(Change::Answered(mac))
    }

    fn place(&self, mac: MacAddr) -> Place {
        let worker = self.cluster.workers.iter().find(|worker| worker.mac == mac);
        match worker {
            Some(worker) => Place::Worker(worker.name.to_string()),
            None if self.own == Some(mac) => Place::Master,
            None => Place::None,
        }
    }

    /// What does not fit `cluster.toml`, or itself.
    fn remarks(&self, device: &Device) -> Vec<String> {
        let mut remarks = Vec::new();
        let Some(serial) = device.serial else { return remarks };
        if let Some(board) = device.model.board()
            && board.serial_ends_like_mac()
            && serial.low24() != device.mac.low24()
        {
            remarks.push(format!(
                "serial number {serial} and MAC address do not end alike, as those of a {board} do"
            ));
        }
        for worker in &self.cluster.workers {
            match worker.serial {
                Some(written) if worker.mac == device.mac && written != serial => {
                    remarks.push(format!(
                        "cluster.toml gives {} the serial number {written}, the board says {serial}: it asks for files that are not there",
                        worker.name
                    ));
                }
                Some(written) if worker.mac != device.mac && written == serial => {
                    remarks.push(format!(
                        "cluster.toml gives this serial number to {}, with the MAC address {}",
                        worker.name, worker.mac
                    ));
                }
                _ => {}
            }
        }
        remarks
    }
}

impl Device {
    /// Whether a message tells more than what was known.
    fn learns(&mut self, guess: Guess) -> bool {
        // What firmware says of itself is more than what a system says; and a 3B stays one when its second stage asks in the
        // words of a 3B+.
        let vague = matches!(self.model, Model::SomePi | Model::Unknown);
        let better = vague && !matches!(guess.model, Model::SomePi | Model::Unknown);
        if better {
            self.model = guess.model;
        }
        let serial = self.serial.is_none() && guess.serial.is_some();
        if serial {
            self.serial = guess.serial;
        }
        let boots = guess.boots && !self.boots;
        self.boots |= boots;
        better || serial || boots
    }
}

fn displayed<S: Serializer>(
    value: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(clippy::ref_option, reason = "serde passes references")]
fn displayed_if_any<S: Serializer>(
    value: &Option<impl std::fmt::Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
