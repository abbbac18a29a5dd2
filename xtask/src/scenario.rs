//! `cargo xtask scenario`

use std::{ffi::OsString, io};

use clap::Args;
use feeder_ui::{Exit, Expected};

use crate::{Context, Outcome, Run, exec};

/// Boot a virtual cluster and prove that it works: run, list and look into scenarios
///
/// The arguments are those of the scenario program, which is a program of its own so that the other commands need not
/// compile emulators: `cargo xtask scenario --help` lists them, `cargo xtask scenario run netboot` is the first to try.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Scenario {
    /// Arguments of the scenario program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// The scenario program could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the scenario program through cargo")]
struct NotStarted(#[source] io::Error);

impl Expected for NotStarted {
    fn exit(&self) -> Exit {
        Exit::Host
    }
}

impl Run for Scenario {
    fn run(self, context: &Context) -> Outcome {
        become_scenario(context, self.arguments)
    }
}

/// Turns this process into the scenario program, through cargo. Returns only when that fails.
pub(crate) fn become_scenario(
    context: &Context,
    with: impl IntoIterator<Item = OsString>,
) -> Outcome {
    let workspace = feeder_ci::Workspace::locate(&context.root)?;
    let first = !workspace.target.join("debug/scenario").exists();
    let mut arguments: Vec<OsString> = vec!["run".into()];
    if first {
        context
            .progress
            .note("  building   the scenario program, for the first time; this takes some minutes");
    } else {
        arguments.push("--quiet".into());
    }
    arguments.extend(["--package", "feeder-scenarios", "--bin", "scenario"].map(OsString::from));
    arguments.extend([
        "--manifest-path".into(),
        context.root.join("Cargo.toml").into_os_string(),
        "--".into(),
    ]);
    arguments.extend(with);
    Err(NotStarted(exec::cargo(&arguments)).into())
}
