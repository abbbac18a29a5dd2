//! The commands by which a person handles the machines of a run, or plays one again.

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use feeder_scenario::{
    Attended, Keyboard, Manifest, ReplayError, Reuse, Stage, by_hand, mismatches,
};
use feeder_ui::{Exit, Expected, Progress};

use super::{
    Comfort, Format, How, Scene, on_failure, output, reuse::Freshness, run_all, say, worst,
};

#[derive(Debug, Args)]
pub(super) struct Shell {
    /// The scenario to play
    name: String,
    /// Where the prompt opens: before the step of this number, or before the first whose sentence has these words in it
    /// [default: after the last step]
    #[arg(long, value_name = "STEP")]
    until: Option<String>,
    /// Take nothing over from earlier runs: every step runs, from power-on
    #[arg(long)]
    cold: bool,
    #[command(flatten)]
    how: How,
}

impl Shell {
    pub(super) fn obey<S: Stage>(self, scene: &Scene<'_, S>) -> Result<Exit, Box<dyn Expected>> {
        let attended = Attended::Until { step: self.until, keyboard: Keyboard::stdin() };
        let options = scene.options(&self.how, attended, None);
        let wanted = scene.scenarios.iter().filter(|scenario| scenario.name == self.name);
        run_all(wanted, &options, Freshness::again(self.cold), scene.format)
    }
}

#[derive(Debug, Args)]
pub(super) struct Qemu {
    /// The scenario whose run it was
    #[arg(index = 1)]
    name: String,
    /// The node
    #[arg(index = 2)]
    node: String,
    /// The directory of the run [default: the latest of the scenario]
    #[arg(long, value_name = "DIR")]
    run: Option<Utf8PathBuf>,
}

impl Qemu {
    pub(super) fn obey(
        self,
        root: &Utf8Path,
        progress: &Progress,
    ) -> Result<Exit, Box<dyn Expected>> {
        let run = self.run.unwrap_or_else(|| root.join(&self.name).join("latest"));
        let by_hand = by_hand(&run, &self.node)?;
        say(&format!("{}\n", by_hand.command))?;
        if by_hand.missing.is_empty() {
            return Ok(Exit::Ok);
        }
        progress.note("It does not start as it is, because these went with the run:");
        by_hand.missing.iter().for_each(|file| progress.note(format!("  {file}")));
        progress.note("hint: `scenario run --keep` keeps kernels and disks");
        progress.note("hint: the LAN ends with its run: put `-netdev user,id=net0` in place of `-netdev dgram,…`");
        Ok(Exit::Ok)
    }
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The replay.tar.gz of the failed run
    file: Utf8PathBuf,
    /// Play it even if programs or images differ from those of the failed run
    #[arg(long)]
    anyway: bool,
    /// When it fails, open a prompt before its machines are taken down; `scenario shell --help` tells of it
    #[arg(long)]
    pause_on_failure: bool,
    #[command(flatten)]
    comfort: Comfort,
}

impl Replay {
    pub(super) fn obey<S: Stage>(self, scene: &Scene<'_, S>) -> Result<Exit, Box<dyn Expected>> {
        let manifest = Manifest::read(&self.file)?;
        let unknown = |what, name: &str| ReplayError::Unknown { what, name: name.to_owned() };
        let scenario = scene
            .scenarios
            .iter()
            .find(|scenario| scenario.name == manifest.scenario)
            .ok_or_else(|| unknown("scenario", &manifest.scenario))?;
        if !S::MACHINES.contains(&manifest.machine.as_str()) {
            return Err(unknown("machine", &manifest.machine).into());
        }
        let how = How {
            machine: Some(manifest.machine.clone()),
            seed: manifest.seed,
            comfort: self.comfort,
        };
        let attended = on_failure(self.pause_on_failure);
        let mut options = scene.options(&how, attended, Some(manifest.repeats(self.anyway)));
        // What earlier runs left here is not what the failed run had.
        options.stage.reuse = Reuse::Nothing;
        let ran = feeder_scenario::run(scenario, &options)?;
        let replayed = manifest.judge(&ran.report)?;
        let shown = ran.report.conclusion(&ran.dir) + &manifest.conclusion(&replayed);
        match scene.format {
            Format::Human => say(&shown)?,
            Format::Json => {
                scene.progress.note(shown.trim_end());
                let mismatches = mismatches(&manifest.versions, &ran.report.versions);
                say(&output::replayed_json(&ran, &manifest, &replayed, &mismatches))?;
            }
        }
        Ok(worst(std::slice::from_ref(&ran)))
    }
}
