//! `cargo xtask discover`

use std::io::IsTerminal;

use clap::Args;
use feeder_process::interrupt;
use feeder_ui::{Exit, Expected, ask};
use feeder_watch::{Add, discover, discovered};

use crate::{Context, Outcome, Run, format::Format, reach::Reach};

/// Show boards that ask to boot, and add them to cluster.toml
///
/// The master listens on its segment, with tcpdump, which must be installed there: give boards power, and they appear. A model and a
/// serial number are what a board itself says; a 3B's ROM says no serial number. Answers that a switch takes to the board alone, as
/// those of most routers, are not seen.
///
/// Exits with 1 when no board was seen. What is added counts once `provision` has run.
#[derive(Debug, Args)]
pub(crate) struct Discover {
    /// Ask about each new board whether to add it to cluster.toml
    #[arg(long, conflicts_with = "add_all")]
    add: bool,
    /// Add each new board that can be a worker to cluster.toml
    #[arg(long)]
    add_all: bool,
    /// End after so many seconds [default: at Ctrl-C]
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    /// The form of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Nobody is there to be asked.
#[derive(Debug, thiserror::Error)]
#[error("--add asks about each board, and there is no terminal to ask at")]
struct NobodyToAsk;

impl Expected for NobodyToAsk {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        Some("say --add-all to add every new board that can be a worker".into())
    }
}

impl Run for Discover {
    fn run(self, context: &Context) -> Outcome {
        if self.add && !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            return Err(NobodyToAsk.into());
        }
        let (cluster, access) = self.reach.prepare(context)?;
        let add = match (self.add, self.add_all) {
            (true, _) => Add::Ask,
            (_, true) => Add::All,
            _ => Add::Nothing,
        };
        let seen = discover(
            (self.reach.config(), &cluster),
            &access,
            self.seconds,
            add,
            &mut |question| ask(question, &interrupt::requested),
            &context.progress,
        )?;
        self.format.print(&seen, |seen| discovered(seen, &cluster))?;
        Ok(if interrupt::requested() {
            Exit::Interrupted
        } else if seen.devices.is_empty() {
            Exit::NotAsWanted
        } else {
            Exit::Ok
        })
    }
}
