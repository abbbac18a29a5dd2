//! `cargo xtask bench`

use clap::Args;

use crate::{Context, Outcome, Run, format::Format, scenario};

/// Measure what provisioning costs, on a virtual cluster
///
/// Side by side in one run: a provisioning that finds nothing to do and ansible-core with a playbook that wants the same; one more
/// worker and the old guide's copy of a root; round trips. Prints a table of what was measured. ansible-core is installed into an
/// environment of its own in the cache; where that cannot be, the table says why.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Install host tools that are missing without asking
    #[arg(long)]
    yes: bool,
    /// The form of the table on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Run for Bench {
    fn run(self, context: &Context) -> Outcome {
        let mut arguments = vec!["bench"];
        if self.yes {
            arguments.push("--yes");
        }
        if self.format == Format::Json {
            arguments.extend(["--format", "json"]);
        }
        scenario::become_scenario(context, arguments.into_iter().map(Into::into))
    }
}
