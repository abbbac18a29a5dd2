//! A panic in a scenario is a bug that must not take the evidence with it.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

use crate::{Failure, Verdict};

thread_local! {
    /// Where this thread panicked last: the payload of a panic does not say.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a body; a panic in it becomes a failure of class harness with message and place. What the body has touched is not
/// used again but for cleaning up.
pub(crate) fn caught<T>(body: impl FnOnce() -> Verdict<T>) -> Verdict<T> {
    remember_places();
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        let mut failure = Failure::harness(format!("a bug in the scenario or under it: {message}"));
        failure.details.extend(PLACE.take().map(|place| format!("panicked at {place}")));
        Err(failure.with_hint("RUST_BACKTRACE=1 shows how it came there"))
    })
}

/// Adds to what happens on a panic; the message on stderr stays.
fn remember_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            PLACE.set(info.location().map(ToString::to_string));
            previous(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;

    #[test]
    fn a_panic_has_its_message_and_its_place() {
        let nodes = ["cluster00"];
        let failure = caught::<()>(|| panic!("{} has no worker", nodes[0])).unwrap_err();
        assert_eq!(failure.class, Class::Harness);
        assert_eq!(failure.message, "a bug in the scenario or under it: cluster00 has no worker");
        assert!(failure.details[0].contains("panics.rs:"), "{:?}", failure.details);
    }

    #[test]
    fn a_verdict_passes_through() {
        assert_eq!(caught(|| Ok(3)), Ok(3));
        let failure = Failure::product("no");
        assert_eq!(caught::<()>(|| Err(failure.clone())), Err(failure));
    }
}
