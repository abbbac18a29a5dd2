//! Packets for unit tests.

use super::frame::Mac;

/// A bare OFFER for a board, with a chance to change its bytes.
pub(crate) fn offer(mac: Mac, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = vec![2, 1, 6, 0, 0x26, 0xf3, 0x03, 0x39];
    packet.resize(28, 0);
    packet.extend(mac);
    packet.resize(236, 0);
    packet.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 2, 255]);
    change(&mut packet);
    packet
}
