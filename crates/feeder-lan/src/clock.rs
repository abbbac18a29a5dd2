//! Time on the LAN: a duration since it started. Everything below the poll loop is told the time and never asks for it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// The LAN's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    epoch: Duration,
}

impl Clock {
    /// Starts at zero now.
    pub fn start() -> Clock {
        // A host clock before 1970 gives odd capture times and no other harm.
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), epoch }
    }

    /// Time since the start; never goes back.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Wall clock at the start, since the Unix epoch.
    pub fn epoch(&self) -> Duration {
        self.epoch
    }
}

/// CPU time that the calling thread has used.
pub fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
