//! A segment with a router, a boot server and a clock, made with other people's codecs.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod disk;
pub mod segment;
pub mod tree;

use std::time::Duration;

use feeder_bootrom::{BoardModel, BoardProfile, Boot, BootEvent, Dead, NetBoot};
use segment::Segment;

pub const MAC: [u8; 6] = [0xb8, 0x27, 0xeb, 0x6c, 0x4c, 0x16];
pub const SERIAL: u32 = 0xb66c_4c16;

/// One way through the segment.
const HOP: Duration = Duration::from_micros(150);

pub struct Run {
    pub outcome: Result<Boot, Dead>,
    pub events: Vec<BootEvent>,
    /// When it was over.
    pub at: Duration,
}

impl Run {
    pub fn booted(self) -> Boot {
        self.outcome.unwrap_or_else(|dead| panic!("did not boot: {dead}"))
    }

    pub fn dead(&self) -> &Dead {
        self.outcome.as_ref().expect_err("should not boot")
    }
}

/// Powers a board on and lets it run to its end, without waiting for anything.
pub fn power_on(profile: BoardProfile, segment: &mut Segment) -> Run {
    run(NetBoot::new(profile, MAC, SERIAL), segment)
}

/// Lets a board run to its end, without waiting for anything.
pub fn run(mut board: NetBoot, segment: &mut Segment) -> Run {
    let mut now = Duration::ZERO;
    let mut events = Vec::new();
    loop {
        let poll = board.poll(now);
        events.extend(board.events());
        let replies: Vec<_> =
            poll.frames.iter().flat_map(|frame| segment.receive(now, frame)).collect();
        if board.outcome().is_some() {
            let outcome = board.into_outcome().expect("it is over");
            return Run { outcome, events, at: now };
        }
        if replies.is_empty() {
            let next = poll.next.expect("a board that goes on has a deadline");
            now = if next > now { next } else { now + HOP };
        }
        for reply in replies {
            now += 2 * HOP;
            board.handle_frame(now, &reply);
        }
    }
}

pub fn plus() -> BoardProfile {
    BoardProfile::of(BoardModel::Pi3BPlus)
}
