//! Cleaning up after runs that are no more.

use camino::Utf8Path;
use feeder_process::lease;
use serde::Serialize;

use super::{RunDirError, SOCKETS, io, socket_bases, subdirectories};

/// What [`gc`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Freed {
    /// Runs whose evidence is gone.
    pub runs: usize,
    /// Directories of sockets that dead runs had left.
    pub sockets: usize,
    /// Directories of scratch files that dead runs had left.
    pub scratch: usize,
    /// Connections of ssh that dead processes had left, with their folders.
    pub connections: usize,
}

/// Removes what dead runs left: their sockets, connections and scratch files, and all evidence but that of the newest `keep` runs of
/// each scenario. Runs that are alive are not touched, nor is what `--keep` asked to keep in runs that stay.
///
/// # Errors
/// The first thing that cannot be read or removed.
pub fn gc(root: &Utf8Path, keep: usize) -> Result<Freed, RunDirError> {
    let mut freed = Freed::default();
    for scenario in subdirectories(root)? {
        let mut dead = Vec::new();
        for run in subdirectories(&scenario)? {
            if lease::is_over(run.as_std_path()) {
                dead.push(run);
            }
        }
        // Names begin with the time, so that the oldest sort first.
        dead.sort();
        let old = dead.len().saturating_sub(keep);
        for run in &dead[..old] {
            fs_err::remove_dir_all(run).map_err(io("remove", run))?;
            freed.runs += 1;
        }
        let latest = scenario.join("latest");
        if latest.is_symlink() && !latest.exists() {
            fs_err::remove_file(&latest).map_err(io("remove", &latest))?;
        }
        for run in &dead[old..] {
            let scratch = run.join("scratch");
            if scratch.is_dir() && !run.join("report.json").exists() {
                fs_err::remove_dir_all(&scratch).map_err(io("remove", &scratch))?;
                freed.scratch += 1;
            }
        }
    }
    for base in socket_bases() {
        for sockets in subdirectories(&base)? {
            let ours = sockets.file_name().is_some_and(|name| name.starts_with(SOCKETS));
            // What cannot be locked or removed is alive, or another user's.
            if ours
                && lease::is_over(sockets.as_std_path())
                && fs_err::remove_dir_all(&sockets).is_ok()
            {
                freed.sockets += 1;
            }
        }
    }
    freed.connections = feeder_remote::sweep();
    Ok(freed)
}
