//! `report.html`: a run on one page that needs nothing but itself.
//!
//! The page is whole without its script, which filters and moves the focus. Drawings are made here, text is put into
//! `page.html` by a template that escapes it: what guests say is shown, never obeyed. The page's own policy lets nothing be
//! fetched, and no script run but the one whose digest it names.

#[cfg(test)]
mod browser;
mod console;
mod ladder;
#[cfg(test)]
mod sample;
mod svg;
mod timeline;
mod topology;

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use feeder_ui::elapsed;
use minijinja::{AutoEscape, Environment, Value, context, syntax::SyntaxConfig, value::Serde};
use serde::Serialize;
use sha2::{Digest, Sha256};

use self::console::Console;
use super::Report;
use crate::{Event, Reading, Record};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// Lines that are said within this time stand in one row of the consoles.
const SLICE: Duration = Duration::from_secs(1);
/// A row ends after this many lines of one machine, too.
const ROW_LINES: usize = 40;
/// Waits and phases that are listed.
const LONGEST: usize = 12;

impl Report {
    /// The run as a page. `console` gives a node's `console.timed.log`, where there is one.
    ///
    /// # Errors
    /// The template is wrong, which tests would have found.
    pub fn html(
        &self,
        records: &[Record],
        console: impl Fn(&str) -> Option<String>,
    ) -> Result<String, minijinja::Error> {
        let names = || self.nodes.iter().map(|node| node.name.as_str());
        let consoles = console::all(names(), records, console);
        let devices = topology::devices(records);
        let ladders: Vec<_> = ladder::ladders(records, &devices)
            .iter()
            .map(|ladder| {
                context! {
                    title => format!("{}, boot {}", ladder.node, ladder.boot),
                    began => elapsed(ladder.began),
                    lines => ladder.lines(),
                    drawing => Value::from_safe_string(ladder.draw()),
                }
            })
            .collect();
        let rows = rows(self, records, &consoles);
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        environment.set_syntax(syntax);
        environment.add_filter("elapsed", |seconds: f64| {
            elapsed(Duration::try_from_secs_f64(seconds).unwrap_or_default())
        });
        let digest = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
        let values = context! {
            report => Value::from(Serde(self)),
            explanation => self.explanation.as_ref().map(ToString::to_string),
            topology => Value::from_safe_string(topology::draw(&devices)),
            timeline => Value::from_safe_string(timeline::draw(self, records)),
            ladders,
            spent => spent(self),
            nodes => self.nodes.iter().map(|node| console_head(&node.name, &consoles)).collect::<Vec<_>>(),
            anchors => anchors(self, &rows),
            rows => Value::from(Serde(&rows)),
            style => Value::from_safe_string(STYLE.to_owned()),
            script => Value::from_safe_string(SCRIPT.to_owned()),
            digest,
        };
        environment.render_named_str("report.html", PAGE, values)
    }
}

/// A column of the consoles.
fn console_head(name: &str, consoles: &BTreeMap<String, Console>) -> Value {
    let console = consoles.get(name);
    context! {
        name,
        log => console.map(|_| format!("{name}/console.log")),
        lines => console.map_or(0, |console| console.lines.len() + console.left_out),
        left_out => console.map_or(0, |console| console.left_out),
    }
}

/// What was said and done within a short time, by the run and by each machine.
#[derive(Serialize)]
struct Row {
    /// A place that the page can be sent to.
    id: String,
    at: String,
    #[serde(skip)]
    wall: Duration,
    /// The run first, then the machines in their order.
    cells: Vec<Vec<Line>>,
}

#[derive(Serialize, Clone)]
struct Line {
    /// `said` on a console, or `told` by the journal.
    kind: &'static str,
    text: String,
}

/// All lines by time, in rows.
fn rows(report: &Report, records: &[Record], consoles: &BTreeMap<String, Console>) -> Vec<Row> {
    let column = |node: &str| report.nodes.iter().position(|n| n.name == node).map(|i| i + 1);
    let told = records.iter().filter_map(|record| {
        let (text, node) = match (&record.node, record.event.boot_line()) {
            (Some(node), Some(line)) => (line, column(node)?),
            _ => (run_line(&record.event)?, 0),
        };
        Some((record.at.wall, node, Line { kind: "told", text }))
    });
    let said = consoles.iter().filter_map(|(node, console)| Some((column(node)?, console)));
    let said = said.flat_map(|(column, console)| {
        let line = |text: &String| Line { kind: "said", text: text.clone() };
        console.lines.iter().map(move |(at, text)| (*at, column, line(text)))
    });
    let mut lines: Vec<_> = told.chain(said).collect();
    // Stable: lines of one machine at one time keep their order.
    lines.sort_by_key(|(at, _, _)| *at);

    let mut rows: Vec<Row> = Vec::new();
    for (at, column, line) in lines {
        let fits = |row: &Row| at - row.wall < SLICE && row.cells[column].len() < ROW_LINES;
        if !rows.last().is_some_and(fits) {
            rows.push(Row {
                id: format!("t{}", rows.len()),
                at: format!("{:.1}", at.as_secs_f64()),
                wall: at,
                cells: vec![Vec::new(); report.nodes.len() + 1],
            });
        }
        if let Some(row) = rows.last_mut() {
            row.cells[column].push(line);
        }
    }
    rows
}

/// One line about what the run as a whole does.
fn run_line(event: &Event) -> Option<String> {
    Some(match event {
        Event::StepStarted { number, name } => format!("step {number}: {name}"),
        Event::StepFinished { number, ending, .. } => format!("step {number} {ending}"),
        Event::Prepared { what, summary } => format!("{what}: {summary}"),
        Event::Note { text } => text.clone(),
        Event::Fault { text } => format!("fault: {text}"),
        Event::RunFinished { ending, .. } => format!("the run {ending}"),
        _ => return None,
    })
}

/// For every step, the row of the consoles at its beginning.
fn anchors(report: &Report, rows: &[Row]) -> BTreeMap<String, String> {
    let row = |at: Reading| {
        let next = rows.iter().rposition(|row| row.wall <= at.wall).unwrap_or_default();
        rows.get(next).map(|row| row.id.clone())
    };
    report.steps.iter().filter_map(|step| Some((step.number.clone(), row(step.at)?))).collect()
}

/// Something that took time, with its share of the longest.
#[derive(Serialize)]
struct Bar {
    name: String,
    wall_s: f64,
    guest_s: f64,
    /// Of the longest wall time in its table, in percent.
    wall: f64,
    guest: f64,
    class: &'static str,
}

/// Where the time went: steps, phases and waits.
fn spent(report: &Report) -> Value {
    let steps = report.steps.iter().filter(|step| !step.number.contains('.'));
    let mut steps: Vec<_> = steps
        .map(|step| (format!("{} {}", step.number, step.name), step.took, step.verdict.name()))
        .collect();
    steps.push(("outside of the steps".to_owned(), report.outside_steps, ""));
    let mut phases: Vec<_> = report
        .nodes
        .iter()
        .flat_map(|node| node.phases.iter().map(move |phase| (node, phase)))
        .filter(|(_, phase)| phase.name != "up")
        .map(|(node, phase)| (format!("{} ▸ {}", node.name, phase.name), phase.took, ""))
        .collect();
    phases.sort_by_key(|(_, took, _)| std::cmp::Reverse(took.wall));
    phases.truncate(LONGEST);
    let waits = report.waits.iter().take(LONGEST).map(|wait| {
        let (came, class) = if wait.reached { ("", "") } else { (" (did not come)", "failed") };
        (format!("{}: {}{came}", wait.node, wait.awaited), wait.took, class)
    });
    let nodes = report
        .nodes
        .iter()
        .map(|node| (node.name.clone(), Reading { wall: Duration::ZERO, guest: node.guest }, ""));
    let tables = [
        ("Steps", bars(steps)),
        ("Longest ways to a point of a boot", bars(phases)),
        ("Longest waits", bars(waits.collect())),
        ("Work of the machines", bars(nodes.collect())),
    ];
    let tables = tables.into_iter().filter(|(_, bars)| !bars.is_empty());
    tables.map(|(title, bars)| context! { title, bars => Value::from(Serde(bars)) }).collect()
}

fn bars(rows: Vec<(String, Reading, &'static str)>) -> Vec<Bar> {
    let longest = rows.iter().map(|(_, took, _)| took.wall.max(took.guest)).max();
    let longest = longest.unwrap_or_default().as_secs_f64().max(0.001);
    let bar = |(name, took, class): (String, Reading, _)| {
        let (wall_s, guest_s) = (took.wall.as_secs_f64(), took.guest.as_secs_f64());
        let share = |seconds: f64| (seconds / longest * 1000.0).round() / 10.0;
        Bar { name, wall_s, guest_s, wall: share(wall_s), guest: share(guest_s), class }
    };
    rows.into_iter().map(bar).collect()
}

#[cfg(test)]
mod tests;
