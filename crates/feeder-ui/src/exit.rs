//! The published exit codes.

use std::process::ExitCode;

/// What a command's exit code says. The numbers are an interface: they are published in `docs/exit-codes.md`, which is
/// written from [`Exit::ALL`], and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// The command did what was asked.
    Ok = 0,
    /// Nothing went wrong, but the state found is not the state wanted.
    NotAsWanted = 1,
    /// What the user gave is wrong: arguments, `cluster.toml`, a lock file. The same number that clap uses.
    Input = 2,
    /// This machine lacks something: a tool, a right, disk space, the network.
    Host = 3,
    /// The operation was tried and failed.
    Failed = 4,
    /// A scenario ran and the product did not do what the scenario expects.
    Scenario = 20,
    /// A scenario says nothing about the product, because the harness under it failed.
    Harness = 30,
    /// Stopped by the user (SIGINT or SIGTERM).
    Interrupted = 130,
}

impl Exit {
    /// Every code, in numerical order.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::NotAsWanted,
        Self::Input,
        Self::Host,
        Self::Failed,
        Self::Scenario,
        Self::Harness,
        Self::Interrupted,
    ];

    /// The number the process exits with.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The code's name and meaning, for the published table.
    pub const fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("ok", "the command did what was asked"),
            Self::NotAsWanted => (
                "not as wanted",
                "nothing went wrong, but what was found is not what is wanted: `provision --plan` with something to change, a failed regression gate",
            ),
            Self::Input => (
                "input",
                "what was given is wrong: arguments, `cluster.toml`, a lock file; the message names the place",
            ),
            Self::Host => (
                "host",
                "this machine lacks something: a tool, a right, disk space, the network; the message says how to get it",
            ),
            Self::Failed => (
                "failed",
                "the operation was tried and failed; the message says what state was left behind",
            ),
            Self::Scenario => {
                ("scenario", "a scenario ran, and the product did not do what the scenario expects")
            }
            Self::Harness => {
                ("harness", "a scenario could not be judged, because the harness under it failed")
            }
            Self::Interrupted => {
                ("interrupted", "stopped by SIGINT or SIGTERM; machines are gone, evidence stays")
            }
        }
    }

    /// The page `docs/exit-codes.md`.
    pub fn markdown() -> String {
        let mut page = String::from(
            "# Exit codes\n\n\
             Every command of `cargo xtask` ends with one of these. Scripts may rely on the numbers.\n\n\
             | code | name | meaning |\n| ---: | --- | --- |\n",
        );
        for exit in Self::ALL {
            let (name, meaning) = exit.meaning();
            page.push_str(&format!("| {} | {name} | {meaning} |\n", exit.code()));
        }
        page.push_str(
            "\nA code that is not in the table is a bug: 101 is a Rust panic, and 128 + n means that signal n ended the \
             process before it could clean up.\n\n\
             This page is written by `cargo xtask tidy --fix` from `crates/feeder-ui/src/exit.rs`.\n",
        );
        page
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_published_ones() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 20, 30, 130]);
    }

    #[test]
    fn the_page_names_every_code_once() {
        let page = Exit::markdown();
        for exit in Exit::ALL {
            let cell = format!("| {} | {} |", exit.code(), exit.meaning().0);
            assert_eq!(page.matches(&cell).count(), 1, "{cell} in\n{page}");
        }
    }
}
