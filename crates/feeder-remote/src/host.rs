//! What a host can do.

use camino::Utf8Path;
use feeder_process::Output;

use crate::{RemoteError, write};

/// A machine that runs shell scripts.
///
/// Scripts are POSIX `sh`. They run with `/dev/null` as standard input, in the `C.UTF-8` locale and with the `sbin`
/// folders in `PATH`.
pub trait Host: Send + Sync {
    /// What messages call it.
    fn name(&self) -> &str;

    /// Runs a script to its end.
    ///
    /// # Errors
    /// Every [`RemoteError`]. A status other than 0 is one, and so is more than 64 MiB of output.
    fn run(&self, script: &str) -> Result<Output, RemoteError>;

    /// Runs a script and hands out each line of its standard output as it comes, without its end.
    ///
    /// # Errors
    /// Every [`RemoteError`]; a status other than 0 is one.
    fn stream(&self, script: &str, on_line: &mut dyn FnMut(&str)) -> Result<Output, RemoteError>;

    /// Writes a small file in one step: its old content or all of the new one is there, never a part.
    ///
    /// It is owned by who runs scripts on this host. `mode` is the permission bits, as in `0o644`.
    ///
    /// # Errors
    /// Every [`RemoteError`]; `Script` when the folder is missing or full.
    fn put(&self, path: &Utf8Path, content: &[u8], mode: u32) -> Result<(), RemoteError> {
        self.run(&write::write_file_script(path, content, mode, None)).map(drop)
    }
}
