//! The router's network card, as smoltcp sees it: two queues.

use std::collections::VecDeque;

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::frame::HEADER;

/// Payload of a frame.
const MTU: usize = 1500;

/// Frames to and from the router.
#[derive(Debug, Default)]
pub(crate) struct Device {
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

impl Device {
    /// Takes a frame from the LAN.
    pub(crate) fn receive(&mut self, frame: &[u8]) {
        self.received.push_back(frame.to_vec());
    }

    /// Puts a frame on the LAN.
    pub(crate) fn send(&mut self, frame: Vec<u8>) {
        self.sent.push_back(frame);
    }

    /// The next frame for the LAN.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        self.sent.pop_front()
    }
}

impl phy::Device for Device {
    type RxToken<'a> = Received;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Received, Transmit<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Transmit(&mut self.sent)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        Some(Transmit(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = HEADER + MTU;
        capabilities
    }
}

pub(crate) struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

pub(crate) struct Transmit<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.push_back(frame);
        result
    }
}
