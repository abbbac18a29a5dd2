//! `cargo xtask ci`

use clap::Args;
use feeder_ci::{Extent, Workspace};
use feeder_host::{Consent, Need};
use feeder_ui::Exit;

use crate::{Context, Outcome, Run, format::NotPrinted};

/// Run the regression gate: format, lints, tests and scenarios
///
/// Installs missing tools without asking. Every step has a log in target/ci/. The last line on stdout counts tests:
/// `N passed, N failed`, and `, N skipped` when there are any. Exits with 1 when something failed.
#[derive(Debug, Args)]
pub(crate) struct Ci {
    /// With the slow machines too: the netboot scenario on an emulated Pi 3B
    #[arg(long)]
    full: bool,
}

impl Run for Ci {
    fn run(self, context: &Context) -> Outcome {
        feeder_host::require(&Need::ALL, Consent::Given, &context.progress)?;
        let extent = if self.full { Extent::Full } else { Extent::Usual };
        let report = feeder_ci::run(&Workspace::locate(&context.root)?, extent, &context.progress)?;
        feeder_ui::data(report.to_string()).map_err(NotPrinted::from)?;
        Ok(if report.passed() { Exit::Ok } else { Exit::NotAsWanted })
    }
}
