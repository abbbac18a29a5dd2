//! `cargo xtask tidy`

use clap::Args;
use feeder_ci::{Workspace, tidy};
use feeder_ui::{Exit, plural};

use crate::{Context, Outcome, Run, format::NotPrinted};

/// Check the repository's own rules
///
/// Modules have a README, crates inherit the workspace's lints, no package mirror and no directory of this checkout is
/// named, programs that are called are among the host tools, generated files are what the code says, crates keep to their
/// layers and dependencies to deny.toml. Findings go to stdout, one a line; there being any is exit code 1.
#[derive(Debug, Args)]
pub(crate) struct Tidy {
    /// Write generated files again
    #[arg(long)]
    fix: bool,
}

impl Run for Tidy {
    fn run(self, context: &Context) -> Outcome {
        let task = context.progress.task("tidy");
        if self.fix {
            let written = tidy::fix(&context.root)?;
            written.iter().for_each(|path| context.progress.note(format!("  written    {path}")));
        }
        let findings = tidy::check(&Workspace::locate(&context.root)?)?;
        task.done(plural(findings.len(), "finding"));
        let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        feeder_ui::data(lines).map_err(NotPrinted::from)?;
        Ok(if findings.is_empty() { Exit::Ok } else { Exit::NotAsWanted })
    }
}
