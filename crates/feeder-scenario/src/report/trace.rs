//! `trace.json`: a run in the Trace Event Format, which Perfetto and `chrome://tracing` show.

use serde_json::{Value, json};

use super::{NodeReport, Report};
use crate::{Event, Reading, Record};

/// The process that stands for the run as a whole; the machines follow.
const RUN: usize = 1;
/// Tracks of a process.
const BARS: usize = 1;
const MOMENTS: usize = 2;

impl Report {
    /// The run as a trace: a process for its steps and one per machine, with the phases of its boots, what was waited for on
    /// it, and its firmware's events as instants. Times are in microseconds of the wall clock since the run began.
    pub fn trace(&self, records: &[Record]) -> Value {
        let mut events = names(RUN, &self.scenario, &[(BARS, "steps"), (MOMENTS, "notes")]);
        for step in &self.steps {
            let name = format!("{} {}", step.number, step.name);
            let mut bar = bar(RUN, &name, "step", step.at, step.took);
            bar["args"]["verdict"] = json!(step.verdict);
            bar["args"]["summary"] = json!(step.summary);
            events.push(bar);
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let pid = RUN + 1 + index;
            events.extend(names(pid, &node.name, &[(BARS, "boot"), (MOMENTS, "firmware")]));
            events.extend(phases(pid, node));
        }
        events.extend(records.iter().flat_map(|record| self.record(record)));
        json!({
            "displayTimeUnit": "ms",
            "otherData": {
                "scenario": self.scenario,
                "started": self.started,
                "verdict": self.verdict,
                "versions": self.versions,
            },
            "traceEvents": events,
        })
    }

    /// What a record adds: a wait with both its ends, or a moment.
    fn record(&self, record: &Record) -> Vec<Value> {
        let place = |name: &String| self.nodes.iter().position(|node| node.name == *name);
        let pid = record.node.as_ref().and_then(place).map_or(RUN, |index| RUN + 1 + index);
        let at = micros(record.at.wall);
        match &record.event {
            Event::WaitEnded { awaited, reached, took, last_seen } => {
                let began = at.saturating_sub(micros(took.wall));
                // Waits of one machine may overlap, which only this kind of event may.
                let end = |phase, ts| {
                    json!({"ph": phase, "cat": "wait", "id": record.seq, "pid": pid, "tid": BARS,
                        "name": format!("wait: {awaited}"), "ts": ts})
                };
                let mut began = end("b", began);
                began["args"] = json!({"reached": reached, "guest_s": took.guest.as_secs_f64(),
                    "last_seen": last_seen});
                vec![began, end("e", at)]
            }
            Event::Firmware(firmware) => {
                vec![moment(pid, &firmware.to_string(), at, json!(firmware))]
            }
            Event::PowerOn { .. } | Event::PowerOff { .. } => {
                let line = record.event.boot_line().unwrap_or_default();
                vec![moment(pid, &line, at, json!({}))]
            }
            Event::Note { text } => vec![moment(pid, text, at, json!({}))],
            _ => Vec::new(),
        }
    }
}

fn phases(pid: usize, node: &NodeReport) -> impl Iterator<Item = Value> {
    node.phases.iter().map(move |phase| {
        let at = Reading { wall: phase.at, ..Reading::default() };
        bar(pid, &phase.name, "phase", at, phase.took)
    })
}

fn bar(pid: usize, name: &str, category: &str, at: Reading, took: Reading) -> Value {
    json!({"ph": "X", "cat": category, "pid": pid, "tid": BARS, "name": name,
        "ts": micros(at.wall), "dur": micros(took.wall),
        "args": {"guest_s": took.guest.as_secs_f64()}})
}

fn moment(pid: usize, name: &str, at: u64, args: Value) -> Value {
    json!({"ph": "i", "s": "t", "cat": "event", "pid": pid, "tid": MOMENTS, "name": name,
        "ts": at, "args": args})
}

/// What a process and its tracks are called. Processes are shown in the order of their numbers.
fn names(pid: usize, process: &str, tracks: &[(usize, &str)]) -> Vec<Value> {
    let mut events = vec![
        json!({"ph": "M", "pid": pid, "name": "process_name", "args": {"name": process}}),
        json!({"ph": "M", "pid": pid, "name": "process_sort_index", "args": {"sort_index": pid}}),
    ];
    events.extend(tracks.iter().map(|(tid, name)| {
        json!({"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}})
    }));
    events
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
