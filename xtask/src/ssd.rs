//! `cargo xtask ssd`

use clap::{Args, Subcommand};
use feeder_modules::{MoveState, SsdStatus, ssd_finish, ssd_status};
use feeder_ui::{Answer, Exit, ask};

use crate::{Context, Outcome, Run, format::Format, reach::Reach};

/// Where the master runs from, and the end of its move from SD card to SSD
///
/// The move itself is `cargo xtask provision`, with a section [master.ssd] in cluster.toml.
#[derive(Debug, Args)]
pub(crate) struct Ssd {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Status(Status),
    Finish(Finish),
}

/// Say where the master runs from and what is left to do; exits with 1 when something is
#[derive(Debug, Args)]
struct Status {
    #[command(flatten)]
    reach: Reach,
    /// The form of the answer on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Free the SD card of a master that runs from its SSD
///
/// As long as this was not done, the card still holds the system as it was before the move, and the way back is to move what
/// is in its folder `feeder-sd` one level up. This deletes that folder (the old boot files) and the signature of the card's old
/// root file system, so that nothing mounts it by mistake. What starts the board stays on the card: `bootcode.bin` and
/// `timeout`. A card that is out of its slot is not touched.
///
/// It is refused unless the master's root is on the SSD at this moment, and asks before it deletes anything.
#[derive(Debug, Args)]
struct Finish {
    #[command(flatten)]
    reach: Reach,
    /// Delete without asking
    #[arg(long)]
    free_card: bool,
    /// The form of the answer on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Run for Ssd {
    fn run(self, context: &Context) -> Outcome {
        match self.command {
            Command::Status(command) => command.run(context),
            Command::Finish(command) => command.run(context),
        }
    }
}

impl Run for Status {
    fn run(self, context: &Context) -> Outcome {
        let (cluster, access) = self.reach.prepare(context)?;
        let status = ssd_status(&cluster, &access)?;
        self.format.print(&status, text)?;
        Ok(exit(&status))
    }
}

impl Run for Finish {
    fn run(self, context: &Context) -> Outcome {
        let (cluster, access) = self.reach.prepare(context)?;
        let mut agreed = |found: &SsdStatus| {
            let card = found.card.as_ref().map_or("the card", |card| &card.partition);
            let question = format!(
                "{} runs from its SSD. Delete what it booted from before on {card}, and the old root beside it?",
                found.host
            );
            self.free_card || ask(&question, &feeder_process::interrupt::requested) == Answer::Yes
        };
        let status = ssd_finish(&cluster, &access, &mut agreed)?;
        self.format.print(&status, text)?;
        Ok(exit(&status))
    }
}

fn exit(status: &SsdStatus) -> Exit {
    if status.left.is_empty() { Exit::Ok } else { Exit::NotAsWanted }
}

fn text(status: &SsdStatus) -> String {
    let disk = |disk: &Option<feeder_modules::Disk>| {
        disk.as_ref().map_or_else(
            || "not there".to_owned(),
            |disk| match disk.names.first() {
                Some(name) => format!("{name} ({})", disk.describe()),
                None => format!("{} ({})", disk.path, disk.describe()),
            },
        )
    };
    let state = match status.state {
        MoveState::None => "nothing of the master is on it",
        MoveState::Made => "partitioned for the master",
        MoveState::Formatted => "has an empty root file system",
        MoveState::Copied => "holds a copy made while the master ran",
        MoveState::Sealed => "holds a verified copy that boots",
        MoveState::Running => "the master runs from it",
    };
    let card = match &status.card {
        Some(card) if card.kept => {
            format!("{}: starts the board, keeps the old boot files", card.partition)
        }
        Some(card) => format!("{}: would still boot", card.partition),
        None => "-".to_owned(),
    };
    let mut text = format!(
        "{}\n  runs from  {}\n  SSD        {}: {state}\n  SD card    {card}\n",
        status.host,
        disk(&status.runs_from),
        disk(&status.ssd),
    );
    for (number, left) in status.left.iter().enumerate() {
        let label = if number == 0 { "left" } else { "" };
        text.push_str(&format!("  {label:<10} {left}\n"));
    }
    if status.left.is_empty() {
        text.push_str("  nothing is left to do\n");
    }
    text
}
