//! All machines of a run in one terminal, while it runs: a panel for each, and the step with both clocks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::Duration,
};

use feeder_ui::{Progress, elapsed};

use crate::{Event, Firmware, Reading, Record, StepRef, Story, clock::locked};

/// How often the panels are drawn anew.
const REDRAW: Duration = Duration::from_millis(250);
/// The column in which the age of the last sign of life begins, counted from the state.
const STATE: usize = 46;

/// Draws until it is dropped, and leaves nothing on the terminal.
pub(crate) struct Live {
    stop: Option<mpsc::Sender<()>>,
    drawing: Option<JoinHandle<()>>,
    progress: Progress,
}

impl Live {
    /// Begins to draw; `None` where nothing can be redrawn.
    pub(crate) fn start(story: &Story, progress: &Progress) -> Option<Self> {
        if !progress.has_panel() {
            return None;
        }
        let panels = Arc::new(Mutex::new(Panels::default()));
        let seen = Arc::clone(&panels);
        story.journal().subscribe(move |record| locked(&seen).see(record));
        let (stop, stopped) = mpsc::channel();
        let (story, drawn) = (story.clone(), progress.clone());
        let draw = move || {
            while stopped.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
                let names: Vec<String> = locked(&panels).nodes.keys().cloned().collect();
                // Asked before the panels are locked: a listener of the journal locks them, too.
                let said: Vec<_> =
                    names.iter().map(|name| story.guests().last_lines(name).pop()).collect();
                let now = story.now();
                let lines = {
                    let mut panels = locked(&panels);
                    for (name, line) in names.iter().zip(said) {
                        panels.says(name, line, now.wall);
                    }
                    panels.lines(now)
                };
                drawn.panel(&lines);
            }
        };
        let drawing = std::thread::Builder::new().name("live".into()).spawn(draw).ok()?;
        Some(Self { stop: Some(stop), drawing: Some(drawing), progress: progress.clone() })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(drawing) = self.drawing.take() {
            // Its panic would have been told by the panic hook.
            let _panicked = drawing.join();
        }
        self.progress.panel(&[]);
    }
}

/// What is known of the run. Events and console lines in, lines for the terminal out.
#[derive(Default)]
struct Panels {
    steps: Vec<StepRef>,
    nodes: BTreeMap<String, Panel>,
}

#[derive(Default)]
struct Panel {
    /// "off", "asks for an address", "fetches kernel8.img", "systemd", "ssh".
    state: String,
    on: bool,
    /// When it last did anything that could be seen, by the wall clock.
    sign: Duration,
    /// The last line of its console.
    line: String,
}

impl Panels {
    fn see(&mut self, record: &Record) {
        match &record.event {
            Event::StepStarted { number, name } => {
                self.steps.push(StepRef { number: number.clone(), name: name.clone() });
            }
            Event::StepFinished { .. } => drop(self.steps.pop()),
            _ => {}
        }
        let (Some(node), Some(state)) = (&record.node, state(&record.event)) else { return };
        let panel = self.nodes.entry(node.clone()).or_default();
        if matches!(record.event, Event::PowerOn { .. }) {
            panel.line.clear();
        }
        panel.on = !matches!(record.event, Event::PowerOff { .. });
        (panel.state, panel.sign) = (state, record.at.wall);
    }

    /// The last line of a machine's console is this. One that is new is a sign of life.
    fn says(&mut self, node: &str, line: Option<String>, now: Duration) {
        let (Some(panel), Some(line)) = (self.nodes.get_mut(node), line) else { return };
        if panel.on && panel.line != line {
            (panel.line, panel.sign) = (line, now);
        }
    }

    fn lines(&self, now: Reading) -> Vec<String> {
        let (wall, guest) = (elapsed(now.wall), elapsed(now.guest));
        let doing = self.steps.last().map_or_else(
            || feeder_ui::line("", "between steps", None),
            |step| feeder_ui::line(&format!("step {}", step.number), &step.name, None),
        );
        let mut lines = vec![format!("{doing}   wall {wall}, guest work {guest}")];
        for (name, panel) in &self.nodes {
            if !panel.on {
                lines.push(format!("  {name:<10} {}", panel.state));
                continue;
            }
            let ago = elapsed(now.wall.saturating_sub(panel.sign));
            let state = &panel.state;
            lines.push(format!("  {name:<10} {state:<STATE$} last sign {ago} ago"));
            if !panel.line.trim().is_empty() {
                lines.push(format!("  {:<10} │ {}", "", panel.line.trim_end()));
            }
        }
        lines
    }
}

/// What a machine does after an event of its boot.
fn state(event: &Event) -> Option<String> {
    Some(match event {
        Event::PowerOn { .. } => "firmware".to_owned(),
        Event::PowerOff { .. } => "off".to_owned(),
        Event::Firmware(Firmware::Discover { attempt }) => {
            format!("firmware asks for an address, attempt {attempt}")
        }
        Event::Firmware(Firmware::Offer { from, accepted: true, .. }) => {
            format!("firmware took the OFFER of {from}")
        }
        Event::Firmware(Firmware::Requested { file }) => format!("firmware fetches {file}"),
        Event::Firmware(Firmware::Fetched { file, .. }) => format!("firmware has {file}"),
        Event::Firmware(Firmware::Starts { kernel, .. }) => format!("starts {kernel}"),
        Event::Firmware(Firmware::GaveUp { why }) => format!("firmware gave up: {why}"),
        Event::Milestone { name, .. } | Event::Ready { name } => name.clone(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use feeder_ui::{Event as Said, Sink};

    use super::*;
    use crate::{report::samples, testing::TestRun};

    #[test]
    fn a_run_is_seen_from_power_to_ssh() {
        let mut panels = Panels::default();
        let mut frames = String::new();
        for record in samples::failed_run() {
            panels.see(&record);
            let line = format!("[    1.0] console at event {}", record.seq);
            panels.says("cluster00", Some(line), record.at.wall);
            let later = Reading { wall: record.at.wall + Duration::from_secs(3), ..record.at };
            if state(&record.event).is_some() {
                frames += &format!("{}\n\n", panels.lines(later).join("\n"));
            }
        }
        insta::assert_snapshot!(frames);
    }

    #[test]
    fn silence_is_shown_by_its_age() {
        let mut panels = Panels::default();
        let seconds = Duration::from_secs;
        panels.nodes.insert("a".into(), Panel { on: true, ..Panel::default() });
        panels.says("a", Some("login:".into()), seconds(10));
        panels.says("a", Some("login:".into()), seconds(70));
        let now = Reading { wall: seconds(71), guest: seconds(5) };
        assert!(panels.lines(now)[1].ends_with("last sign 61 s ago"), "{:?}", panels.lines(now));
    }

    /// A terminal that only has a panel.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<(Vec<String>, usize)>>);

    impl Sink for Screen {
        fn event(&self, _: Said<'_>) {}
        fn panel(&self, lines: &[String]) {
            let mut shown = locked(&self.0);
            *shown = (lines.to_vec(), shown.1 + 1);
        }
        fn has_panel(&self) -> bool {
            true
        }
    }

    #[test]
    fn it_draws_while_it_lives_and_clears_the_terminal() {
        let run = TestRun::new();
        assert!(Live::start(&run.story, &Progress::silent()).is_none(), "nowhere to draw");
        let screen = Screen::default();
        let live = Live::start(&run.story, &Progress::to(screen.clone())).unwrap();
        run.story.power_on("cluster01", "raspi3b");
        let patience = std::time::Instant::now();
        while !locked(&screen.0).0.iter().any(|line| line.contains("cluster01  firmware")) {
            assert!(patience.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        drop(live);
        assert!(locked(&screen.0).0.is_empty());
        let drawn = locked(&screen.0).1;
        run.story.power_on("cluster02", "raspi3b");
        assert_eq!(locked(&screen.0).1, drawn, "nothing is drawn any more");
    }
}
