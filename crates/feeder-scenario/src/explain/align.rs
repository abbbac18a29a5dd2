//! Two runs of one step beside each other, node by node.

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::{
    line::Weight,
    placed::{Group, Placed},
};

/// What is in one run and not in the other.
#[derive(Debug, Clone)]
pub(super) struct Change<'a> {
    pub then: Option<&'a Placed>,
    pub now: Option<&'a Placed>,
    /// Where in this run it is, or would be: behind everything when nothing of its node followed.
    pub seq: u64,
}

impl Change<'_> {
    /// What it explains; `None` when it explains nothing.
    pub fn weight(&self) -> Option<Weight> {
        match (self.then, self.now) {
            (Some(then), Some(now)) => Some(now.line.extra.min(then.line.extra)),
            (None, Some(now)) => Some(now.line.extra),
            (Some(then), None) => then.line.missing,
            (None, None) => None,
        }
    }

    pub fn node(&self) -> &str {
        self.now.or(self.then).map_or("", |placed| placed.node.as_str())
    }
}

/// What differs between a step and the same step of a green run. What only moved does not: units start in any order.
pub(super) fn changes<'a>(then: &'a Group, now: &'a Group) -> Vec<Change<'a>> {
    let nodes = &then.nodes() | &now.nodes();
    nodes.into_iter().flat_map(|node| of_node(then, now, node)).collect()
}

fn of_node<'a>(then: &'a Group, now: &'a Group, node: &'a str) -> Vec<Change<'a>> {
    let (old, new): (Vec<_>, Vec<_>) = (then.of(node).collect(), now.of(node).collect());
    let texts = |placed: &[&'a Placed]| -> Vec<(&'a str, &'a str)> {
        placed.iter().map(|p| (p.line.about.as_str(), p.line.text.as_str())).collect()
    };
    let ops = capture_diff_slices(Algorithm::Patience, &texts(&old), &texts(&new));
    let seq = |index: usize| new.get(index).map_or(u64::MAX, |placed| placed.seq);
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for op in ops {
        if let DiffOp::Equal { .. } = op {
            continue;
        }
        let at = seq(op.new_range().start);
        gone.extend(old[op.old_range()].iter().map(|placed| (*placed, at)));
        come.extend(new[op.new_range()].iter().copied());
    }
    // What moved, first: a line that came, and came before, is no part of a pair.
    gone.retain(|(then, _)| {
        let moved = come.iter().position(|now: &&Placed| now.line == then.line);
        moved.map(|at| come.remove(at)).is_none()
    });
    let mut changes = Vec::new();
    for now in come {
        let before = gone.iter().position(|(then, _)| then.line.about == now.line.about);
        let then = before.map(|at| gone.remove(at).0);
        changes.push(Change { then, now: Some(now), seq: now.seq });
    }
    changes.extend(gone.into_iter().map(|(then, seq)| Change { then: Some(then), now: None, seq }));
    changes
}
