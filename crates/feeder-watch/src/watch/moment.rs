//! Points in time by the master's clock.

use std::time::Duration;

/// Seconds since 1970 by the master's clock: what it logs and what it says of itself are on one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// How long ago `earlier` was; nothing when it is yet to come.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn back(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.as_secs()))
    }

    pub(crate) fn on(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.as_secs()))
    }
}
