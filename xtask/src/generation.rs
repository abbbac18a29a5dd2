//! `cargo xtask generation`

use std::time::Duration;

use clap::{Args, Subcommand};
use feeder_modules::{Created, Generation as Made, Master, Source, Use};
use feeder_nodes::{
    Stagger,
    generation::{
        self, Activated, GenerationError, Keep, Listed, Moved, Rollout, activate, collect_garbage,
        rollback,
    },
};
use feeder_ui::{Exit, plural};
use serde::Serialize;

use crate::{Context, Outcome, Run, format::Format, reach::Reach};

/// Make, list, switch and remove the systems that workers run
///
/// A generation is a whole system for workers, on the master: kernel, modules, device trees and root belong together and never
/// change. Workers move to the active one at their next start; what runs goes on with what it has.
#[derive(Debug, Args)]
pub(crate) struct Generation {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Create),
    List(List),
    Activate(Activate),
    Rollback(Rollback),
    Gc(Gc),
}

/// Make a new generation, which no worker boots before it is activated
///
/// It is a clone of the master as it is now, or, with --upgrade, a copy of what workers run with all packages upgraded in the copy:
/// neither the master nor any worker is touched by that.
#[derive(Debug, Args)]
struct Create {
    /// Copy the active generation, and upgrade its packages in the copy
    #[arg(long)]
    upgrade: bool,
    /// Copy this generation in place of the active one
    #[arg(long, value_name = "NUMBER", requires = "upgrade")]
    from: Option<u32>,
    #[command(flatten)]
    reach: Reach,
    /// The form of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Show all generations, which one is active, and who uses which
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    reach: Reach,
    /// The form of the list on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Have workers boot a generation
///
/// It is refused unless kernel, modules, device trees and initramfs of the generation belong together. Workers move at their next
/// start. With --canary they are restarted: that worker first, and when it is healthy (it answers with its recorded host key, runs
/// from the generation, has started, and no unit failed that had not failed before), the others in batches. A worker that is not
/// goes back to what it booted before, the others are left alone, the active generation stays what it was, and the exit code is 4.
#[derive(Debug, Args)]
struct Activate {
    /// The generation
    number: u32,
    #[command(flatten)]
    how: How,
}

/// Have workers boot what was active before
///
/// Doing it twice leads back to where one was.
#[derive(Debug, Args)]
struct Rollback {
    #[command(flatten)]
    how: How,
}

/// How workers are moved.
#[derive(Debug, Args)]
struct How {
    /// Restart this worker first, and go on with the others only when it is healthy
    #[arg(long, value_name = "WORKER")]
    canary: Option<String>,
    /// How many workers are restarted before the next ones wait until all of them are healthy
    #[arg(long, value_name = "NUMBER", default_value_t = 4, requires = "canary")]
    batch: usize,
    /// Seconds between the restarts of two workers of a batch: boards that ask for their files all at once are not all served
    #[arg(long, value_name = "SECONDS", default_value_t = Stagger::default().0.as_secs(), requires = "canary")]
    stagger: u64,
    /// Seconds that a worker may take to be healthy after its restart
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "canary")]
    timeout: u64,
    #[command(flatten)]
    reach: Reach,
    /// The form of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Remove generations that nobody needs
///
/// What is active, was active before, or is used by a worker always stays; so does what is newer than the active one, unless it is
/// named. A worker that does not answer uses what its boot files belong to and what it has mounted.
#[derive(Debug, Args)]
struct Gc {
    /// Remove these, and fail when one must stay
    #[arg(value_name = "NUMBER")]
    numbers: Vec<u32>,
    /// Show what would be removed, and remove nothing; exits with 1 when there is something to remove
    #[arg(long)]
    plan: bool,
    #[command(flatten)]
    reach: Reach,
    /// The form of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Run for Generation {
    fn run(self, context: &Context) -> Outcome {
        match self.command {
            Command::Create(command) => command.run(context),
            Command::List(command) => command.run(context),
            Command::Activate(Activate { number, how }) => how.run(context, Some(number)),
            Command::Rollback(Rollback { how }) => how.run(context, None),
            Command::Gc(command) => command.run(context),
        }
    }
}

/// What is printed as JSON of an attempt to make a generation.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer<'a> {
    Made(&'a Made),
    SameAs(u32),
}

impl Run for Create {
    fn run(self, context: &Context) -> Outcome {
        let (cluster, access) = self.reach.prepare(context)?;
        let mut master = Master::connect(&cluster, &access)?;
        master.lock("generation create")?;
        let source = if self.upgrade {
            let active = master.generations().active().map(|generation| generation.number);
            Source::Upgrade(self.from.or(active).ok_or(GenerationError::None)?)
        } else {
            Source::Master
        };
        let task = context.progress.task(master.name());
        task.say("copies a system");
        let created = match master.create(source, &mut |line| task.say(line)) {
            Ok(created) => created,
            Err(error) => {
                task.failed("no generation was made");
                return Err(error.into());
            }
        };
        task.done("");
        let answer = match &created {
            Created::Made(generation) => Answer::Made(generation),
            Created::SameAs(number) => Answer::SameAs(*number),
        };
        self.format.print(&answer, |answer| match answer {
            Answer::Made(made) => format!(
                "generation {} is made (kernel {}). run `cargo xtask generation activate {0} --canary WORKER` to move workers to it.\n",
                made.number, made.kernel
            ),
            Answer::SameAs(number) => {
                format!("nothing to upgrade: it would be the same as generation {number}\n")
            }
        })?;
        Ok(Exit::Ok)
    }
}

impl Run for List {
    fn run(self, context: &Context) -> Outcome {
        let (cluster, access) = self.reach.prepare(context)?;
        let listed = generation::list(&cluster, &access)?;
        self.format.print(&listed, |listed| table(listed))?;
        Ok(Exit::Ok)
    }
}

impl How {
    /// To a generation, or to the one before when there is no number.
    fn run(self, context: &Context, number: Option<u32>) -> Outcome {
        let (cluster, access) = self.reach.prepare(context)?;
        let rollout = Rollout {
            canary: self.canary,
            batch: self.batch,
            stagger: Stagger(Duration::from_secs(self.stagger)),
            patience: Duration::from_secs(self.timeout),
        };
        let done = match number {
            Some(number) => activate(&cluster, &access, number, &rollout, &context.progress)?,
            None => rollback(&cluster, &access, &rollout, &context.progress)?,
        };
        self.format.print(&done, activated)?;
        if feeder_process::interrupt::requested() {
            return Ok(Exit::Interrupted);
        }
        Ok(if done.active { Exit::Ok } else { Exit::Failed })
    }
}

/// What is printed as JSON of a generation that was looked at for removal.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Judged<'a> {
    number: u32,
    kept: Option<String>,
    #[serde(skip)]
    listed: &'a Listed,
}

impl Run for Gc {
    fn run(self, context: &Context) -> Outcome {
        let (cluster, access) = self.reach.prepare(context)?;
        let judged = collect_garbage(&cluster, &access, &self.numbers, self.plan)?;
        let told: Vec<Judged<'_>> = judged
            .iter()
            .map(|(listed, why)| Judged {
                number: listed.generation.number,
                kept: why.as_ref().map(Keep::to_string),
                listed,
            })
            .collect();
        let verb = if self.plan { "would be removed" } else { "removed" };
        self.format.print(&told, |told| told.iter().map(|one| removed(one, verb)).collect())?;
        let some = told.iter().any(|one| one.kept.is_none());
        Ok(if self.plan && some { Exit::NotAsWanted } else { Exit::Ok })
    }
}

fn removed(one: &Judged<'_>, verb: &str) -> String {
    let kernel = &one.listed.generation.kernel;
    match &one.kept {
        Some(why) => format!("generation {} stays: {why}\n", one.number),
        None => format!("generation {} ({kernel}) {verb}\n", one.number),
    }
}

fn activated(done: &Activated) -> String {
    let mut text = if done.active {
        format!("generation {} is active\n", done.generation)
    } else {
        format!("generation {} is not active: not every worker came up from it\n", done.generation)
    };
    for (name, moved) in &done.workers {
        let what = match moved {
            Moved::BootsNext => "boots it at its next start".to_owned(),
            Moved::Moved => "runs from it, and is healthy".to_owned(),
            Moved::RanIt => "ran from it already".to_owned(),
            Moved::WentBack(why) => format!("went back: {why}"),
            Moved::Untouched => "was left alone".to_owned(),
        };
        text.push_str(&format!("  {name:<16} {what}\n"));
    }
    text
}

fn table(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "there is no generation yet\n".to_owned();
    }
    let mut text = String::new();
    for one in listed {
        let Made { number, complete, key, kernel, created, origin, .. } = &one.generation;
        let state = match (complete, one.active, one.previous) {
            (false, ..) => "broken",
            (_, true, _) => "active",
            (_, _, true) => "previous",
            _ => "",
        };
        text.push_str(&format!(
            "{number:>4}  {state:<8}  {kernel:<24}  {created:<20}  {key:<12}  {origin}\n"
        ));
        let workers = |why: Use| {
            let names = one.used_by.iter().filter(|(_, found)| **found == why);
            names.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
        };
        for (why, words) in [
            (Use::Runs, "run from it"),
            (Use::MayRun, "do not answer, and have mounted it"),
            (Use::Boots, "boot it at the next start"),
        ] {
            let names = workers(why);
            if !names.is_empty() {
                text.push_str(&format!("        {words}: {names}\n"));
            }
        }
    }
    text.push_str(&format!("{}\n", plural(listed.len(), "generation")));
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn listed(number: u32, active: bool, used_by: &[(&str, Use)]) -> Listed {
        Listed {
            generation: Made {
                number,
                complete: true,
                key: format!("{number:012x}"),
                kernel: "6.12.47+rpt-rpi-v8".into(),
                created: "2026-01-31T12:00:00Z".into(),
                origin: if number == 1 { "provision".into() } else { "upgrade of 1".into() },
                nfs_root_built_in: true,
                wanted: String::new(),
            },
            active,
            previous: !active,
            used_by: used_by.iter().map(|(name, why)| ((*name).to_owned(), *why)).collect(),
        }
    }

    #[test]
    fn the_list_says_who_uses_what() {
        let all = [
            listed(1, false, &[("cluster02", Use::Runs), ("cluster03", Use::MayRun)]),
            listed(2, true, &[("cluster01", Use::Runs), ("cluster02", Use::Boots)]),
        ];
        insta::assert_snapshot!("table", table(&all));
        let json = serde_json::to_string_pretty(&all[0]).expect("it is JSON");
        insta::assert_snapshot!("json", json);
    }

    #[test]
    fn what_became_of_workers_is_told() {
        let workers = BTreeMap::from([
            (
                "cluster01".to_owned(),
                Moved::WentBack("ssh.service failed; it is back on generation 1".into()),
            ),
            ("cluster02".to_owned(), Moved::Untouched),
        ]);
        let done = Activated { generation: 2, active: false, workers };
        let json = serde_json::to_string(&done).expect("it is JSON");
        insta::assert_snapshot!("failed", format!("{}{json}", activated(&done)));
    }
}
