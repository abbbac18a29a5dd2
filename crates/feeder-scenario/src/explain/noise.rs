//! What differs between green runs, and therefore explains nothing.

use super::{align::Change, placed::Group};

/// Green runs, the newest first.
pub(super) struct Greens(pub Vec<Vec<Group>>);

impl Greens {
    /// The newest telling of a step. A run that began from a snapshot tells nothing of the steps before it.
    pub fn reference(&self, of: &Group) -> Option<&Group> {
        self.0.iter().flatten().find(|group| tells(group, of))
    }

    fn tellings<'a>(&'a self, of: &'a Group) -> impl Iterator<Item = &'a Group> {
        self.0.iter().flatten().filter(move |group| tells(group, of))
    }

    /// Whether some green run was the same in this, or green runs are not of one mind about it.
    pub fn know(&self, group: &Group, change: &Change<'_>) -> bool {
        let node = change.node();
        match (change.then, change.now) {
            (Some(then), None) => {
                !self.tellings(group).all(|g| g.of(node).any(|p| p.line == then.line))
            }
            (then, Some(now)) => {
                let known = |g: &Group| g.of(node).any(|placed| placed.line == now.line);
                // Ordinary words that differ from run to run may differ in one more way.
                let varies = then.is_some_and(|then| {
                    now.line.missing.is_some()
                        && !self.tellings(group).all(|g| g.of(node).any(|p| p.line == then.line))
                });
                varies || self.tellings(group).any(known)
            }
            (None, None) => true,
        }
    }
}

/// Whether a group has something to say about the same step.
fn tells(group: &Group, of: &Group) -> bool {
    group.step == of.step && group.inside == of.inside && !group.lines.is_empty()
}
