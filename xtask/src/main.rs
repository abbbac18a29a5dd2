//! The command line of this repository, by the cargo-xtask convention: parse, call a library, print.
//!
//! One file per command; what a command does is one call away, in a library that knows nothing of clap. stdout is data,
//! stderr is talk, and the exit codes are those of `docs/exit-codes.md`.

mod bench;
mod ci;
mod discover;
mod exec;
mod format;
mod generation;
mod image;
mod init;
mod node;
mod provision;
mod reach;
mod scenario;
mod setup;
mod ssd;
mod tidy;
mod watch;

use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Parser, Subcommand};
use feeder_ui::{Exit, Expected, Progress};

/// A cluster of Raspberry Pis in which only the master has a disk: provision it, and prove it on virtual boards.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Data goes to stdout, talk to stderr; NO_COLOR is honoured.
Exit codes: 0 done, 1 not as wanted, 2 wrong input, 3 this machine lacks something, 4 failed,
20 a scenario failed, 30 the harness failed, 130 interrupted. See docs/exit-codes.md.";

#[derive(Debug, Subcommand)]
enum Command {
    Setup(setup::Setup),
    Image(image::Image),
    Init(init::Init),
    Discover(discover::Discover),
    Provision(provision::Provision),
    Ssd(ssd::Ssd),
    Generation(generation::Generation),
    Watch(watch::Watch),
    Node(node::Node),
    Scenario(scenario::Scenario),
    Bench(bench::Bench),
    Ci(ci::Ci),
    Tidy(tidy::Tidy),
}

/// What every command gets.
struct Context {
    /// Where the repository is. The working directory stays the caller's.
    root: Utf8PathBuf,
    /// Where work is reported.
    progress: Progress,
}

/// A command's result: its exit code, or an error with a way out.
type Outcome = Result<Exit, Box<dyn Expected>>;

/// What every command can do.
trait Run {
    fn run(self, context: &Context) -> Outcome;
}

fn main() -> ExitCode {
    exec::with_administrators_path();
    let command = Cli::parse().command;
    feeder_process::interrupt::install();
    let context = Context { root: repository(), progress: Progress::terminal() };
    let outcome = match command {
        Command::Setup(command) => command.run(&context),
        Command::Image(command) => command.run(&context),
        Command::Init(command) => command.run(&context),
        Command::Discover(command) => command.run(&context),
        Command::Provision(command) => command.run(&context),
        Command::Ssd(command) => command.run(&context),
        Command::Generation(command) => command.run(&context),
        Command::Watch(command) => command.run(&context),
        Command::Node(command) => command.run(&context),
        Command::Scenario(command) => command.run(&context),
        Command::Bench(command) => command.run(&context),
        Command::Ci(command) => command.run(&context),
        Command::Tidy(command) => command.run(&context),
    };
    outcome.unwrap_or_else(|error| feeder_ui::report(error.as_ref())).into()
}

/// The repository's directory: cargo says where this package is, at run time when it runs us, else as it was built.
fn repository() -> Utf8PathBuf {
    let package = std::env::var("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let package = Utf8Path::new(&package);
    package.parent().unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_tells_every_exit_code() {
        for exit in Exit::ALL {
            assert!(AFTER_HELP.contains(&format!("{} ", exit.code())), "{exit:?}");
        }
    }
}
