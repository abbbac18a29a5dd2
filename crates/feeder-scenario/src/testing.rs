//! A story without machines, whose clocks a test moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use camino::Utf8PathBuf;

use crate::{Event, RunDir, Story, clock::fake::FakeClock, guests::fake::FakeGuest};

pub struct TestRun {
    pub story: Story,
    pub clock: Arc<FakeClock>,
    pub interrupt: Arc<AtomicBool>,
    _root: tempfile::TempDir,
}

pub fn temp_root() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap();
    (dir, path)
}

impl TestRun {
    pub fn new() -> Self {
        let (root, path) = temp_root();
        let clock = Arc::new(FakeClock::default());
        let interrupt = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupt);
        let dir = RunDir::create(&path, "test", 10).unwrap();
        let story = Story::new(dir, clock.clone(), move || flag.load(Ordering::Relaxed));
        Self { story, clock, interrupt, _root: root }
    }

    /// A powered-on machine. It has used no CPU time yet.
    pub fn machine(&self, name: &str) -> Arc<FakeGuest> {
        let guest = Arc::new(FakeGuest::default());
        guest.works(Duration::ZERO);
        self.story.guest(name, guest.clone());
        guest
    }

    /// The events so far without their numbers and times, but for notes.
    pub fn events(&self) -> Vec<Event> {
        self.story.journal().records().into_iter().map(|record| record.event).collect()
    }
}
