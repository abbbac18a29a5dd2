//! Plans and results as people read them.

use std::fmt;

use crate::{Change, HostPlan, Plan, Sign};

/// Column of the counts in a host's line.
const COUNTS: usize = 48;
/// Column of the changes.
const CHANGES: usize = 14;
/// Lines of one difference that are shown.
const DIFF: usize = 40;

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Change => "~",
            Self::Remove => "-",
            Self::Blocked => "!",
        })
    }
}

impl fmt::Display for Plan {
    /// All hosts, one below the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hosts.iter().try_for_each(|host| write!(f, "{host}"))
    }
}

impl fmt::Display for HostPlan {
    /// The host with its counts, then a line for every change. Ends in a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut title = self.host.clone();
        if !self.about.is_empty() {
            title.push_str(&format!(" ({})", self.about));
        }
        let counts = match (self.to_change(), self.as_wanted) {
            (0, wanted) => format!("nothing to change, {wanted} as wanted"),
            (changes, wanted) => format!("{changes} to change, {wanted} as wanted"),
        };
        writeln!(f, "{title:<width$}{counts}", width = COUNTS.max(title.chars().count() + 2))?;
        for step in &self.steps {
            let mut label = step.name.as_str();
            for change in &step.changes {
                if label.chars().count() >= CHANGES {
                    writeln!(f, "  {label}")?;
                    label = "";
                }
                writeln!(f, "  {label:CHANGES$}{} {}", change.sign, change.text)?;
                diff(f, change)?;
                label = "";
            }
        }
        Ok(())
    }
}

fn diff(f: &mut fmt::Formatter<'_>, change: &Change) -> fmt::Result {
    let Some(diff) = &change.diff else { return Ok(()) };
    let indent = " ".repeat(CHANGES + 6);
    for line in diff.lines().take(DIFF) {
        writeln!(f, "{indent}{line}")?;
    }
    match diff.lines().count().saturating_sub(DIFF) {
        0 => Ok(()),
        more => writeln!(f, "{indent}… {more} more lines"),
    }
}
