//! What a client is, as far as its DHCP messages tell.
//!
//! Boot firmware says more about itself than its hardware address does: option 97 holds the serial number, and in the Pi 4 and
//! later the board's revision. Blocks of addresses go out of date; what a board says does not.

use std::fmt;

use feeder_cluster::{Board, MacAddr, Serial};
use feeder_wire::dhcp::Message;

/// The transaction of every DISCOVER of a 3B and 3B+ (raspberrypi/firmware#862, #941).
const LEGACY_XID: u32 = 0x26f3_0339;
/// What the 3B's ROM says in place of its serial number (boot-net.adoc).
const NO_SERIAL: [u8; 16] = [0x44; 16];
/// How a client that wants to boot begins option 60.
const PXE: &str = "PXEClient";

/// A model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// A 3B's boot ROM asks.
    Pi3B,
    /// A 3B+ asks, or the `bootcode.bin` on the SD card of a 3B, which asks in the same words.
    Pi3BPlus,
    /// The firmware gives the revision of this later board.
    Later(&'static str),
    /// It boots like a Pi 4 or later that does not give its revision.
    SomeLater,
    /// Its address is a Raspberry Pi's; it runs a system, whose words do not tell the model.
    SomePi,
    /// It wants to boot, and nothing says that it is a Raspberry Pi.
    Unknown,
}

impl Model {
    /// What `cluster.toml` calls it. None: it cannot be a worker, or its model is not known.
    #[must_use]
    pub const fn board(self) -> Option<Board> {
        match self {
            Self::Pi3B => Some(Board::Pi3B),
            Self::Pi3BPlus => Some(Board::Pi3BPlus),
            Self::Later(_) | Self::SomeLater | Self::SomePi | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pi3B => "3B",
            Self::Pi3BPlus => "3B+",
            Self::Later(name) => name,
            Self::SomeLater => "4 or later",
            Self::SomePi => "Raspberry Pi",
            Self::Unknown => "unknown",
        })
    }
}

/// What one message of a client tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guess {
    pub(crate) model: Model,
    pub(crate) serial: Option<Serial>,
    /// It asks for a boot server, not only for an address.
    pub(crate) boots: bool,
}

/// None: some other machine that asks for an address.
pub(crate) fn guess(mac: MacAddr, message: &Message) -> Option<Guess> {
    let boots = message.vendor_class.as_deref().is_some_and(|class| class.starts_with(PXE));
    let identity = match message.machine_id.as_deref() {
        Some([0, rest @ ..]) => rest.try_into().map_or(Identity::None, identity),
        _ => Identity::None,
    };
    let legacy = message.xid == LEGACY_XID;
    let (model, serial) = match identity {
        Identity::Constant => (Model::Pi3B, None),
        Identity::Board(model, serial) => (model, serial),
        Identity::Serial(serial) if legacy => (Model::Pi3BPlus, Some(serial)),
        Identity::Serial(serial) if mac.is_raspberry_pi() => (Model::SomeLater, Some(serial)),
        _ if mac.is_raspberry_pi() => (Model::SomePi, None),
        _ if boots => (Model::Unknown, None),
        _ => return None,
    };
    Some(Guess { model, serial, boots })
}

/// What option 97 holds behind its type.
enum Identity {
    None,
    /// The 3B's ROM.
    Constant,
    /// The serial number four times.
    Serial(Serial),
    /// A Pi 4 or later: `RPi4`, revision, end of the hardware address, serial number (eeprom-bootloader.adoc).
    Board(Model, Option<Serial>),
}

fn identity(value: &[u8; 16]) -> Identity {
    if *value == NO_SERIAL {
        return Identity::Constant;
    }
    // Numbers stand there low byte first.
    let words: Vec<u32> = value
        .chunks_exact(4)
        .map(|word| word.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
        .collect();
    if let [b'R', b'P', b'i', b'4' | b'5', ..] = value {
        let model = later(words[1]).map_or(Model::SomeLater, Model::Later);
        return Identity::Board(model, Serial::new(words[3]).ok());
    }
    match Serial::new(words[0]) {
        Ok(serial) if words.iter().all(|word| *word == serial.get()) => Identity::Serial(serial),
        _ => Identity::None,
    }
}

/// The model in a revision code of the new style (revision-codes.adoc).
fn later(revision: u32) -> Option<&'static str> {
    if revision & 1 << 23 == 0 {
        return None;
    }
    Some(match revision >> 4 & 0xff {
        0x11 => "4B",
        0x13 => "400",
        0x14 => "CM4",
        0x15 => "CM4S",
        0x17 => "5",
        0x18 => "CM5",
        0x19 => "500",
        0x1a => "CM5 Lite",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use feeder_wire::dhcp::Dhcp;

    use super::*;

    fn message(xid: u32, class: Option<&str>, machine_id: &[u8]) -> Message {
        Message {
            kind: Dhcp::Discover,
            xid,
            client: [0; 6],
            server: None,
            yiaddr: None,
            option43: None,
            parameters: None,
            vendor_class: class.map(str::to_owned),
            machine_id: (!machine_id.is_empty()).then(|| machine_id.to_owned()),
        }
    }

    fn guessed(mac: &str, message: &Message) -> Option<(String, Option<String>, bool)> {
        let guess = guess(mac.parse().unwrap(), message)?;
        Some((guess.model.to_string(), guess.serial.map(|it| it.to_string()), guess.boots))
    }

    const CLASS: Option<&str> = Some("PXEClient:Arch:00000:UNDI:002001");

    #[test]
    fn boards_say_what_they_are() {
        let told = |model: &str, serial: &str, boots| {
            Some((model.to_owned(), Some(serial.to_owned()).filter(|it| !it.is_empty()), boots))
        };
        // Hexxeh/rpi-firmware#269: the board with serial b66c4c16.
        let plus = [&[0][..], &[0x16, 0x4c, 0x6c, 0xb6].repeat(4)].concat();
        let legacy = message(LEGACY_XID, CLASS, &plus);
        assert_eq!(guessed("b8:27:eb:6c:4c:16", &legacy), told("3B+", "b66c4c16", true));
        // An address from a block that is not known is no reason to doubt it.
        assert_eq!(guessed("02:27:eb:6c:4c:16", &legacy), told("3B+", "b66c4c16", true));
        let rom = message(LEGACY_XID, CLASS, &[&[0][..], &NO_SERIAL].concat());
        assert_eq!(guessed("b8:27:eb:6c:4c:16", &rom), told("3B", "", true));
        // From a public log of dnsmasq, in which this board then asked for 5b154510/start4.elf. The log ends behind the
        // first byte of the serial number.
        let four = [0, 0x52, 0x50, 0x69, 0x34, 0x11, 0x31, 0xa0, 0, 0x32, 0x2e, 0xf8, 0xed];
        let four = [&four[..], &[0x10, 0x45, 0x15, 0x5b]].concat();
        let four = message(0x6b0b_d86f, CLASS, &four);
        assert_eq!(guessed("dc:a6:32:2e:f8:ed", &four), told("4B", "5b154510", true));
        let old = message(1, CLASS, &plus);
        assert_eq!(guessed("dc:a6:32:2e:f8:ed", &old), told("4 or later", "b66c4c16", true));
    }

    #[test]
    fn others_are_told_apart() {
        let system = message(7, Some("dhcpcd-9.4.1:Linux-6.1.21-v8+:aarch64:BCM2835"), &[]);
        let told = |model: &str, boots| Some((model.to_owned(), None, boots));
        assert_eq!(guessed("b8:27:eb:6c:4c:16", &system), told("Raspberry Pi", false));
        assert_eq!(guessed("52:54:00:12:34:56", &system), None, "some laptop");
        let pc: Vec<u8> = (0..17).collect();
        let pc = message(7, Some("PXEClient:Arch:00007:UNDI:003016"), &pc);
        assert_eq!(guessed("52:54:00:12:34:56", &pc), told("unknown", true));
    }
}
