//! Commands to the nodes of a cluster: run something on them, read their logs, restart them, switch them off.
//!
//! [`choose`] says which nodes are meant; [`Target`] is one of them with the way to it. What is done on several goes on in
//! parallel, and a node that fails stops only those that need it: every function gives one result per node, in the order
//! of `cluster.toml`.

mod choose;
pub mod generation;
mod power;
mod shell;

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

pub use choose::{Choice, NotChosen, Role, Target, choose};
pub use power::{PowerError, Stagger, halt, reboot};
pub use shell::{Logs, script_of, stream};

/// How many nodes are talked to at one time.
const AT_ONCE: usize = 16;

/// Does the same with every item, as a rule a [`Target`], several at a time. Results come in the order of the items.
pub fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let take = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        Some((number, items.get(number)?))
    };
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..items.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let Some((number, item)) = take() {
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests;
