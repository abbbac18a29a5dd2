//! The green runs of a scenario, among the evidence.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::{Ending, Record};

/// With how many a run is compared.
const ENOUGH: usize = 3;

pub(super) struct Green {
    pub started: String,
    pub records: Vec<Record>,
}

/// What is needed of `report.json`; a report of another version may differ in everything else.
#[derive(Deserialize)]
struct Told {
    verdict: Ending,
    started: String,
}

/// The newest green runs in a directory of runs, the newest first. What cannot be read is no green run, nor is one that has
/// no report yet.
pub(super) fn among(runs: &Utf8Path) -> Vec<Green> {
    let Ok(entries) = runs.read_dir_utf8() else { return Vec::new() };
    let mut dirs: Vec<Utf8PathBuf> = entries
        .filter_map(Result::ok)
        // `latest` is a link to one of them.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path().to_owned())
        .collect();
    // Their names begin with the time.
    dirs.sort_unstable_by(|a, b| b.cmp(a));
    dirs.iter().filter_map(|dir| read(dir)).take(ENOUGH).collect()
}

fn read(dir: &Utf8Path) -> Option<Green> {
    let report = fs_err::read(dir.join("report.json")).ok()?;
    let Told { verdict, started } = serde_json::from_slice(&report).ok()?;
    if verdict != Ending::Passed {
        return None;
    }
    let events = fs_err::read_to_string(dir.join("events.jsonl")).ok()?;
    // An event that another version wrote and this one does not know is passed over.
    let records: Vec<Record> =
        events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (!records.is_empty()).then_some(Green { started, records })
}
