//! `cargo xtask setup`

use clap::Args;
use feeder_host::{Consent, Host, Need, ToolStatus, inventory, require};
use feeder_ui::Exit;

use crate::{Context, Outcome, Run, format::Format};

/// Check this machine's tools, and install what is missing
///
/// Prints every tool with its version and what it is for. On Debian, missing ones are installed with apt-get when you are
/// root or sudo asks for no password; on bookworm, QEMU comes from bookworm-backports, which is added to apt's sources if
/// need be. arm64 programs are registered with the kernel (binfmt_misc). On other systems the commands to type are printed.
/// When all is there, nothing is changed.
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Install without asking (as with CI=true in the environment)
    #[arg(long)]
    yes: bool,
    /// The form of the list on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Run for Setup {
    fn run(self, context: &Context) -> Outcome {
        let mut tools = inventory();
        let mut ready = Ok(());
        if tools.iter().any(ToolStatus::is_missing) {
            ready = require(&Need::ALL, Consent::from_flag(self.yes), &context.progress);
            tools = inventory();
        }
        self.format.print(&tools, |tools| table(tools))?;
        ready?;
        Ok(Exit::Ok)
    }
}

fn table(tools: &[ToolStatus]) -> String {
    let width = tools.iter().map(|tool| tool.state().chars().count()).max().unwrap_or(0);
    let row = |tool: &ToolStatus| {
        format!("  {:<22} {:<width$}  {}\n", tool.name, tool.state(), tool.purpose)
    };
    let rows: String = tools.iter().map(row).collect();
    format!("{} needs, to …\n{rows}", Host::this().distribution().pretty_name)
}
