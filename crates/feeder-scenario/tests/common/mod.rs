//! A stage without machines, for runs in a process of their own.

use camino::Utf8PathBuf;
use feeder_scenario::{Attended, Options, Reuse, Stage, StageOptions, Steps, Story, Verdict};
use feeder_ui::Progress;

/// Has a scratch file, and says when it is torn down.
pub struct Bare(pub Story);

impl Steps for Bare {
    fn story(&self) -> &Story {
        &self.0
    }
}

impl Stage for Bare {
    const MACHINES: &'static [&'static str] = &["none"];

    fn set_up(_scenario: &str, story: &Story, _: &StageOptions) -> Verdict<Self> {
        fs_err::write(story.dir().scratch().join("disk.img"), "x").unwrap();
        Ok(Self(story.clone()))
    }

    fn tear_down(self) -> Verdict {
        self.0.note("torn down");
        Ok(())
    }
}

/// A run on it, with its evidence below `root`.
pub fn options(root: Utf8PathBuf, attended: Attended, progress: Progress) -> Options {
    Options {
        root,
        keep_runs: 10,
        keep_scratch: false,
        attended,
        live: false,
        repeats: None,
        stage: StageOptions {
            machine: "none".into(),
            consent: feeder_host::Consent::Ask,
            progress,
            seed: 1,
            code: std::sync::Arc::default(),
            reuse: Reuse::Nothing,
        },
    }
}

/// A directory for evidence, as long as its guard lives.
pub fn root() -> (tempfile::TempDir, Utf8PathBuf) {
    let guard = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::try_from(guard.path().to_owned()).unwrap();
    (guard, root)
}
