//! Becoming another program.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt,
};

/// Starts this program again when its PATH lacks the directories for administrators, as an ordinary user's does on Debian:
/// tools that build images are there. A PATH cannot be changed safely while threads may read it.
pub(crate) fn with_administrators_path() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let wanted = feeder_host::with_sbin(&path);
    if wanted == path {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        // It returns only when it failed. Then we go on with the PATH that we have: tools that are not found are reported.
        let _failed = command(program.as_os_str())
            .args(std::env::args_os().skip(1))
            .env("PATH", wanted)
            .exec();
    }
}

/// Turns this process into the cargo that started it. Returns only when that fails.
pub(crate) fn cargo(arguments: &[OsString]) -> io::Error {
    let mut cargo = command(&feeder_ci::cargo_program());
    for name in feeder_ci::package_variables() {
        cargo.env_remove(name);
    }
    cargo.args(arguments).exec()
}

/// Turns this process into another program, which has the terminal for itself. Returns only when that fails.
pub(crate) fn become_program(program: &str, arguments: &[OsString]) -> io::Error {
    command(OsStr::new(program)).args(arguments).exec()
}

fn command(program: &OsStr) -> std::process::Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "no child is started that would need to be reaped: we become it"
    )]
    std::process::Command::new(program)
}
