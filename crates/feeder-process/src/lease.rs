//! Directories that tell whether the process that made them is still alive.
//!
//! The sign is a locked file in them. The kernel releases it however the process ends, so that no crash can leave a
//! directory that looks alive, and no number of a process that has been given to another can mislead.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

/// The name of the locked file.
pub const LOCK: &str = "run.lock";

/// Marks a new directory as ours until the file is closed. The file gets its name when the lock is held, so that
/// nobody ever sees it free. Rust opens files so that children do not inherit them, or a program that outlives us
/// would keep the directory alive.
///
/// # Errors
/// The file system refuses.
pub fn take(dir: &Path) -> io::Result<File> {
    let new = dir.join(".lock");
    let file = File::create(&new)?;
    file.try_lock()?;
    fs::rename(&new, dir.join(LOCK))?;
    Ok(file)
}

/// Whether a process has made this directory and is no more. A directory whose lock cannot be had is somebody's, and
/// so is one without a lock: it may be about to get one.
#[must_use]
pub fn is_over(dir: &Path) -> bool {
    let Ok(lock) = File::open(dir.join(LOCK)) else { return false };
    match lock.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_lives_as_long_as_its_lock_is_held() {
        let guard = tempfile::tempdir().unwrap();
        assert!(!is_over(guard.path()), "it may get a lock yet");
        let lock = take(guard.path()).unwrap();
        assert!(!is_over(guard.path()));
        drop(lock);
        assert!(is_over(guard.path()));
    }
}
