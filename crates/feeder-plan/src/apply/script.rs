//! The script that applies a step, and the lines by which it tells how far it is.

use std::fmt::Write;

use feeder_process::quote;

use super::body;
use crate::{
    Id, NotifyAction, Resource, StepPlan,
    plan::{Action, Change},
};

/// Begins a line of ours: ASCII's record separator.
const MARK: char = '\u{1e}';

/// What is done in one go.
#[derive(Debug)]
pub(super) struct Op {
    /// Indices of the changes it makes; none when it is a restart that was not foreseen.
    pub(super) changes: Vec<usize>,
    /// Done only when this is owed.
    pub(super) only_if: Option<String>,
    pub(super) body: String,
}

impl Op {
    /// What it changes, for people.
    pub(super) fn describe(&self, step: &StepPlan) -> String {
        let texts: Vec<&str> =
            self.changes.iter().map(|&change| step.changes[change].text.as_str()).collect();
        if texts.is_empty() { self.only_if.clone().unwrap_or_default() } else { texts.join(", ") }
    }
}

/// The step's changes in order, its packages together, and last whatever it may owe.
pub(super) fn ops(step: &StepPlan) -> Vec<Op> {
    let mut ops = Vec::new();
    let packages: Vec<(usize, &str)> = step
        .changes
        .iter()
        .enumerate()
        .filter_map(|(n, change)| match &change.action {
            Action::Resource(Resource::Package(name)) => Some((n, name.as_str())),
            _ => None,
        })
        .collect();
    for (n, change) in step.changes.iter().enumerate() {
        match &change.action {
            Action::Resource(Resource::Package(_)) => {
                if packages.first().is_some_and(|&(first, _)| first == n) {
                    let names: Vec<&str> = packages.iter().map(|&(_, name)| name).collect();
                    let owes = packages.iter().flat_map(|&(n, _)| &step.changes[n].owes);
                    let body = owing(owes) + &body::packages(&names);
                    let changes = packages.iter().map(|&(n, _)| n).collect();
                    ops.push(Op { changes, only_if: None, body });
                }
            }
            Action::Notify(_) => {}
            action => {
                let body = owing(&change.owes) + &body::change(action);
                ops.push(Op { changes: vec![n], only_if: None, body });
            }
        }
    }
    for action in &step.notify {
        ops.push(notification(step, action));
    }
    ops
}

fn notification(step: &StepPlan, action: &NotifyAction) -> Op {
    let id = Id(action.key());
    let foreseen = |change: &Change| matches!(change.action, Action::Notify(_)) && change.id == id;
    let changes = step.changes.iter().position(foreseen).into_iter().collect();
    let body = format!("{}\npaid {}", body::notify(action), quote(&id.0));
    Op { changes, only_if: Some(id.0), body }
}

/// Notes what is owed, before the change is made.
fn owing<'a>(owes: impl IntoIterator<Item = &'a String>) -> String {
    let mut lines: Vec<String> =
        owes.into_iter().map(|owed| format!(": >\"$run/pending/\"{}\n", quote(owed))).collect();
    lines.sort();
    lines.dedup();
    lines.concat()
}

const PRELUDE: &str = r#"umask 022
run=${FEEDER_RUN:-/run/feeder}
[ -d "$run/pending" ] || mkdir -p "$run/pending" || exit
exec 9>"$run/lock" || exit
mark() { printf '\036%s\n' "$*"; }
flock -w 10 9 || { mark busy; exit 0; }
paid() { for p; do [ ! -e "$run/pending/$p" ] || rm -f "$run/pending/$p"; done; }
units_reload() {
  [ -e "$run/pending/daemon-reload" ] || return 0
  systemctl daemon-reload
  paid daemon-reload
}
look() { systemctl status --no-pager --full --lines 20 "$1" || :; exit 1; }
result() { [ "$2" = 0 ] || { mark failed "$1" "$2"; exit 0; }; mark done "$1"; }
"#;

/// The script. It exits with 0 whatever happens and says by marks what did.
///
/// Each change runs in a subshell of its own with `set -e`: neither `exit` nor a syntax error in one reaches the
/// others. The lock is not inherited by what they start.
pub(super) fn script(step: &StepPlan, ops: &[Op]) -> String {
    let mut script = String::from(PRELUDE);
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(script, "{text}");
    };
    line(format_args!("# step {}", step.name.escape_default()));
    for (n, op) in ops.iter().enumerate() {
        if let Some(owed) = &op.only_if {
            line(format_args!("if [ -e \"$run/pending/\"{} ]; then", quote(owed)));
        }
        line(format_args!(
            "mark begin {n}\n(\nset -e\n{}\n) 2>&1 9>&-\nresult {n} $?",
            op.body.trim_end()
        ));
        if op.only_if.is_some() {
            line(format_args!("fi"));
        }
    }
    // What the units are read from may have changed without a unit in this step.
    line(format_args!("( set -e; units_reload ) 2>&1 9>&- || exit\nmark end"));
    script
}

/// What the script says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Begin(usize),
    Done(usize),
    Failed(usize, i32),
    Busy,
    End,
}

impl Mark {
    /// A line of the script, if it is one of ours; `ops` is how many there are.
    pub(super) fn parse(line: &str, ops: usize) -> Option<Self> {
        let mut words = line.strip_prefix(MARK)?.split(' ');
        let word = words.next()?;
        let mut op = || words.next()?.parse().ok().filter(|&op: &usize| op < ops);
        let mark = match word {
            "begin" => Self::Begin(op()?),
            "done" => Self::Done(op()?),
            "failed" => Self::Failed(op()?, words.next()?.parse().ok()?),
            "busy" => Self::Busy,
            "end" => Self::End,
            _ => return None,
        };
        words.next().is_none().then_some(mark)
    }
}
