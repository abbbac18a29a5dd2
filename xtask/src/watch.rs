//! `cargo xtask watch`

use clap::Args;
use feeder_process::interrupt;
use feeder_ui::Exit;
use feeder_watch::{Snapshot, WatchError, changed, snapshot, watch, watched};

use crate::{Context, Outcome, Run, format::Format, reach::Reach};

/// Show how far each node is: silent, asking to boot, at which file, kernel, root mounted, up
///
/// Beside it: since when, the age of its last sign of life, units that failed, a state image that is full, where it is stuck and what
/// can be done, and with [swarm] in cluster.toml what its Docker and the swarm's managers say. The master is asked for all that it
/// logs and sees; workers are logged in to through it.
///
/// On a terminal the table is drawn anew, elsewhere each change is a line; with --format json each is a document on one line. Ctrl-C
/// ends it.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Show the state as it is now; exits with 1 unless every node is up and well
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    reach: Reach,
    /// The form of what is shown on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Run for Watch {
    fn run(self, context: &Context) -> Outcome {
        let (cluster, access) = self.reach.prepare(context)?;
        if self.once {
            let snapshot = snapshot(&cluster, &access)?;
            self.format.print(&snapshot, watched)?;
            return Ok(if snapshot.well { Exit::Ok } else { Exit::NotAsWanted });
        }
        let draws = self.format == Format::Text && context.progress.has_panel();
        let mut last: Option<Snapshot> = None;
        let ended = watch(&cluster, &access, &mut |now| {
            if draws {
                let lines: Vec<String> = watched(now).lines().map(str::to_owned).collect();
                context.progress.panel(&lines);
            } else {
                let lines = changed(last.as_ref(), now);
                self.tell(now, &lines).map_err(WatchError::NotShown)?;
            }
            last = Some(now.clone());
            Ok(())
        });
        context.progress.panel(&[]);
        ended?;
        if let Some(last) = last.filter(|_| draws) {
            self.format.print(&last, watched)?;
        }
        Ok(if interrupt::requested() { Exit::Interrupted } else { Exit::Ok })
    }
}

impl Watch {
    /// Tells a change, where nothing can be drawn anew.
    fn tell(&self, now: &Snapshot, lines: &[String]) -> std::io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        match self.format {
            Format::Text => feeder_ui::data(lines.join("\n") + "\n"),
            Format::Json => feeder_ui::data(serde_json::to_string(now)? + "\n"),
        }
    }
}
