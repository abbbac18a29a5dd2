//! The command line of `scenario`: parse, call the engine, print.

mod bench;
mod hands_on;
mod mutate;
mod output;
mod reuse;
mod soak;

use std::sync::Arc;

use camino::Utf8PathBuf;
use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    builder::PossibleValuesParser,
};
use feeder_host::Consent;
use feeder_process::interrupt;
use feeder_scenario::{
    Attended, Ending, Keyboard, Mutation, Options, Ran, Repeats, Reuse, RunDirError, Scenario,
    Stage, StageOptions, snapshot::Code,
};
use feeder_ui::{Exit, Expected, Progress};

/// Runs of a scenario whose evidence is kept.
const KEEP_RUNS: usize = 10;

/// Boots virtual clusters and looks whether they do what they should.
#[derive(Debug, Parser)]
#[command(
    name = "scenario",
    bin_name = "cargo xtask scenario",
    version,
    disable_help_subcommand = true
)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
    /// The directory under which every scenario keeps the evidence of its runs [default: target/scenario of the workspace]
    #[arg(long, global = true, value_name = "DIR")]
    evidence: Option<Utf8PathBuf>,
    /// What stdout is for: people, or programs
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run scenarios, one after the other
    Run(Run),
    /// Play a scenario up to a step, and open a prompt beside its running machines
    ///
    /// `nodes`, `ssh NODE`, `console NODE`, `power NODE on|off|cut|cycle`, `qemu NODE`, `log NODE` and `events` look at and
    /// touch the machines; `step` and `continue [STEP]` play on; `quit` and Ctrl-C end the run; Ctrl-D closes the prompt and
    /// plays on without it. Commands may also come from a pipe. No deadline runs while the prompt is open. Steps before it may
    /// be taken over from earlier runs; what comes after it is not kept for later ones.
    Shell(hands_on::Shell),
    /// Print the QEMU command by which a node of a run can be started by hand
    Qemu(hands_on::Qemu),
    /// Play a failed run again from the replay.tar.gz that it left, and say whether it fails the same way
    ///
    /// Every step runs, from power-on. The exit code is that of the run, or 1 when it would not be a repetition, because a
    /// program or an image differs.
    Replay(hands_on::Replay),
    /// Break one thing at a time under a scenario, and look whether it fails and names that thing
    ///
    /// Each of the scenario's mutations is a run of its own, which begins at the kept state before the step that it is about.
    /// A mutation is `named` when the first difference from a green run names what is broken, `noticed` when the run fails and
    /// names something else, and `survived` when the run passes all the same. All must be noticed, and four of five named.
    Mutate(mutate::Mutate),
    /// Run a scenario many times, end every second run at another moment, and look whether anything is left behind
    ///
    /// Runs are ended by SIGKILL, SIGINT and SIGTERM in turn. No program, mount, socket, connection, scratch file or half of
    /// a kept state may be left by them; what a killed run cannot remove itself must be gone after the next one. Their
    /// evidence lies in a folder `soak` beside that of other runs: target/soak.
    Soak(soak::Soak),
    /// Measure what provisioning costs, side by side with other ways, and print a table
    Bench(bench::Bench),
    /// Say which scenarios there are
    List,
    /// Say why a step would run instead of being taken over from an earlier run
    Why(reuse::WhyArgs),
    /// Remove what dead runs left (sockets, scratch files), the evidence of old runs, and kept states over the limit
    Gc(Gc),
}

#[derive(Debug, Args)]
struct Run {
    /// The scenarios to run
    #[arg(required_unless_present = "all", value_name = "NAME")]
    names: Vec<String>,
    /// Run every scenario there is
    #[arg(long, conflicts_with = "names")]
    all: bool,
    #[command(flatten)]
    how: How,
    /// When a run fails, open a prompt before its machines are taken down; `scenario shell --help` tells of it
    #[arg(long)]
    pause_on_failure: bool,
    #[command(flatten)]
    freshness: reuse::Freshness,
}

/// How a run is made.
#[derive(Debug, Args)]
struct How {
    /// What the nodes are made of
    #[arg(long, value_name = "MACHINE")]
    machine: Option<String>,
    /// Varies what is left to chance: with the same seed, the same frames are lost
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    comfort: Comfort,
}

/// How a run is made, without making it another one.
#[derive(Debug, Args)]
struct Comfort {
    /// Show every node's boot and console while a run goes on; lines as usual where there is no terminal
    #[arg(long)]
    live: bool,
    /// Keep disks and other large files when a run ends
    #[arg(long)]
    keep: bool,
    /// Install host tools that are missing without asking; CI=true says the same
    #[arg(long)]
    yes: bool,
}

/// What can be broken under a scenario, by its name.
type Mutations<S> = &'static [(&'static str, &'static [Mutation<S>])];

/// What every command that runs scenarios needs.
struct Scene<'a, S: 'static> {
    scenarios: &'a [Scenario<S>],
    mutations: Mutations<S>,
    code: &'a Arc<Code>,
    progress: &'a Progress,
    root: Utf8PathBuf,
    format: Format,
}

impl<S: Stage> Scene<'_, S> {
    fn stage(&self, machine: Option<&str>, yes: bool, seed: u64) -> StageOptions {
        StageOptions {
            machine: machine.or(S::MACHINES.first().copied()).unwrap_or_default().to_owned(),
            consent: Consent::from_flag(yes),
            progress: self.progress.clone(),
            seed,
            code: self.code.clone(),
            reuse: Reuse::Steps(usize::MAX),
        }
    }

    fn options(&self, how: &How, attended: Attended, repeats: Option<Repeats>) -> Options {
        Options {
            root: self.root.clone(),
            keep_runs: KEEP_RUNS,
            keep_scratch: how.comfort.keep,
            attended,
            live: how.comfort.live,
            repeats,
            stage: self.stage(how.machine.as_deref(), how.comfort.yes, how.seed),
        }
    }
}

/// Who is there when a run fails.
fn on_failure(pause: bool) -> Attended {
    if pause { Attended::OnFailure(Keyboard::stdin()) } else { Attended::No }
}

#[derive(Debug, Args)]
struct Gc {
    /// Runs of each scenario whose evidence stays
    #[arg(long, value_name = "RUNS", default_value_t = KEEP_RUNS)]
    keep: usize,
    /// GiB of kept states that stay, the most recently used first
    #[arg(long, value_name = "GIB", default_value_t = reuse::LIMIT_GIB)]
    limit: u64,
}

/// What stdout is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines for people.
    #[value(name = "text")]
    Human,
    /// One JSON document; people find the same on stderr.
    Json,
}

/// Does what the process's arguments ask for, and gives its exit code.
pub fn main<S: Stage>(scenarios: &[Scenario<S>], mutations: Mutations<S>, code: Code) -> Exit {
    let code = Arc::new(code);
    interrupt::install();
    let matches = command(scenarios).get_matches();
    let command = Command::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match obey(command, scenarios, mutations, &code, &Progress::terminal()) {
        Ok(exit) => exit,
        Err(error) => feeder_ui::report(&*error),
    }
}

/// The arguments, of which the scenarios and the machines are known only to the caller.
fn command<S: Stage>(scenarios: &[Scenario<S>]) -> clap::Command {
    let names = || PossibleValuesParser::new(scenarios.iter().map(|scenario| scenario.name));
    let machines = || PossibleValuesParser::new(S::MACHINES);
    Command::command()
        .mut_subcommand("run", |run| {
            run.mut_arg("names", |arg| arg.value_parser(names()))
                .mut_arg("machine", |arg| arg.value_parser(machines()))
        })
        .mut_subcommand("shell", |shell| {
            shell
                .mut_arg("name", |arg| arg.value_parser(names()))
                .mut_arg("machine", |arg| arg.value_parser(machines()))
        })
        .mut_subcommand("mutate", |mutate| {
            mutate
                .mut_arg("name", |arg| arg.value_parser(names()))
                .mut_arg("machine", |arg| arg.value_parser(machines()))
        })
        .mut_subcommand("soak", |soak| soak.mut_arg("name", |arg| arg.value_parser(names())))
        .mut_subcommand("qemu", |qemu| qemu.mut_arg("name", |arg| arg.value_parser(names())))
}

fn obey<S: Stage>(
    command: Command,
    scenarios: &[Scenario<S>],
    mutations: Mutations<S>,
    code: &Arc<Code>,
    progress: &Progress,
) -> Result<Exit, Box<dyn Expected>> {
    let root = command.evidence.unwrap_or_else(default_root);
    let format = command.format;
    let scene = Scene { scenarios, mutations, code, progress, root, format };
    match command.verb {
        Verb::List => {
            let table = scenarios.iter().map(|scenario| (scenario.name, scenario.about));
            say(&output::list(table, format))?;
            Ok(Exit::Ok)
        }
        Verb::Gc(gc) => {
            let freed = feeder_scenario::gc(&scene.root, gc.keep)?;
            let states = reuse::gc(gc.limit)?;
            say(&output::freed(freed, &states, format))?;
            Ok(Exit::Ok)
        }
        Verb::Why(args) => {
            let options = scene.stage(args.machine.as_deref(), false, args.seed);
            say(&output::why(&reuse::explain::<S>(&args, &options)?, format))?;
            Ok(Exit::Ok)
        }
        Verb::Bench(bench) => bench.obey(&scene),
        Verb::Mutate(mutate) => mutate.obey(&scene),
        Verb::Soak(soak) => soak.obey(&scene),
        Verb::Shell(shell) => shell.obey(&scene),
        Verb::Qemu(qemu) => qemu.obey(&scene.root, progress),
        Verb::Replay(replay) => replay.obey(&scene),
        Verb::Run(run) => {
            let options = scene.options(&run.how, on_failure(run.pause_on_failure), None);
            let wanted = scenarios
                .iter()
                .filter(|scenario| run.all || run.names.iter().any(|name| name == scenario.name));
            run_all(wanted, &options, run.freshness, format)
        }
    }
}

/// Runs one after the other, and goes on after failures: each says something of its own. An interrupt ends all.
fn run_all<'a, S: Stage + 'a>(
    wanted: impl Iterator<Item = &'a Scenario<S>>,
    options: &Options,
    freshness: reuse::Freshness,
    format: Format,
) -> Result<Exit, Box<dyn Expected>> {
    let mut runs = Vec::new();
    for scenario in wanted {
        if interrupt::requested() {
            break;
        }
        let known = freshness.look(scenario, &options.stage)?;
        let (ran, shown) = if let Some(ran) = freshness.proven(&known) {
            let shown = output::proven(&ran);
            (ran, shown)
        } else {
            let options = freshness.options(&known, options);
            let ran = feeder_scenario::run(scenario, &options)?;
            if ran.report.verdict == Ending::Passed {
                // Nobody could know before how many steps it has.
                freshness.fits(scenario.name, reuse::steps(&ran))?;
            }
            // What passed under somebody's hands proves nothing.
            let alone = !matches!(options.attended, Attended::Until { .. });
            if ran.report.verdict == Ending::Passed && alone {
                reuse::remember(scenario, &options.stage, &known, &ran)?;
            }
            let shown = ran.report.conclusion(&ran.dir);
            (ran, shown)
        };
        match format {
            Format::Human => say(&shown)?,
            Format::Json => options.stage.progress.note(shown.trim_end()),
        }
        runs.push(ran);
    }
    match format {
        Format::Json => say(&output::verdicts_json(&runs, &options.stage.machine))?,
        Format::Human if runs.len() > 1 => say(&output::summary(&runs))?,
        Format::Human => {}
    }
    Ok(if interrupt::requested() { Exit::Interrupted } else { worst(&runs) })
}

/// The exit code for several runs: the highest, so that "the harness failed" outweighs "the product failed".
fn worst(runs: &[Ran]) -> Exit {
    let code = runs.iter().map(|ran| ran.report.exit).max().unwrap_or_default();
    Exit::ALL.into_iter().find(|exit| exit.code() == code).unwrap_or(Exit::Harness)
}

/// stdout that cannot be written to (a full disk) is the host's fault.
fn say(text: &str) -> Result<(), RunDirError> {
    feeder_ui::data(text).map_err(|source| RunDirError::Io {
        doing: "write to",
        path: "stdout".into(),
        source,
    })
}

/// `target/scenario` beside the nearest `Cargo.lock` above the current directory, or below the directory itself.
fn default_root() -> Utf8PathBuf {
    let here = Utf8PathBuf::try_from(std::env::current_dir().unwrap_or_default());
    let here = here.unwrap_or_default();
    let workspace = here.ancestors().find(|dir| dir.join("Cargo.lock").is_file());
    workspace.unwrap_or(&here).join("target/scenario")
}

#[cfg(test)]
mod tests;
