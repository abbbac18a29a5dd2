//! Booting over the network: DHCP, ARP and TFTP as the boards speak them, driven by frames and time.

mod dhcp;
mod event;
mod frame;
pub mod option43;
mod replay;
mod resolve;
mod round;
#[cfg(test)]
mod testing;
mod tftp;
mod transfer;

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::board::{BoardProfile, Ports};
use crate::boot::{Absence, Boot, Bytes, Ledger, Source, Stage};
use crate::firmware::{self, Stop};
use frame::{Arp, Mac, Received, Udp};
use replay::{Answers, Known, Need};
use resolve::Resolve;
use round::{Lease, Round, Step};
use transfer::{End, Outgoing, Purpose, Transfer};

pub use event::{BootEvent, Dead, OfferSeen};

/// A board without a disk, from power-on until its kernel would start or it falls silent.
///
/// Time is counted from power-on and given by the caller, who owns the clock: feed every received frame
/// to [`handle_frame`](Self::handle_frame), then call [`poll`](Self::poll) for the frames to send and
/// the instant at which to call again at the latest. Time may jump forward, so a caller who will not
/// wait 18 seconds for the first DISCOVER passes the returned instant as the next `now`.
///
/// The last acknowledgement comes out of the same `poll` after which there is an outcome, so frames are
/// sent before the outcome is looked at:
///
/// ```
/// use std::time::Duration;
/// use feeder_bootrom::{BoardModel, BoardProfile, NetBoot};
///
/// # fn send(_: &[u8]) {}
/// # fn receive(_: Duration) -> Option<Vec<u8>> { None }
/// let profile = BoardProfile::of(BoardModel::Pi3BPlus);
/// let mut board = NetBoot::new(profile, [0xb8, 0x27, 0xeb, 0x6c, 0x4c, 0x16], 0xb66c4c16);
/// let mut now = Duration::ZERO;
/// let outcome = loop {
///     let poll = board.poll(now);
///     poll.frames.iter().for_each(|frame| send(frame));
///     let Some(next) = poll.next else { break board.into_outcome() };
///     match receive(next) {
///         Some(frame) => board.handle_frame(now, &frame),
///         None => now = next,
///     }
/// };
/// assert!(outcome.unwrap().unwrap_err().to_string().contains("4 DISCOVERs and not one OFFER"));
/// ```
pub struct NetBoot {
    profile: BoardProfile,
    mac: Mac,
    stage: Stage,
    phase: Phase,
    answers: Answers,
    /// From the latest round of DHCP.
    lease: Option<Lease>,
    next_hop: Mac,
    /// Source port of the next request.
    port: u16,
    out: Vec<Vec<u8>>,
    events: Vec<BootEvent>,
    ledger: Ledger,
    warnings: Vec<String>,
    outcome: Option<Result<Boot, Dead>>,
}

/// What [`NetBoot::poll`] returns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Poll {
    /// Ethernet frames to send, without checksum, in order.
    pub frames: Vec<Vec<u8>>,
    /// When to poll again if no frame comes before; `None` once the boot is over.
    pub next: Option<Duration>,
}

enum Phase {
    /// Nothing has happened yet.
    Off,
    Dhcp(Round),
    Resolving(Resolve),
    Pausing {
        until: Duration,
    },
    Transferring {
        name: String,
        purpose: Purpose,
        transfer: Box<Transfer>,
    },
    Over,
}

impl NetBoot {
    /// A board with its power just switched on.
    ///
    /// `serial` is the low half of its serial number; on a 3B and 3B+ its low 24 bits equal those of
    /// the MAC address.
    #[must_use]
    pub fn new(profile: BoardProfile, mac: [u8; 6], serial: u32) -> Self {
        Self {
            profile: BoardProfile { serial, ..profile },
            mac,
            stage: Stage::Rom,
            phase: Phase::Off,
            answers: Answers::default(),
            lease: None,
            next_hop: [0; 6],
            port: 0,
            out: Vec::new(),
            events: Vec::new(),
            ledger: Ledger::default(),
            warnings: Vec::new(),
            outcome: None,
        }
    }

    /// A board whose ROM has found `bootcode.bin` on an SD card, and which now asks the network for the rest:
    /// [`Found::Network`](crate::Found::Network) with [`Stage::Bootcode`]. Time is counted from there.
    #[must_use]
    pub fn from_bootcode(profile: BoardProfile, mac: [u8; 6], serial: u32) -> Self {
        let mut board = Self::new(profile, mac, serial);
        // What the ROM did, as the story tells it: it began, read bootcode.bin, and found no signature.
        board.answers.add(Known::Entered);
        board.answers.add(Known::Read(Ok(Bytes::default())));
        board.answers.add(Known::Read(Err(Absence::NotOnDisk)));
        board
    }

    /// Takes a frame from the network. Frames for others, or of no interest, do nothing.
    pub fn handle_frame(&mut self, now: Duration, bytes: &[u8]) {
        if self.outcome.is_some() {
            return;
        }
        match frame::parse(bytes, self.mac) {
            Some(Received::Arp(arp)) => self.arp(&arp),
            Some(Received::Udp(udp)) if udp.destination_port == dhcp::CLIENT_PORT => {
                self.dhcp(now, &udp);
            }
            Some(Received::Udp(udp)) => self.tftp(now, &udp),
            None => {}
        }
        self.drive(now);
    }

    /// Does what is due and hands over the frames to send.
    pub fn poll(&mut self, now: Duration) -> Poll {
        self.drive(now);
        let next = match &self.phase {
            Phase::Off | Phase::Over => None,
            Phase::Dhcp(round) => Some(round.due()),
            Phase::Resolving(resolve) => Some(resolve.due()),
            Phase::Pausing { until } => Some(*until),
            Phase::Transferring { transfer, .. } => Some(transfer.deadline()),
        };
        Poll { frames: std::mem::take(&mut self.out), next }
    }

    /// What has happened since the last call.
    pub fn events(&mut self) -> Vec<BootEvent> {
        std::mem::take(&mut self.events)
    }

    /// How the boot ended; `None` while it goes on.
    #[must_use]
    pub fn outcome(&self) -> Option<&Result<Boot, Dead>> {
        self.outcome.as_ref()
    }

    /// How the boot ended, by value.
    #[must_use]
    pub fn into_outcome(self) -> Option<Result<Boot, Dead>> {
        self.outcome
    }

    /// How many bytes of the file that it is fetching have come; `None` while it fetches none.
    #[must_use]
    pub fn fetching(&self) -> Option<usize> {
        match &self.phase {
            Phase::Transferring { transfer, .. } => Some(transfer.received()),
            _ => None,
        }
    }

    /// The address in use, once there is one.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.lease.as_ref().map(|lease| lease.address)
    }

    fn arp(&mut self, arp: &Arp) {
        if let Phase::Resolving(resolve) = &self.phase
            && !arp.request
            && arp.sender == resolve.target()
        {
            self.next_hop = arp.sender_mac;
            self.events.push(BootEvent::Resolved { address: arp.sender, mac: arp.sender_mac });
            self.phase = Phase::Pausing { until: Duration::ZERO };
            return;
        }
        let fetching = matches!(self.phase, Phase::Transferring { .. });
        if let Some(lease) = &self.lease
            && arp.request
            && arp.target == lease.address
            && (self.profile.arp.answers || !fetching)
        {
            self.out.push(frame::arp_reply(self.mac, lease.address, arp));
        }
    }

    fn dhcp(&mut self, now: Duration, udp: &Udp<'_>) {
        if let Phase::Dhcp(round) = &mut self.phase
            && udp.source_port == dhcp::SERVER_PORT
            && let Some(offer) = dhcp::parse_offer(udp.payload, self.mac)
        {
            let seen = round.offer(now, udp.source, offer);
            self.events.push(BootEvent::Offer(seen));
        }
    }

    fn tftp(&mut self, now: Duration, udp: &Udp<'_>) {
        if let (Phase::Transferring { transfer, .. }, Some(lease)) = (&mut self.phase, &self.lease)
            && udp.source == lease.server
            && udp.destination == lease.address
            && udp.destination_port == transfer.local_port
        {
            let (outgoing, end) = transfer.receive(now, udp.source_port, udp.payload);
            self.transferred(now, outgoing, end);
        }
    }

    /// Moves on until only time or a frame can.
    fn drive(&mut self, now: Duration) {
        loop {
            match &mut self.phase {
                Phase::Off => self.tell(now),
                Phase::Dhcp(round) => match round.poll(now) {
                    Step::Discover(attempt) => self.discover(attempt),
                    Step::Leased(lease) => self.leased(now, lease),
                    Step::GaveUp => self.no_server(),
                    Step::Wait => return,
                },
                Phase::Resolving(resolve) => {
                    if now < resolve.due() {
                        return;
                    }
                    match resolve.poll(now) {
                        Some(frame) => self.out.push(frame),
                        None => self.no_arp(),
                    }
                }
                Phase::Pausing { until } => {
                    if now < *until {
                        return;
                    }
                    self.answers.add(Known::Entered);
                    self.tell(now);
                }
                Phase::Transferring { transfer, .. } => {
                    if now < transfer.deadline() {
                        return;
                    }
                    let (outgoing, end) = transfer.poll(now);
                    self.transferred(now, outgoing, end);
                }
                Phase::Over => return,
            }
        }
    }

    /// Tells the firmware's story as far as it is known, and begins with what it needs next.
    fn tell(&mut self, now: Duration) {
        let mut replay = self.answers.replay();
        let told = firmware::boot(&self.profile, &mut replay);
        let need = replay.need.take();
        match (told, need) {
            (Ok(mut boot), _) => {
                boot.files = self.ledger.take();
                boot.warnings.append(&mut self.warnings);
                self.events.push(BootEvent::Booted { kernel: boot.kernel.name.clone() });
                self.phase = Phase::Over;
                self.outcome = Some(Ok(boot));
            }
            (Err(Stop::Failed(reason)), _) => {
                let lease = self.lease.as_ref();
                let server = lease.map_or(Ipv4Addr::UNSPECIFIED, |lease| lease.server);
                let doubt = lease.and_then(|lease| lease.doubt.clone());
                self.die(Dead::Firmware { server, reason, doubt });
            }
            (Err(_), Some(Need::Enter(stage))) => self.enter(now, stage),
            (Err(_), Some(Need::Probe(name))) => self.request(now, name, Purpose::Probe),
            (Err(_), Some(Need::Read(name))) => self.request(now, name, Purpose::Fetch),
            (Err(_), None) => unreachable!("a telling stops only for want of an answer"),
        }
    }

    fn enter(&mut self, now: Duration, stage: Stage) {
        self.stage = stage;
        self.events.push(BootEvent::Stage { stage });
        let ports = match stage {
            Stage::Rom => self.profile.tftp.rom_ports,
            Stage::Bootcode | Stage::Start => self.profile.tftp.later_ports,
        };
        let (Ports::Fixed(first) | Ports::From(first)) = ports;
        self.port = first;
        self.phase = match stage {
            Stage::Rom => Phase::Dhcp(Round::new(Duration::ZERO, stage, &self.profile.rom_dhcp)),
            Stage::Bootcode => {
                // The new stage knows nothing of the ROM's address.
                self.lease = None;
                Phase::Dhcp(Round::new(now, stage, &self.profile.bootcode_dhcp))
            }
            Stage::Start => Phase::Pausing { until: now + self.profile.start_delay },
        };
    }

    fn discover(&mut self, attempt: u32) {
        let Phase::Dhcp(round) = &self.phase else { return };
        let packet = dhcp::discover(round.profile(), self.mac, self.profile.serial);
        self.events.push(BootEvent::Discover { stage: round.stage(), attempt });
        self.out.push(frame::udp(
            (self.mac, Ipv4Addr::UNSPECIFIED, dhcp::CLIENT_PORT),
            (frame::BROADCAST, Ipv4Addr::BROADCAST, dhcp::SERVER_PORT),
            &packet,
        ));
    }

    fn leased(&mut self, now: Duration, lease: Lease) {
        self.events.push(BootEvent::Leased {
            stage: self.stage,
            address: lease.address,
            server: lease.server,
        });
        self.phase = Phase::Resolving(Resolve::new(now, &self.profile.arp, self.mac, &lease));
        self.lease = Some(lease);
    }

    fn request(&mut self, now: Duration, name: String, purpose: Purpose) {
        // The ROM knows no options.
        let purpose = if self.stage == Stage::Rom { Purpose::Plain } else { purpose };
        let ports = match self.stage {
            Stage::Rom => self.profile.tftp.rom_ports,
            Stage::Bootcode | Stage::Start => self.profile.tftp.later_ports,
        };
        let local_port = self.port;
        if matches!(ports, Ports::From(_)) {
            self.port = self.port.checked_add(1).unwrap_or(49152);
        }
        let (transfer, outgoing) =
            Transfer::begin(now, &name, purpose, local_port, &self.profile.tftp);
        self.events
            .push(BootEvent::Requested { file: name.clone(), probe: purpose == Purpose::Probe });
        self.phase = Phase::Transferring { name, purpose, transfer: Box::new(transfer) };
        self.send_to_server(local_port, Some(outgoing));
    }

    fn send_to_server(&mut self, local_port: u16, outgoing: Option<Outgoing>) {
        if let (Some(Outgoing { to_port, payload }), Some(lease)) = (outgoing, &self.lease) {
            self.out.push(frame::udp(
                (self.mac, lease.address, local_port),
                (self.next_hop, lease.server, to_port),
                &payload,
            ));
        }
    }

    fn transferred(&mut self, now: Duration, outgoing: Option<Outgoing>, end: Option<End>) {
        let Phase::Transferring { name, purpose, transfer } = &self.phase else { return };
        let (name, purpose, local_port) = (name.clone(), *purpose, transfer.local_port);
        self.send_to_server(local_port, outgoing);
        let Some(end) = end else { return };
        let answer = self.account(name, end);
        self.answers.add(match purpose {
            Purpose::Probe => Known::Probed(answer.map(drop)),
            Purpose::Plain | Purpose::Fetch => Known::Read(answer),
        });
        self.tell(now);
    }

    /// Writes down how a transfer ended.
    fn account(&mut self, file: String, end: End) -> Result<Bytes, Absence> {
        match end {
            End::Exists => {
                self.events.push(BootEvent::Present { file });
                Ok(Bytes::default())
            }
            End::Absent(why) => {
                self.events.push(BootEvent::Missing { file, why: why.clone() });
                Err(why)
            }
            End::Complete { bytes, blocks, retransmits, announced } => {
                let size = bytes.len() as u64;
                if let Some(announced) = announced.filter(|&announced| announced != size) {
                    self.warnings.push(format!(
                        "{file}: the server announced {announced} bytes and sent {size}"
                    ));
                }
                if blocks > u64::from(u16::MAX) {
                    self.warnings.push(format!(
                        "{file}: {blocks} blocks, so block numbers wrapped around; whether a board's firmware survives this is not known"
                    ));
                }
                let server =
                    self.lease.as_ref().map_or(Ipv4Addr::UNSPECIFIED, |lease| lease.server);
                self.ledger.record(&file, &bytes, Source::Tftp { server });
                self.events.push(BootEvent::Fetched { file, bytes: size, blocks, retransmits });
                Ok(Bytes::new(bytes))
            }
        }
    }

    fn no_server(&mut self) {
        let Phase::Dhcp(round) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let (stage, wanted) = (round.stage(), round.profile().boot_text);
        let (discovers, offers) = round.into_record();
        self.die(Dead::NoBootServer { stage, discovers, offers, wanted });
    }

    fn no_arp(&mut self) {
        let (Phase::Resolving(resolve), Some(lease)) = (&self.phase, &self.lease) else { return };
        let arp = &self.profile.arp;
        let dead = Dead::NoArp {
            stage: self.stage,
            address: lease.address,
            server: lease.server,
            next_hop: resolve.target(),
            tries: arp.tries,
            within: arp.interval * arp.tries,
            doubt: lease.doubt.clone(),
        };
        self.die(dead);
    }

    fn die(&mut self, dead: Dead) {
        self.events.push(BootEvent::GaveUp { why: dead.to_string() });
        self.phase = Phase::Over;
        self.outcome = Some(Err(dead));
    }
}
