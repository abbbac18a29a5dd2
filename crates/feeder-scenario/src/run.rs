//! One scenario from its start marker to its reports.

use std::{collections::BTreeMap, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    Attended, Clock, Ending, Event, Evidence, Failure, Mutation, Report, RunClock, RunDir,
    RunDirError, Scenario, Stage, StageOptions, Story, Verdict,
    explain::{corrected, explain},
    live::Live,
    mutation,
    panics::caught,
    replay,
    shell::Shell,
    terminal,
};

/// How a scenario is to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory under which every scenario has its runs: `target/scenario`.
    pub root: Utf8PathBuf,
    /// How many dead runs of a scenario are kept.
    pub keep_runs: usize,
    /// Whether disks and other large files stay when the run ends.
    pub keep_scratch: bool,
    /// Whether somebody is there, to whom the prompt is opened.
    pub attended: Attended,
    /// Whether all machines are shown while it runs, where the terminal can do that.
    pub live: bool,
    /// What it must be made of, when it repeats another run.
    pub repeats: Option<Repeats>,
    /// How its stage is to be built; its progress shows the run, too.
    pub stage: StageOptions,
}

/// What a run must be made of, because it repeats another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeats {
    /// The other run's programs and images, and their versions or digests.
    pub versions: BTreeMap<String, String>,
    /// Whether it runs in spite of differences.
    pub anyway: bool,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// What it came to.
    pub report: Report,
    /// Its directory of evidence.
    pub dir: Utf8PathBuf,
}

/// Runs a scenario, and writes its evidence and reports. Ends soon after [`feeder_process::interrupt::requested`].
///
/// # Errors
/// The evidence could not be written. How the scenario ended is in the report, not here.
pub fn run<S: Stage>(scenario: &Scenario<S>, options: &Options) -> Result<Ran, RunDirError> {
    run_with(scenario, options, Arc::new(RunClock::new()), feeder_process::interrupt::requested)
}

pub(crate) fn run_with<S: Stage>(
    scenario: &Scenario<S>,
    options: &Options,
    clock: Arc<dyn Clock>,
    interrupted: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<Ran, RunDirError> {
    run_mutated(scenario, None, options, clock, interrupted)
}

pub(crate) fn run_mutated<S: Stage>(
    scenario: &Scenario<S>,
    mutation: Option<&Mutation<S>>,
    options: &Options,
    clock: Arc<dyn Clock>,
    interrupted: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<Ran, RunDirError> {
    let name = match mutation {
        Some(_) => format!("{}-mutated", scenario.name),
        None => scenario.name.to_owned(),
    };
    let mut dir = RunDir::create(&options.root, &name, options.keep_runs)?;
    if options.keep_scratch {
        dir.keep_scratch();
    }
    let story = Story::new(dir, clock, interrupted);
    let live = options.live.then(|| Live::start(&story, &options.stage.progress)).flatten();
    begin(&story, options, live.is_some())?;
    let verdict = play(&story, scenario, mutation, options);
    drop(live);
    finish(&story, verdict, mutation.is_none());
    let records = story.journal().records();
    let mut report = Report::from_records(&records);
    if report.verdict == Ending::Failed {
        report.explanation = Some(explain(&records, &options.root.join(scenario.name)));
    }
    report.write(story.dir(), &records)?;
    if mutation.is_none() {
        replay::write(story.dir(), &report, &options.stage)?;
    }
    Ok(Ran { report, dir: story.dir().path().to_owned() })
}

fn begin(story: &Story, options: &Options, live: bool) -> Result<(), RunDirError> {
    let events = story.dir().file("events.jsonl");
    story.journal().write_to(&events).map_err(|source| RunDirError::Io {
        doing: "make",
        path: events,
        source,
    })?;
    let progress = &options.stage.progress;
    // Beside the live view, which shows what is under way, only what has ended is told.
    let told = if live { progress.only_ends() } else { progress.clone() };
    story.journal().subscribe(terminal::watch(told));
    let started = story.dir().started()?;
    let (scenario, pid, started) = (started.scenario, started.pid, started.started);
    story.emit(None, Event::RunStarted { scenario, started, pid });
    story.version("feeder", env!("CARGO_PKG_VERSION"));
    story.version("Cargo.lock", replay::cargo_lock());
    Ok(())
}

/// Set-up, story, tear-down. The story's failure counts more than the tear-down's.
fn play<S: Stage>(
    story: &Story,
    scenario: &Scenario<S>,
    mutation: Option<&Mutation<S>>,
    options: &Options,
) -> Verdict {
    let mut stage = story.judged(caught(|| S::set_up(scenario.name, story, &options.stage)))?;
    if let Some(mutation) = mutation {
        stage.mutate(*mutation);
    }
    if let Some(shell) = Shell::of(&options.attended, stage.desk(), &options.stage.progress) {
        story.attend(shell);
    }
    let told = story.judged(caught(|| {
        replay::same_inputs(story, options.repeats.as_ref())?;
        (scenario.run)(&mut stage)?;
        mutation.map_or(Ok(()), |mutation| mutation::was_planted(story, mutation))
    }));
    let looked = caught(|| {
        if story.pauses_at_the_end(&told) {
            stage.wake()?;
        }
        Ok(())
    });
    // Whatever became of it, the prompt lets go of the machines.
    let looked = looked.and(caught(|| {
        story.dismiss(&told);
        Ok(())
    }));
    let torn_down = caught(|| stage.tear_down());
    told.and(looked).and_then(|()| story.judged(torn_down))
}

/// Only what can be repeated leaves a file to repeat it with.
fn finish(story: &Story, mut verdict: Verdict, repeatable: bool) {
    if let (Ok(()), Some(why)) = (&verdict, story.journal().lost()) {
        verdict = Err(Failure::host(format!("events.jsonl could not be written: {why}")));
    }
    verdict = verdict.map_err(|failure| corrected(failure, &story.journal().records()));
    let cpu = story.clock().own_work();
    if !cpu.is_zero() {
        story.emit(None, Event::OwnWork { cpu });
    }
    let (mut evidence, versions) = story.take_evidence();
    let own = [
        ("report", "report.html"),
        ("text", "report.txt"),
        ("trace", "trace.json"),
        ("events", "events.jsonl"),
    ];
    let own = own.map(|(what, file)| Evidence {
        what: what.into(),
        file: Utf8Path::new(file).to_owned(),
        note: None,
    });
    evidence.splice(0..0, own);
    let ending = Ending::of(&verdict);
    if repeatable && verdict.as_ref().is_err_and(replay::leaves_bundle) {
        let file = Utf8Path::new(replay::FILE).to_owned();
        evidence.push(Evidence { what: "replay".into(), file, note: None });
    }
    story.emit(None, Event::RunFinished { ending, failure: verdict.err(), evidence, versions });
}

#[cfg(test)]
mod tests;
