//! The boot firmware's twin on the virtual LAN: it is given frames and time, and what it decides is told.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use feeder_bootrom::{BootEvent, Dead, NetBoot, OfferSeen};
use feeder_lan::Port;
use serde::{Deserialize, Serialize};

use crate::{Firmware, Story, wire::hex};

/// The firmware's clock goes this much slower than ours. It waits for a server that is emulated and runs at a fraction of a
/// board's speed, and must not call it dead for that.
const SLOWDOWN: u32 = 2;
/// How long to listen without looking whether somebody wants to stop.
const TICK: Duration = Duration::from_millis(100);

/// How long not to look while frames come: what the guests have done is read from a dozen small files, and a kernel is tens of
/// thousands of frames.
const LOOK: Duration = Duration::from_millis(20);

/// A file that is fetched gets on by so many bytes.
const STRIDE: usize = 1 << 20;

/// What a network boot fetched and heard, kept for expectations.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BootRecord {
    /// Every OFFER that was heard.
    pub offers: Vec<OfferSeen>,
    /// Files that came whole: name, size in bytes, SHA-256 as hexadecimal.
    pub files: Vec<(String, u64, String)>,
}

/// Runs a network boot to its end; `None` when `go_on` says no, which is told whether a file got on since it was last asked.
pub(crate) fn netboot(
    story: &Story,
    node: &str,
    port: &Port,
    mut twin: NetBoot,
    record: &mut BootRecord,
    go_on: &mut dyn FnMut(bool) -> bool,
) -> Option<Result<feeder_bootrom::Boot, Dead>> {
    let began = Instant::now();
    let now = || began.elapsed() / SLOWDOWN;
    let mut looked: Option<Instant> = None;
    let mut strides = 0;
    loop {
        let polled = twin.poll(now());
        for frame in &polled.frames {
            port.send(frame);
        }
        for event in twin.events() {
            if let BootEvent::Offer(offer) = &event {
                record.offers.push(offer.clone());
            }
            if let Some(told) = told(event) {
                story.firmware(node, told);
            }
        }
        if twin.outcome().is_some() {
            return twin.into_outcome();
        }
        if looked.is_none_or(|at| at.elapsed() >= LOOK) {
            looked = Some(Instant::now());
            let before = std::mem::replace(&mut strides, twin.fetching().unwrap_or(0) / STRIDE);
            if !go_on(strides > before) {
                return None;
            }
        }
        let due = polled.next.map_or(TICK, |next| next.saturating_sub(now()) * SLOWDOWN);
        if let Some(frame) = port.recv(Instant::now() + due.min(TICK)) {
            twin.handle_frame(now(), &frame);
        }
        while let Some(frame) = port.try_recv() {
            twin.handle_frame(now(), &frame);
        }
    }
}

/// What of an event is worth writing down. Probes are not: they come before every file.
fn told(event: BootEvent) -> Option<Firmware> {
    Some(match event {
        BootEvent::Discover { attempt, .. } => Firmware::Discover { attempt },
        BootEvent::Offer(offer) => Firmware::Offer {
            from: offer.from,
            yiaddr: offer.yiaddr.unwrap_or(Ipv4Addr::UNSPECIFIED),
            option43: offer.option43.map(|bytes| hex(&bytes)),
            accepted: offer.accepted || offer.address_taken,
            why: offer.why,
        },
        BootEvent::Requested { file, probe: false } => Firmware::Requested { file },
        BootEvent::Fetched { file, bytes, retransmits, .. } => {
            Firmware::Fetched { file, bytes, retransmits: u64::from(retransmits) }
        }
        BootEvent::Missing { file, .. } => Firmware::Missing { file },
        BootEvent::GaveUp { why } => Firmware::GaveUp { why },
        _ => return None,
    })
}
