//! All machines over time: what each was doing, beside the steps and the waits.

use std::time::Duration;

use feeder_ui::elapsed;

use super::svg::{Anchor, Svg, fit};
use crate::{Ending, Event, Firmware, NodeReport, Phase, PowerEnd, Record, Report, StepReport};

const WIDTH: f64 = 1240.0;
/// Where time begins; names stand left of it.
const LEFT: f64 = 116.0;
const RIGHT: f64 = 16.0;
const BAR: f64 = 26.0;
const THIN: f64 = 6.0;
const GAP: f64 = 14.0;
/// Distances of the axis' marks in seconds.
const TICKS: &[u64] = &[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const MOST_TICKS: u64 = 14;

/// The timeline as an SVG element.
pub(super) fn draw(report: &Report, records: &[Record]) -> String {
    let end = records.last().map_or(report.took.wall, |last| last.at.wall.max(report.took.wall));
    let told = report.steps.iter().map(|step| step.at.wall + step.took.wall).max();
    let told = told.unwrap_or(end);
    let mut drawing = Drawing { svg: Svg::default(), end, told, y: 6.0 };
    let height = drawing.height(report);
    drawing.axis(height);
    drawing.steps(report, height);
    for node in &report.nodes {
        drawing.node(node, records);
    }
    drawing.run_marks(records, height);
    let label = format!("Timeline of {} over {}", report.scenario, elapsed(end));
    drawing.svg.finish(WIDTH, height + 24.0, &label)
}

struct Drawing {
    svg: Svg,
    end: Duration,
    /// When the last step ended: power that goes later is the stage's being cleared.
    told: Duration,
    y: f64,
}

impl Drawing {
    fn x(&self, at: Duration) -> f64 {
        let whole = self.end.as_secs_f64().max(0.001);
        LEFT + (WIDTH - LEFT - RIGHT) * (at.as_secs_f64() / whole).min(1.0)
    }

    fn span(&self, at: Duration, took: Duration) -> (f64, f64) {
        let from = self.x(at);
        (from, self.x(at + took) - from)
    }

    fn height(&self, report: &Report) -> f64 {
        let inner = if report.steps.iter().any(is_inner) { 20.0 } else { 0.0 };
        6.0 + BAR + GAP + inner + report.nodes.len() as f64 * (BAR + THIN + 3.0 + GAP)
    }

    fn axis(&mut self, height: f64) {
        let seconds = self.end.as_secs();
        let fits = |every: &&u64| seconds / **every <= MOST_TICKS;
        let every = TICKS.iter().find(fits).copied().unwrap_or(seconds / MOST_TICKS + 1);
        for at in (0..=seconds).step_by(every as usize) {
            let x = self.x(Duration::from_secs(at));
            self.svg.line("axis", (x, 0.0), (x, height));
            let label = format!("{}:{:02}", at / 60, at % 60);
            self.svg.text("small", (x, height + 16.0), Anchor::Middle, &label);
        }
    }

    fn steps(&mut self, report: &Report, height: f64) {
        self.name("steps", BAR);
        let mut inner_row = 0.0;
        for (index, step) in report.steps.iter().enumerate() {
            let (x, w) = self.span(step.at.wall, step.took.wall);
            let inner = is_inner(step);
            let (y, h) = if inner { (self.y + BAR + 2.0, 16.0) } else { (self.y, BAR) };
            if inner {
                inner_row = 20.0;
            } else {
                self.svg.rect(band(step, index), [x, y, w, height - y], "");
            }
            let said = format!(
                "step {}: {}, {} in {}",
                step.number,
                step.name,
                step.verdict,
                elapsed(step.took.wall)
            );
            let class = format!("step {}", step.verdict.name());
            let text = fit(&format!("{} {}", step.number, step.name), w - 8.0);
            self.svg.link(&format!("step-{}", step.number), &said, |svg| {
                svg.rect(&class, [x, y, w, h], &said);
                svg.text("inside", (x + 5.0, y + h / 2.0 + 4.0), Anchor::Start, &text);
            });
        }
        self.y += BAR + GAP + inner_row;
    }

    fn node(&mut self, node: &NodeReport, records: &[Record]) {
        self.name(&node.name, BAR);
        for (index, phase) in node.phases.iter().enumerate() {
            let (x, w) = self.span(phase.at, phase.took.wall);
            let title = format!(
                "{}: ▸ {}, from {} for {} (guest work {})",
                node.name,
                phase.name,
                elapsed(phase.at),
                elapsed(phase.took.wall),
                elapsed(phase.took.guest)
            );
            let class = format!("phase {}", kind(phase, index));
            self.svg.rect(&class, [x, self.y, w, BAR], &title);
            let name = if phase.name == "off" { "did not boot" } else { &phase.name };
            let text = fit(name, w - 8.0);
            let at = (x + 5.0, self.y + BAR / 2.0 + 4.0);
            self.svg.text("inside", at, Anchor::Start, &text);
        }
        for record in records.iter().filter(|r| r.node.as_deref() == Some(&*node.name)) {
            match &record.event {
                Event::WaitEnded { awaited, reached, took, .. } => {
                    let since = record.at.wall.saturating_sub(took.wall);
                    let (x, w) = self.span(since, took.wall);
                    let (class, came) =
                        if *reached { ("wait", "came") } else { ("wait lost", "did not come") };
                    let title =
                        format!("waited {} for {awaited}, which {came}", elapsed(took.wall));
                    self.svg.rect(class, [x, self.y + BAR + 3.0, w, THIN], &title);
                }
                event => self.mark(record.at.wall, event),
            }
        }
        self.y += BAR + THIN + 3.0 + GAP;
    }

    /// What happens at a moment: firmware that hears or gives up, power that goes.
    fn mark(&mut self, at: Duration, event: &Event) {
        let class = match event {
            Event::Firmware(Firmware::GaveUp { .. })
            | Event::PowerOff { end: PowerEnd::Died, .. } => "mark lost",
            Event::PowerOff { end: PowerEnd::Cut, .. } if at < self.told => "mark cut",
            Event::PowerOff { .. } => "mark",
            Event::Firmware(Firmware::Discover { .. } | Firmware::Offer { .. }) => "mark firmware",
            _ => return,
        };
        let Some(line) = event.boot_line() else { return };
        let title = format!("{}: {line}", elapsed(at));
        let x = self.x(at);
        if class == "mark firmware" {
            self.svg.rect(class, [x - 0.5, self.y + BAR - 7.0, 1.5, 7.0], &title);
        } else {
            self.svg.dot(class, (x, self.y), 5.0, &title);
        }
    }

    /// What is about the run as a whole and not about one machine.
    fn run_marks(&mut self, records: &[Record], height: f64) {
        for record in records.iter().filter(|record| record.node.is_none()) {
            let (class, text) = match &record.event {
                Event::Note { text } => ("mark note", text),
                Event::Fault { text } => ("mark fault", text),
                _ => continue,
            };
            let title = format!("{}: {text}", elapsed(record.at.wall));
            self.svg.dot(class, (self.x(record.at.wall), height - 4.0), 4.0, &title);
        }
    }

    fn name(&mut self, name: &str, height: f64) {
        let at = (LEFT - 10.0, self.y + height / 2.0 + 4.0);
        self.svg.text("name", at, Anchor::End, &fit(name, LEFT - 12.0));
    }
}

fn is_inner(step: &StepReport) -> bool {
    step.number.contains('.')
}

fn band(step: &StepReport, index: usize) -> &'static str {
    match (step.verdict, index % 2) {
        (Ending::Failed, _) => "band failed",
        (_, 0) => "band",
        _ => "band odd",
    }
}

/// The colour of a phase: who was at work.
fn kind(phase: &Phase, index: usize) -> &'static str {
    match (&*phase.name, index % 2) {
        ("up", _) => "up",
        ("off", _) => "lost",
        ("OFFER" | "SD" | "USB", _) => "firmware",
        (name, _) if name.starts_with("files, ") => "files",
        (_, 0) => "boot",
        _ => "boot odd",
    }
}
