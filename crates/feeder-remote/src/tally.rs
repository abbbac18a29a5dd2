//! How many scripts were sent to whom.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts round trips: the scripts that were sent to each host. A clone counts into the same numbers.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<String, usize>>>);

impl Tally {
    pub(crate) fn count(&self, host: &str) {
        *self.numbers().entry(host.to_owned()).or_default() += 1;
    }

    /// How many there were, by the host's name.
    #[must_use]
    pub fn by_host(&self) -> BTreeMap<String, usize> {
        self.numbers().clone()
    }

    fn numbers(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
