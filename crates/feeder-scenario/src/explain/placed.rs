//! The lines of a run by the step in which they came.

use std::collections::BTreeSet;

use super::line::Line;
use crate::{Ending, Event, Reading, Record};

/// A line with its place in a run.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub line: Line,
    /// Empty for what is about no machine.
    pub node: String,
    pub seq: u64,
    pub at: Reading,
}

/// A step's lines, or those between two steps.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// The step's sentence; empty before the first.
    pub step: String,
    /// Whether these lines came while the step was open.
    pub inside: bool,
    pub passed: bool,
    pub lines: Vec<Placed>,
}

impl Group {
    /// Lines about a node, in order.
    pub fn of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Placed> {
        self.lines.iter().filter(move |placed| placed.node == node)
    }

    /// The nodes that lines are about.
    pub fn nodes(&self) -> BTreeSet<&str> {
        self.lines.iter().map(|placed| placed.node.as_str()).collect()
    }
}

/// The groups of a run, in the order in which they began. A line comes once between two times that its machine gets power:
/// what is tried again until it works counts like what works at once.
pub(super) fn groups(records: &[Record]) -> Vec<Group> {
    let mut groups = vec![Group { passed: true, ..Group::default() }];
    let mut open: Vec<String> = Vec::new();
    let mut seen: BTreeSet<(usize, String, String, String)> = BTreeSet::new();
    for record in records {
        match &record.event {
            Event::StepStarted { name, .. } => {
                open.push(name.clone());
                find(&mut groups, name, true);
            }
            Event::StepFinished { name, ending, .. } => {
                open.pop();
                let at = find(&mut groups, name, true);
                groups[at].passed = *ending == Ending::Passed;
                if open.is_empty() {
                    let after = find(&mut groups, name, false);
                    groups[after].passed = true;
                }
            }
            _ => {}
        }
        let Some(line) = Line::of(record) else { continue };
        let group = match open.last() {
            Some(name) => find(&mut groups, name, true),
            None => groups.iter().rposition(|group| !group.inside).unwrap_or_default(),
        };
        let node = record.node.clone().unwrap_or_default();
        if matches!(record.event, Event::PowerOn { .. }) {
            seen.retain(|(_, known, ..)| *known != node);
        }
        if seen.insert((group, node.clone(), line.about.clone(), line.text.clone())) {
            groups[group].lines.push(Placed { line, node, seq: record.seq, at: record.at });
        }
    }
    groups
}

fn find(groups: &mut Vec<Group>, step: &str, inside: bool) -> usize {
    let known = groups.iter().rposition(|group| group.step == step && group.inside == inside);
    known.unwrap_or_else(|| {
        groups.push(Group { step: step.to_owned(), inside, ..Group::default() });
        groups.len() - 1
    })
}
