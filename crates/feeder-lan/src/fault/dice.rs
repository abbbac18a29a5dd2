//! Chance that can be repeated: what happens to a frame follows from a seed, the fault, the link and the frame alone.

use sha2::{Digest as _, Sha256};

use super::FaultId;

/// The dice for one frame at one fault on one link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice {
    key: [u64; 2],
}

/// From where to where. `None`: the switch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) from: Option<&'a str>,
    pub(super) to: Option<&'a str>,
}

impl Dice {
    pub(super) fn new(seed: u64, fault: FaultId, way: Way<'_>, frame: &[u8]) -> Dice {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        hash.update(fault.0.to_le_bytes());
        for end in [way.from, way.to] {
            // Names hold no such byte.
            hash.update(end.unwrap_or_default().as_bytes());
            hash.update([0]);
        }
        hash.update(frame);
        let digest: [u8; 32] = hash.finalize().into();
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| digest[at + n]));
        Dice { key: [word(0), word(8)] }
    }

    /// Tells this frame at this place from others.
    pub(super) fn frame(&self) -> u64 {
        self.key[0]
    }

    /// A number that is equally likely to be any. `time`: how often the very frame came before; `draw`: which of the questions
    /// about it.
    pub(super) fn roll(&self, time: u32, draw: u32) -> u64 {
        mix(self.key[1] ^ mix(self.key[0] ^ (u64::from(time) << 32 | u64::from(draw))))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
