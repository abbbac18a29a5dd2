//! `scenario bench`, which `cargo xtask bench` calls.

use clap::Args;
use feeder_scenario::{Failure, Stage};
use feeder_ui::{Exit, Expected};
use fs_err as fs;

use super::{Comfort, Format, How, Scene, on_failure, output, reuse::Freshness, say};
use crate::bench::{BENCH, FIGURES, Figures};

#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(flatten)]
    comfort: Comfort,
}

impl Bench {
    /// Plays the scenario, whose last step measures, and prints what that measured.
    pub(super) fn obey<S: Stage>(self, scene: &Scene<'_, S>) -> Result<Exit, Box<dyn Expected>> {
        let Some(scenario) = scene.scenarios.iter().find(|scenario| scenario.name == BENCH.name)
        else {
            return Err(Box::new(Failure::scenario("there is nothing to measure")));
        };
        let how = How { machine: None, seed: 1, comfort: self.comfort };
        let options = scene.options(&how, on_failure(false), None);
        let freshness = Freshness::again(false);
        let known = freshness.look(scenario, &options.stage)?;
        let ran = feeder_scenario::run(scenario, &freshness.options(&known, &options))?;
        scene.progress.note(ran.report.conclusion(&ran.dir).trim_end());
        let exit = super::worst(std::slice::from_ref(&ran));
        if exit == Exit::Ok {
            let text = fs::read(ran.dir.join(FIGURES)).map_err(unreadable)?;
            let figures: Figures = serde_json::from_slice(&text).map_err(unreadable)?;
            say(&match scene.format {
                Format::Human => figures.to_string(),
                Format::Json => output::json(&figures),
            })?;
        }
        Ok(exit)
    }
}

fn unreadable(error: impl std::fmt::Display) -> Box<dyn Expected> {
    Box::new(Failure::harness(format!("what was measured cannot be read: {error}")))
}
