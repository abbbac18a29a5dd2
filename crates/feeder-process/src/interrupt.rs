//! Ctrl-C and SIGTERM as a flag that waits look at.
//!
//! The first signal asks: [`requested`] turns true, every wait in this crate ends, and the program takes down what it
//! started, in its own order. The second one insists: all process groups are killed and the program exits with 130.

use std::{
    sync::{
        Condvar, Mutex, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

static REQUESTED: AtomicBool = AtomicBool::new(false);
static WAITERS: Mutex<()> = Mutex::new(());
static CHANGED: Condvar = Condvar::new();

/// Exit code after a second signal: 128 + SIGINT, as shells count.
const INTERRUPTED: i32 = 130;

/// Makes SIGINT and SIGTERM set the flag. Call once, first thing in `main`; later calls do nothing.
///
/// # Panics
/// When the operating system refuses a signal handler or a thread, which at the start of a program is a bug.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut signals = Signals::new([SIGINT, SIGTERM]).expect("cannot watch SIGINT and SIGTERM");
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for _ in signals.forever() {
                    if requested() {
                        let _held = crate::group::kill_all();
                        std::process::exit(INTERRUPTED);
                    }
                    request();
                }
            })
            .expect("cannot start the thread that watches for signals");
    });
}

/// Whether somebody asked us to stop.
#[must_use]
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Asks to stop, as the first signal does.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
    // Taking the lock orders us after a waiter that has looked at the flag and is about to wait.
    drop(WAITERS.lock());
    CHANGED.notify_all();
}

/// Waits at most `timeout`, less when an interrupt comes. Returns [`requested`].
#[must_use]
pub fn wait_timeout(timeout: Duration) -> bool {
    let guard = WAITERS.lock().unwrap_or_else(PoisonError::into_inner);
    drop(CHANGED.wait_timeout_while(guard, timeout, |()| !requested()));
    requested()
}
