//! `cargo xtask node`

use std::{ffi::OsString, time::Duration};

use clap::{Args, Subcommand};
use feeder_cluster::Availability;
use feeder_modules::set_availability;
use feeder_nodes::{Choice, Logs, PowerError, Stagger, Target, choose, script_of, stream};
use feeder_remote::{Privilege, in_parallel, ssh_argv};
use feeder_ui::{Answer, Exit, Expected, ask};
use serde::Serialize;

use crate::{Context, Outcome, Run, exec, format::Format, reach::Reach};

/// Do something on nodes: a command, a shell, their logs, a restart
///
/// Nodes are chosen by name, or with --workers or --all. What is done on several is done in parallel.
#[derive(Debug, Args)]
pub(crate) struct Node {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Exec(Exec),
    Ssh(Ssh),
    Logs(Journal),
    Reboot(Reboot),
    Halt(Halt),
    Drain(Drain),
    Activate(Activate),
}

/// Which nodes.
#[derive(Debug, Args)]
struct Chosen {
    /// Nodes by name
    #[arg(value_name = "NODE")]
    names: Vec<String>,
    /// All workers
    #[arg(long)]
    workers: bool,
    /// The master and all workers
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Run a command on nodes
///
/// One argument behind `--` is a script for the node's shell, several are a program and its arguments:
///
///   cargo xtask node exec --workers -- 'free -m | grep Mem'
///
/// Every line of output, on whichever stream, begins with the node's name when there are several. Exits with 4 when the command
/// failed somewhere.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct Exec {
    #[command(flatten)]
    chosen: Chosen,
    /// As root, through sudo
    #[arg(long)]
    root: bool,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
    /// The form of the output on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Log in to a node, or run one command there with a terminal
#[derive(Debug, Args)]
struct Ssh {
    /// The node
    node: String,
    #[command(flatten)]
    reach: Reach,
    /// A command in place of a shell
    #[arg(last = true)]
    command: Vec<String>,
}

/// Show the journal of nodes
#[derive(Debug, Args)]
struct Journal {
    #[command(flatten)]
    chosen: Chosen,
    /// Of this unit alone; may be given several times
    #[arg(long, short)]
    unit: Vec<String>,
    /// From a time on: "-1h", "today", "2026-01-31 12:00"
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// The newest lines only [default: 100, or all with --since or --boot]
    #[arg(long, short = 'n')]
    lines: Option<u32>,
    /// Since the node's last start only
    #[arg(long, short)]
    boot: bool,
    /// Go on with what is written from now on, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
}

/// Restart nodes, and wait until they are back
///
/// The master goes first, because workers stand still without it, then a worker every `--stagger` seconds, whether or not the one before
/// is back. Nodes of a swarm are not drained, and of its managers more than half must be there: restart those one at a time.
#[derive(Debug, Args)]
struct Reboot {
    #[command(flatten)]
    chosen: Chosen,
    /// Seconds between the restarts of two workers: boards that ask for their files all at once are not all served
    #[arg(long, value_name = "SECONDS", default_value_t = Stagger::default().0.as_secs())]
    stagger: u64,
    /// Seconds after which a node counts as lost
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// The form of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Switch nodes off. A board that is off comes back only when its power is cycled, so it asks before
///
/// Workers go first, because they write to the master's disk as they go down.
#[derive(Debug, Args)]
struct Halt {
    #[command(flatten)]
    chosen: Chosen,
    /// Do not ask
    #[arg(long)]
    now: bool,
    /// Seconds after which a node that still answers counts as stuck
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    /// The form of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Let nodes of the swarm give their tasks away, and wait until none runs there
///
/// They take none until they are activated, whatever restarts meanwhile. Provisioning leaves them so, except the master where `master` in
/// [swarm] says otherwise. Tasks have three minutes to end. A node that loses its state joins anew, and takes tasks.
#[derive(Debug, Args)]
struct Drain {
    #[command(flatten)]
    chosen: Chosen,
    /// The form of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Let nodes of the swarm take tasks again
#[derive(Debug, Args)]
struct Activate {
    #[command(flatten)]
    chosen: Chosen,
    /// The form of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What became of one node, for programs.
#[derive(Debug, Serialize)]
struct Told {
    node: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Nobody agreed to switch boards off.
#[derive(Debug, thiserror::Error)]
#[error("nothing was switched off: nobody agreed to it")]
struct NotAgreed;

impl Expected for NotAgreed {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        Some("answer y on a terminal, or say --now".into())
    }
}

/// ssh could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start ssh")]
struct NotStarted(#[source] std::io::Error);

impl Expected for NotStarted {
    fn exit(&self) -> Exit {
        Exit::Host
    }
}

impl Run for Node {
    fn run(self, context: &Context) -> Outcome {
        match self.command {
            Command::Exec(command) => command.run(context),
            Command::Ssh(command) => command.run(context),
            Command::Logs(command) => command.run(context),
            Command::Reboot(command) => command.run(context),
            Command::Halt(command) => command.run(context),
            Command::Drain(Drain { chosen, format }) => {
                available(context, chosen, format, Availability::Drain)
            }
            Command::Activate(Activate { chosen, format }) => {
                available(context, chosen, format, Availability::Active)
            }
        }
    }
}

impl Chosen {
    fn targets(self, context: &Context) -> Result<Vec<Target>, Box<dyn Expected>> {
        let (cluster, access) = self.reach.prepare(context)?;
        let choice = Choice { names: self.names, workers: self.workers, all: self.all };
        Ok(choose(&cluster, &access, &choice)?)
    }
}

impl Run for Exec {
    fn run(self, context: &Context) -> Outcome {
        let targets = self.chosen.targets(context)?;
        let privilege = if self.root { Privilege::Root } else { Privilege::User };
        let script = script_of(&self.command);
        let told = match self.format {
            Format::Text => shown(&targets, privilege, &script),
            Format::Json => in_parallel(&targets, |target| {
                let mut lines = Vec::new();
                let result =
                    stream(target, privilege, &script, &mut |line| lines.push(line.to_owned()));
                told(target, Some(lines), result)
            }),
        };
        finish(context, self.format, &told, |_| String::new())
    }
}

impl Run for Ssh {
    fn run(self, context: &Context) -> Outcome {
        let (cluster, access) = self.reach.prepare(context)?;
        let choice = Choice { names: vec![self.node], ..Choice::default() };
        let targets = choose(&cluster, &access, &choice)?;
        // Somebody is there: ssh may ask for the passphrase of a key.
        let mut arguments: Vec<OsString> = vec!["-oBatchMode=no".into()];
        if !self.command.is_empty() {
            arguments.push("-t".into());
        }
        for target in &targets {
            arguments.extend(ssh_argv(&target.ssh, None).into_iter().map(OsString::from));
        }
        if !self.command.is_empty() {
            arguments.push(script_of(&self.command).into());
        }
        Err(NotStarted(exec::become_program("ssh", &arguments)).into())
    }
}

impl Run for Journal {
    fn run(self, context: &Context) -> Outcome {
        let bounded = self.since.is_some() || self.boot;
        let logs = Logs {
            units: self.unit,
            since: self.since,
            lines: self.lines.or((!bounded).then_some(100)),
            boot: self.boot,
            follow: self.follow,
        };
        let targets = self.chosen.targets(context)?;
        let told = shown(&targets, Privilege::Root, &logs.script());
        finish(context, Format::Text, &told, |_| String::new())
    }
}

impl Run for Reboot {
    fn run(self, context: &Context) -> Outcome {
        let targets = self.chosen.targets(context)?;
        let stagger = Stagger(Duration::from_secs(self.stagger));
        let patience = Duration::from_secs(self.timeout);
        let results = feeder_nodes::reboot(&targets, stagger, patience, &context.progress);
        finish(context, self.format, &all_told(&targets, results), |told| {
            format!("{} restarted\n", count(told))
        })
    }
}

impl Run for Halt {
    fn run(self, context: &Context) -> Outcome {
        let targets = self.chosen.targets(context)?;
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        let question = format!(
            "Switch off {}? They come back only when their power is cycled.",
            names.join(", ")
        );
        if !self.now && ask(&question, &feeder_process::interrupt::requested) != Answer::Yes {
            return Err(NotAgreed.into());
        }
        let patience = Duration::from_secs(self.timeout);
        let results = feeder_nodes::halt(&targets, patience, &context.progress);
        finish(context, self.format, &all_told(&targets, results), |told| {
            format!("{} switched off\n", count(told))
        })
    }
}

/// Makes nodes take tasks or not.
fn available(context: &Context, chosen: Chosen, format: Format, wanted: Availability) -> Outcome {
    let (cluster, access) = chosen.reach.prepare(context)?;
    let choice = Choice { names: chosen.names, workers: chosen.workers, all: chosen.all };
    let targets = choose(&cluster, &access, &choice)?;
    let names: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
    let results = set_availability(&cluster, &access, &names, wanted)?;
    let told: Vec<Told> = targets
        .iter()
        .zip(results)
        .map(|(target, result)| told(target, None, result.map(drop)))
        .collect();
    let verb = if wanted == Availability::Drain { "drained" } else { "activated" };
    finish(context, format, &told, |told| format!("{} {verb}\n", count(told)))
}

/// Runs a script on nodes, and shows each line as it comes, behind the node's name when there are several.
fn shown(targets: &[Target], privilege: Privilege, script: &str) -> Vec<Told> {
    let width = targets.iter().map(|target| target.name.len()).max().unwrap_or_default();
    in_parallel(targets, |target| {
        let name = &target.name;
        let result = stream(target, privilege, script, &mut |line| {
            let text = match targets.len() {
                1 => format!("{line}\n"),
                _ => format!("{name:<width$} | {line}\n"),
            };
            // A full disk behind the pipe is told by the command that reads it.
            let _lost = feeder_ui::data(text);
        });
        told(target, None, result)
    })
}

fn told(target: &Target, output: Option<Vec<String>>, result: Result<(), impl Expected>) -> Told {
    let error = result.err();
    Told {
        node: target.name.clone(),
        ok: error.is_none(),
        output,
        hint: error.as_ref().and_then(Expected::hint),
        error: error.map(|error| error.to_string()),
    }
}

fn all_told(targets: &[Target], results: Vec<Result<(), PowerError>>) -> Vec<Told> {
    targets.iter().zip(results).map(|(target, result)| told(target, None, result)).collect()
}

fn count(told: &[Told]) -> String {
    format!("{} of {}", told.iter().filter(|told| told.ok).count(), told.len())
}

/// Prints the result, and on stderr why nodes failed.
fn finish(
    context: &Context,
    format: Format,
    told: &[Told],
    text: impl FnOnce(&[Told]) -> String,
) -> Outcome {
    format.print(&told, |told| text(told))?;
    if feeder_process::interrupt::requested() {
        return Ok(Exit::Interrupted);
    }
    for failed in told.iter().filter(|told| !told.ok) {
        let error = failed.error.as_deref().unwrap_or_default();
        context.progress.note(format!("{}: {error}", failed.node));
        if let Some(hint) = &failed.hint {
            context.progress.note(format!("{}: hint: {hint}", failed.node));
        }
    }
    Ok(if told.iter().all(|told| told.ok) { Exit::Ok } else { Exit::Failed })
}
