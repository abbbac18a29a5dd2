//! What need not run: scenarios that have passed with the same inputs, and steps whose end is kept.

use camino::Utf8PathBuf;
use clap::Args;
use feeder_scenario::{
    Decided, Failure, Options, Ran, Report, Reuse, Scenario, Stage, StageOptions,
    snapshot::{DEFAULT_LIMIT, Key, Proof, Shelf, Today, Why, verdict_key, why},
};
use feeder_ui::{Exit, Expected};

/// How much of earlier runs counts.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Freshness {
    /// Run it although nothing has changed since it last passed; all steps but the last may still be taken over
    #[arg(long)]
    again: bool,
    /// Take nothing over from earlier runs: every step runs, from power-on
    #[arg(long)]
    cold: bool,
    /// Run this step, by its number, and all after it: only those before it may be taken over
    #[arg(long, value_name = "STEP", conflicts_with_all = ["again", "cold"],
          value_parser = clap::value_parser!(u32).range(1..))]
    from: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// The scenario
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// The step, by its whole sentence
    #[arg(value_name = "STEP")]
    pub(super) step: String,
    /// What the nodes are made of
    #[arg(long, value_name = "MACHINE")]
    pub(super) machine: Option<String>,
    /// Varies what is left to chance
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

/// How many bytes of kept states stay, in GiB, unless somebody says otherwise.
pub(super) const LIMIT_GIB: u64 = DEFAULT_LIMIT >> 30;

/// A scenario, with what is known of it before it runs.
pub(super) struct Known {
    key: Option<Key>,
    proof: Option<Proof>,
}

/// A run was to begin behind the last step.
#[derive(Debug, thiserror::Error)]
#[error("{scenario} has no step {step}, but {steps}")]
pub(super) struct NoSuchStep {
    scenario: &'static str,
    step: u32,
    steps: usize,
}

impl Expected for NoSuchStep {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        Some(format!("--from {} runs the last one", self.steps))
    }
}

impl Freshness {
    /// Runs it whether or not it has passed: somebody wants to be there.
    pub(super) fn again(cold: bool) -> Self {
        Self { again: true, cold, from: None }
    }

    /// Looks whether a scenario has passed with the inputs of today.
    pub(super) fn look<S: Stage>(
        self,
        scenario: &Scenario<S>,
        options: &StageOptions,
    ) -> Result<Known, Box<dyn Expected>> {
        let key = key::<S>(scenario.name, options)?;
        let proof = match key {
            Some(key) => shelf()?.proof(key)?,
            None => None,
        };
        if let Some(Proof { steps, .. }) = proof {
            self.fits(scenario.name, steps)?;
        }
        Ok(Known { key, proof })
    }

    /// The run that proves it, when that is enough.
    pub(super) fn proven(self, known: &Known) -> Option<Ran> {
        let proof =
            known.proof.as_ref().filter(|_| !self.again && !self.cold && self.from.is_none())?;
        let text = fs_err::read(proof.run.join("report.json")).ok()?;
        let report: Report = serde_json::from_slice(&text).ok()?;
        Some(Ran { report, dir: proof.run.clone() })
    }

    /// The same options, with what may be taken over.
    pub(super) fn options(self, known: &Known, options: &Options) -> Options {
        let mut options = options.clone();
        options.stage.reuse = self.reuse(known.proof.as_ref().map(|proof| proof.steps));
        options
    }

    /// Whether a scenario with so many steps has the one that it is to run from.
    pub(super) fn fits(self, scenario: &'static str, steps: usize) -> Result<(), NoSuchStep> {
        match self.from {
            Some(step) if step as usize > steps => Err(NoSuchStep { scenario, step, steps }),
            _ => Ok(()),
        }
    }

    /// What may be taken over, of a scenario that has passed with so many steps or not yet.
    fn reuse(self, passed: Option<usize>) -> Reuse {
        match (passed, self.from) {
            _ if self.cold => Reuse::Nothing,
            (_, Some(step)) => Reuse::Steps(step as usize - 1),
            (Some(steps), None) if self.again => Reuse::Steps(steps.saturating_sub(1)),
            _ => Reuse::Steps(usize::MAX),
        }
    }
}

/// The key of a scenario's verdict, when nothing has to be built to know it.
fn key<S: Stage>(scenario: &str, options: &StageOptions) -> Result<Option<Key>, Box<dyn Expected>> {
    let decided = S::decided(options)?;
    Ok(decided.and_then(|Decided { base, ingredients }| {
        verdict_key(scenario, &base, &ingredients, &options.code)
    }))
}

/// Remembers that a scenario has passed. A run that built an image could not know the key before.
pub(super) fn remember<S: Stage>(
    scenario: &Scenario<S>,
    options: &StageOptions,
    known: &Known,
    ran: &Ran,
) -> Result<(), Box<dyn Expected>> {
    let key = match known.key {
        Some(key) => Some(key),
        None => key::<S>(scenario.name, options)?,
    };
    let (Some(key), None) = (key, &ran.report.failure) else { return Ok(()) };
    let steps = steps(ran);
    let proof = Proof {
        scenario: scenario.name.to_owned(),
        run: ran.dir.canonicalize_utf8().unwrap_or_else(|_| ran.dir.clone()),
        when: ran.report.started.clone(),
        took: ran.report.took.wall,
        steps,
    };
    Ok(shelf()?.prove(key, &proof)?)
}

/// How many steps of the outermost level a run had.
pub(super) fn steps(ran: &Ran) -> usize {
    ran.report.steps.iter().filter(|step| !step.number.contains('.')).count()
}

/// Frees room on the shelf of kept states.
pub(super) fn gc(
    limit_gib: u64,
) -> Result<feeder_scenario::snapshot::ShelfFreed, Box<dyn Expected>> {
    Ok(shelf()?.gc(limit_gib << 30)?)
}

/// Why a step would run.
pub(super) fn explain<S: Stage>(
    args: &WhyArgs,
    options: &StageOptions,
) -> Result<Why, Box<dyn Expected>> {
    let Some(Decided { base, ingredients }) = S::decided(options)? else {
        return Err(Failure::host(
            "the images have to be built first, and no step is kept without them",
        )
        .with_hint(format!("cargo xtask scenario run {}", args.name))
        .into());
    };
    let today = Today { code: &options.code, base: &base, ingredients: &ingredients };
    Ok(why(&shelf()?, today, &args.name, &args.step)?)
}

fn shelf() -> Result<Shelf, Box<dyn Expected>> {
    let root: Utf8PathBuf = Shelf::default_root();
    Ok(Shelf::open(&root)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        freshness: Freshness,
    }

    fn parsed(arguments: &[&str]) -> Result<Freshness, clap::Error> {
        let all = ["scenario"].iter().chain(arguments);
        Command::try_parse_from(all).map(|command| command.freshness)
    }

    #[test]
    fn only_what_nobody_wants_to_see_is_taken_over() {
        for (arguments, passed, reuse) in [
            (&[][..], None, Reuse::Steps(usize::MAX)),
            (&["--again"], None, Reuse::Steps(usize::MAX)),
            (&["--again"], Some(7), Reuse::Steps(6)),
            (&["--cold"], Some(7), Reuse::Nothing),
            (&["--from", "4"], None, Reuse::Steps(3)),
            (&["--from", "4"], Some(7), Reuse::Steps(3)),
            (&["--from", "1"], Some(7), Reuse::Steps(0)),
        ] {
            let freshness = parsed(arguments).expect("they fit together");
            assert_eq!(freshness.reuse(passed), reuse, "{arguments:?} {passed:?}");
        }
    }

    #[test]
    fn a_step_to_begin_with_excludes_other_wishes() {
        for (wrong, said) in [
            (&["--from", "0"][..], "0 is not in 1.."),
            (&["--from", "2", "--cold"], "cannot be used with"),
            (&["--from", "2", "--again"], "cannot be used with"),
        ] {
            let error = parsed(wrong).expect_err("they do not fit together").to_string();
            assert!(error.contains(said), "{wrong:?}: {error}");
        }
    }
}
