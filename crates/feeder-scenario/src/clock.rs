//! The two clocks of a run: the wall's and the guests'.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// The wall clock of a run, and the bell that ends a pause early.
pub trait Clock: Send + Sync {
    /// Wall-clock time since the run began. Never goes back; stands still while the host is suspended.
    fn now(&self) -> Duration;

    /// How often [`Clock::ring`] was called.
    fn rung(&self) -> u64;

    /// Returns once the bell has been rung more often than `since` says, or after `at_most`, whichever is first.
    /// Taking `since` from [`Clock::rung`] before looking at the world means that no ring is missed.
    fn pause(&self, since: u64, at_most: Duration);

    /// Something happened: whoever pauses should look again.
    fn ring(&self);

    /// CPU time of this process since the run began, all threads together and without other programs. Zero: it is not measured.
    fn own_work(&self) -> Duration {
        Duration::ZERO
    }
}

/// What both clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reading {
    /// Wall-clock time, in seconds in JSON.
    #[serde(rename = "wall_s", with = "seconds")]
    pub wall: Duration,
    /// vCPU time used by guests, in seconds in JSON.
    #[serde(rename = "guest_s", with = "seconds")]
    pub guest: Duration,
}

impl Reading {
    /// What has passed on both clocks since an earlier reading.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            wall: self.wall.saturating_sub(earlier.wall),
            guest: self.guest.saturating_sub(earlier.guest),
        }
    }
}

impl std::ops::Add for Reading {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, guest: self.guest + other.guest }
    }
}

/// The clock of a real run. It starts when it is made.
#[derive(Debug)]
pub struct RunClock {
    start: Instant,
    cpu: Duration,
    rung: Mutex<u64>,
    bell: Condvar,
}

impl RunClock {
    /// A clock that shows zero now.
    #[expect(clippy::new_without_default, reason = "making a clock starts it")]
    pub fn new() -> Self {
        Self { start: Instant::now(), cpu: own_cpu(), rung: Mutex::new(0), bell: Condvar::new() }
    }
}

/// CPU time of this process since it began.
fn own_cpu() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    // Neither is ever negative.
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or_default())
}

impl Clock for RunClock {
    fn own_work(&self) -> Duration {
        own_cpu().saturating_sub(self.cpu)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn rung(&self) -> u64 {
        *locked(&self.rung)
    }

    fn pause(&self, since: u64, at_most: Duration) {
        let guard = locked(&self.rung);
        let _woken = self
            .bell
            .wait_timeout_while(guard, at_most, |rung| *rung <= since)
            .unwrap_or_else(PoisonError::into_inner);
    }

    fn ring(&self) {
        *locked(&self.rung) += 1;
        self.bell.notify_all();
    }
}

/// Takes a lock whose data stays good when a holder panicked: everything here is whole between two statements.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Durations as seconds with milliseconds, which is what people and plotting tools read.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn rounded(duration: Duration) -> f64 {
        duration.as_millis() as f64 / 1000.0
    }

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(rounded(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // To the millisecond in both directions, so that what was written reads back equal.
        Duration::try_from_secs_f64(seconds)
            .map(|exact| Duration::from_millis((exact.as_secs_f64() * 1000.0).round() as u64))
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A clock that a test moves.

    use super::*;

    type Passing = Box<dyn FnMut(Duration) + Send>;

    /// Time passes only in [`Clock::pause`], which passes all of it at once and tells the world how much.
    #[derive(Default)]
    pub struct FakeClock {
        now: Mutex<Duration>,
        rung: Mutex<u64>,
        world: Mutex<Option<Passing>>,
    }

    impl FakeClock {
        /// What happens to the world while time passes: called with the time that passed, before [`Clock::pause`] returns.
        pub fn world(&self, passes: impl FnMut(Duration) + Send + 'static) {
            *locked(&self.world) = Some(Box::new(passes));
        }

        pub fn advance(&self, by: Duration) {
            *locked(&self.now) += by;
            if let Some(world) = &mut *locked(&self.world) {
                world(by);
            }
        }
    }

    impl Clock for FakeClock {
        fn now(&self) -> Duration {
            *locked(&self.now)
        }

        fn rung(&self) -> u64 {
            *locked(&self.rung)
        }

        fn pause(&self, since: u64, at_most: Duration) {
            if self.rung() <= since {
                self.advance(at_most);
            }
        }

        fn ring(&self) {
            *locked(&self.rung) += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_between_looking_and_pausing_is_not_missed() {
        let clock = RunClock::new();
        let seen = clock.rung();
        clock.ring();
        let before = Instant::now();
        clock.pause(seen, Duration::from_secs(600));
        assert!(before.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_ring_from_another_thread_ends_a_pause() {
        let clock = RunClock::new();
        let seen = clock.rung();
        std::thread::scope(|scope| {
            scope.spawn(|| clock.ring());
            clock.pause(seen, Duration::from_secs(600));
        });
        assert_eq!(clock.rung(), seen + 1);
    }

    #[test]
    fn a_pause_ends_by_itself() {
        let clock = RunClock::new();
        clock.pause(clock.rung(), Duration::from_millis(5));
        assert!(clock.now() >= Duration::from_millis(5));
    }

    #[test]
    fn seconds_read_back_what_was_written() {
        let reading =
            Reading { wall: Duration::from_millis(206_431), guest: Duration::from_millis(1) };
        let json = serde_json::to_string(&reading).unwrap();
        assert_eq!(json, r#"{"wall_s":206.431,"guest_s":0.001}"#);
        assert_eq!(serde_json::from_str::<Reading>(&json).unwrap(), reading);
    }
}
