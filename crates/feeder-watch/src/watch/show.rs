//! Snapshots for people.

use super::{
    look::Member,
    snapshot::{NodeState, Snapshot, ago},
};

/// A snapshot as a table; ends with a line's end.
#[must_use]
pub fn table(snapshot: &Snapshot) -> String {
    // Without a swarm nodes have no engine to be told of. The column is there above all when the managers say nothing.
    let swarm = snapshot.nodes.iter().any(|node| node.engine.is_some() || node.swarm.is_some());
    let mut head = vec!["NODE", "STATE", "SINCE", "LAST SIGN"];
    if swarm {
        head.extend(["ENGINE", "SWARM", "ROLE", "AVAILABILITY", "TASKS"]);
    }
    let mut rows = vec![head.into_iter().map(str::to_owned).collect()];
    rows.extend(snapshot.nodes.iter().map(|node| row(node, swarm)));
    let mut text = crate::table::columns(&rows);
    for (names, hint) in hints(snapshot) {
        text.push_str(&wrapped(&format!("{}: {hint}", names.join(", "))));
    }
    text.extend(snapshot.swarm_error.iter().map(|why| wrapped(&format!("swarm: {why}"))));
    text
}

/// Each hint once, with those that it is for.
fn hints(snapshot: &Snapshot) -> Vec<(Vec<&str>, &str)> {
    let mut hints: Vec<(Vec<&str>, &str)> = Vec::new();
    for node in &snapshot.nodes {
        let Some(hint) = node.hint.as_deref() else { continue };
        match hints.iter_mut().find(|(_, known)| *known == hint) {
            Some((names, _)) => names.push(&node.name),
            None => hints.push((vec![&node.name], hint)),
        }
    }
    hints
}

/// Text in lines that fit a terminal, those behind the first one indented.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 80;
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            lines.push_str("\n  ");
            column = 2;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines + "\n"
}

fn row(node: &NodeState, swarm: bool) -> Vec<String> {
    let mut row = vec![
        node.name.clone(),
        node.text.clone(),
        ago(node.since_seconds),
        ago(node.last_sign_seconds),
    ];
    if swarm {
        row.push(node.engine.clone().unwrap_or_else(|| "-".to_owned()));
        match &node.swarm {
            Some(member) => row.extend([
                member.state.clone(),
                member.role.clone(),
                member.availability.clone(),
                member.tasks.to_string(),
            ]),
            None => row.extend(["-"; 4].map(str::to_owned)),
        }
    }
    row
}

/// A line for each node whose state is another one than before, where a table cannot be drawn anew.
/// Empty when nothing but ages differs.
#[must_use]
pub fn changed(before: Option<&Snapshot>, now: &Snapshot) -> Vec<String> {
    let was = |name: &str| before?.nodes.iter().find(|node| node.name == name);
    let width = now.nodes.iter().map(|node| node.name.len()).max().unwrap_or_default();
    let mut lines = Vec::new();
    for node in &now.nodes {
        let old = was(&node.name);
        // Tasks come and go, and are none of the state.
        let state = |node: &NodeState| {
            let swarm = node.swarm.clone().map(|member| Member { tasks: 0, ..member });
            (node.text.clone(), node.engine.clone(), swarm)
        };
        if old.map(state) != Some(state(node)) {
            let swarm = node.swarm.as_ref().map_or_else(String::new, |member| {
                format!(", {} {} of the swarm, {}", member.state, member.role, member.availability)
            });
            let engine = node.engine.as_ref().filter(|engine| *engine != "active");
            let engine =
                engine.map_or_else(String::new, |engine| format!(", its engine is {engine}"));
            lines.push(format!("{:<width$}  {}{engine}{swarm}", node.name, node.text));
        }
        if old.and_then(|old| old.hint.as_ref()) != node.hint.as_ref() {
            lines.extend(
                node.hint.iter().map(|hint| format!("{:<width$}  hint: {hint}", node.name)),
            );
        }
    }
    let trouble = |snapshot: &Snapshot| snapshot.swarm_error.clone();
    if before.and_then(trouble) != trouble(now) {
        let said = now.swarm_error.as_deref().unwrap_or("its managers answer");
        lines.push(format!("swarm: {said}"));
    }
    lines
}
