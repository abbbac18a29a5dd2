//! `scenario mutate`: breaks one thing at a time, and keeps the score.

use camino::Utf8PathBuf;
use clap::Args;
use feeder_process::interrupt;
use feeder_scenario::{
    Attended, Class, Ending, Failure, Mutated, Mutation, Noticed, Recorded, Scenario, Stage, mutate,
};
use feeder_ui::{Exit, Expected};
use serde::Serialize;

use super::{How, Scene, output, reuse, say};

/// Mutated runs whose evidence is kept: more than there are mutations.
const KEEP_RUNS: usize = 100;
/// So many of so many must be named by the first line.
const NAMED: (usize, usize) = (4, 5);

#[derive(Debug, Args)]
pub(super) struct Mutate {
    /// The scenario
    #[arg(index = 1)]
    name: String,
    /// Words of the mutations to make [default: all of the scenario]
    #[arg(index = 2, value_name = "WORDS")]
    only: Vec<String>,
    /// Keep the logs of all runs in a folder, to measure explanations by them without running anything
    #[arg(long, value_name = "DIR")]
    record: Option<Utf8PathBuf>,
    /// Say which mutations there are, and make none
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    how: How,
}

impl Mutate {
    pub(super) fn obey<S: Stage>(self, scene: &Scene<'_, S>) -> Result<Exit, Box<dyn Expected>> {
        let wanted = self.wanted(scene)?;
        if self.list {
            let table = wanted.iter().map(|mutation| (mutation.name, mutation.before));
            say(&output::mutations(table, scene.format))?;
            return Ok(Exit::Ok);
        }
        let scenario = scene.scenarios.iter().find(|scenario| scenario.name == self.name);
        let Some(scenario) = scenario else { return Ok(Exit::Input) };
        let green = self.passes_unbroken(scene, scenario)?;
        let recorded = self.record.as_deref().map(|dir| Recorded::begin(dir, &green));
        let mut recorded = recorded.transpose().map_err(|error| not_recorded(&error))?;
        let mut options = scene.options(&self.how, Attended::No, None);
        options.keep_runs = KEEP_RUNS;
        let mut made: Vec<(&str, Mutated)> = Vec::new();
        for (number, mutation) in (1..).zip(&wanted) {
            if interrupt::requested() {
                break;
            }
            let mutated = mutate(scenario, **mutation, &options)?;
            if let Some(recorded) = &mut recorded {
                let added = recorded.add(mutation.name, mutation.names, &mutated.ran.dir);
                added.map_err(|error| not_recorded(&error))?;
            }
            let line = output::mutated(number, wanted.len(), mutation.name, &mutated);
            match scene.format {
                super::Format::Human => say(&line)?,
                super::Format::Json => scene.progress.note(line.trim_end()),
            }
            made.push((mutation.name, mutated));
        }
        let tally = Tally::of(&made);
        say(&output::score(&made, &tally, scene.format))?;
        Ok(if interrupt::requested() { Exit::Interrupted } else { tally.exit() })
    }

    /// The mutations that are asked for.
    fn wanted<S: Stage>(
        &self,
        scene: &Scene<'_, S>,
    ) -> Result<Vec<&'static Mutation<S>>, Box<dyn Expected>> {
        let of = scene.mutations.iter().find(|(scenario, _)| *scenario == self.name);
        let all = of.map_or(&[][..], |(_, mutations)| *mutations);
        let unknown = self.only.iter().find(|words| !all.iter().any(|m| m.name.contains(*words)));
        if all.is_empty() || unknown.is_some() {
            let words = unknown.map(|words| format!(" with \"{words}\" in its name"));
            let what = format!("{} has no mutation{}", self.name, words.unwrap_or_default());
            let hint = format!("cargo xtask scenario mutate {} --list", self.name);
            return Err(Failure::scenario(what).with_hint(hint).into());
        }
        let asked = |mutation: &&Mutation<S>| {
            self.only.is_empty() || self.only.iter().any(|words| mutation.name.contains(words))
        };
        Ok(all.iter().filter(asked).collect())
    }

    /// A mutation says something only where the scenario passes without it; and that run is what mutated ones are compared with.
    /// Gives its evidence.
    fn passes_unbroken<S: Stage>(
        &self,
        scene: &Scene<'_, S>,
        scenario: &Scenario<S>,
    ) -> Result<Utf8PathBuf, Box<dyn Expected>> {
        let options = scene.options(&self.how, Attended::No, None);
        let freshness = reuse::Freshness::default();
        let known = freshness.look(scenario, &options.stage)?;
        let proven = freshness.proven(&known);
        // A proof from elsewhere is no green run among the evidence here.
        let here = options.root.join(scenario.name).canonicalize_utf8();
        if let (Some(ran), Ok(here)) = (proven, here)
            && ran.dir.starts_with(here)
        {
            return Ok(ran.dir);
        }
        let ran = feeder_scenario::run(scenario, &freshness.options(&known, &options))?;
        if ran.report.verdict == Ending::Passed {
            reuse::remember(scenario, &options.stage, &known, &ran)?;
            return Ok(ran.dir);
        }
        let class = ran.report.failure.as_ref().map_or(Class::Harness, |failure| failure.class);
        let mut failure = Failure::new(class, format!("{} does not pass as it is", self.name));
        failure.details.push(ran.report.conclusion(&ran.dir));
        Err(failure.into())
    }
}

fn not_recorded(error: &std::io::Error) -> Box<dyn Expected> {
    Failure::host(format!("cannot keep the logs of the runs: {error}")).into()
}

/// Mutations by what was noticed of them.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    pub mutations: usize,
    pub named: usize,
    pub noticed: usize,
    pub survived: usize,
    pub unknown: usize,
}

impl Tally {
    fn of(made: &[(&str, Mutated)]) -> Self {
        let count = |is: Noticed| made.iter().filter(|(_, mutated)| mutated.outcome == is).count();
        Self {
            mutations: made.len(),
            named: count(Noticed::Named),
            noticed: count(Noticed::Noticed),
            survived: count(Noticed::Survived),
            unknown: count(Noticed::Unknown),
        }
    }

    /// All must be noticed, and most of them named.
    fn exit(&self) -> Exit {
        let (of, all) = NAMED;
        if self.unknown > 0 {
            Exit::Harness
        } else if self.survived > 0 || self.named * all < self.mutations * of {
            Exit::Scenario
        } else {
            Exit::Ok
        }
    }
}
