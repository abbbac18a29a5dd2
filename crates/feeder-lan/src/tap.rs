//! Taps: copies of frames for those who want to understand what is going on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

/// Decides whether a tap wants a frame. It runs on the thread that forwards frames: keep it short.
pub type Filter = Box<dyn Fn(&[u8]) -> bool + Send>;

/// A copy of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TappedFrame {
    /// The node that sent it.
    pub node: Arc<str>,
    /// When it reached the switch, by the host's clock.
    pub at: SystemTime,
    /// When it reached the switch, since the LAN started.
    pub elapsed: Duration,
    /// The frame, from its destination address on, without checksum.
    pub bytes: Vec<u8>,
}

/// A subscription to copies of frames. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Tap {
    frames: Receiver<TappedFrame>,
    dropped: Arc<AtomicU64>,
}

impl Tap {
    /// The next frame, if one is there.
    pub fn try_recv(&self) -> Option<TappedFrame> {
        self.frames.try_recv().ok()
    }

    /// The next frame, waiting for it until `deadline`. `None`: none came, or the LAN was shut down.
    pub fn recv(&self, deadline: Instant) -> Option<TappedFrame> {
        self.frames.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }

    /// How many frames this tap missed because it was not read fast enough.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The switch's end of a tap.
pub(crate) struct Sink {
    filter: Filter,
    frames: SyncSender<TappedFrame>,
    dropped: Arc<AtomicU64>,
}

/// A tap holding at most `capacity` unread frames, and the end which fills it.
pub(crate) fn pair(filter: Filter, capacity: usize) -> (Tap, Sink) {
    let (sender, frames) = sync_channel(capacity);
    let dropped = Arc::new(AtomicU64::new(0));
    (Tap { frames, dropped: Arc::clone(&dropped) }, Sink { filter, frames: sender, dropped })
}

impl Sink {
    /// Offers a frame. False: nobody listens any more.
    pub(crate) fn offer(&self, bytes: &[u8], copy: impl FnOnce() -> TappedFrame) -> bool {
        if !(self.filter)(bytes) {
            return true;
        }
        match self.frames.try_send(copy()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}
