//! The decoder on a LAN.

use std::time::{Duration, Instant};

use feeder_lan::{Lan, LanError};

use super::{Decoder, matters};
use crate::{Event, Story};

/// Frames that may wait to be looked at.
const WAITING: usize = 4096;
/// How long to listen before looking whether the LAN still runs.
const TICK: Duration = Duration::from_millis(500);

/// Tells what is said on a LAN until it is shut down.
///
/// # Errors
/// The LAN was shut down already.
pub(crate) fn listen(lan: &Lan, story: &Story, mut decoder: Decoder) -> Result<(), LanError> {
    let tap = lan.tap(WAITING, matters)?;
    let story = story.clone();
    let listener = move || {
        loop {
            let due = Instant::now() + TICK;
            match tap.recv(due) {
                Some(frame) => {
                    if let Some((node, said)) =
                        decoder.frame(frame.elapsed, &frame.node, &frame.bytes)
                    {
                        story.emit(node.as_deref(), Event::Wire(said));
                    }
                }
                // Nothing came in time, or nothing will ever come.
                None if Instant::now() >= due => {}
                None => break,
            }
        }
        if tap.dropped() > 0 {
            let missed = feeder_ui::plural(tap.dropped() as usize, "frame");
            story.note(format!("the event log lacks {missed} of the LAN that came too fast"));
        }
    };
    std::thread::Builder::new()
        .name("wire".into())
        .spawn(listener)
        .map(drop)
        .map_err(|source| LanError::Socket { what: "start the wire's thread".into(), source })
}
