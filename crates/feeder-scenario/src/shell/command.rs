//! What is typed at the prompt, understood. Text in, a command or a correction out.

use super::Power;

/// Console lines and events that are shown when no number is given.
const SHOWN: usize = 20;

/// The verbs: how each is written, and what it does.
const VERBS: &[(&str, &str, &str)] = &[
    ("nodes", "nodes", "every node: its power, address, and port on this machine"),
    ("ssh", "ssh NODE [COMMAND...]", "log in to a node, or run a command there"),
    ("console", "console NODE", "a node's serial console, live; Ctrl-] comes back"),
    ("power", "power NODE on|off|cut|cycle", "off presses the button, cut pulls the plug"),
    ("qemu", "qemu NODE", "the command that starts the node by hand"),
    ("log", "log NODE [LINES]", "the last lines of a node's console"),
    ("events", "events [NODE] [COUNT]", "what happened last"),
    ("step", "step", "play one step"),
    ("continue", "continue [STEP]", "play on: until that step, or to the end"),
    ("quit", "quit", "end the run here; Ctrl-C does the same"),
    ("help", "help", "this list"),
];

/// Something to do at the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Nodes,
    Ssh { node: String, command: Option<String> },
    Console { node: String },
    Power { node: String, what: Power },
    Qemu { node: String },
    Log { node: String, lines: usize },
    Events { node: Option<String>, count: usize },
    Step,
    Continue { until: Option<String> },
    Quit,
}

/// What was typed makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misunderstood {
    #[error("there is no command {said}{}", or_else(.meant, "help lists them"))]
    Verb { said: String, meant: Option<String> },
    #[error("there is no node {said}{}", or_else(.meant, "nodes lists them"))]
    Node { said: String, meant: Option<String> },
    #[error("usage: {0}")]
    Usage(&'static str),
}

fn or_else(meant: &Option<String>, otherwise: &str) -> String {
    match meant {
        Some(name) => format!("; did you mean {name}?"),
        None => format!("; {otherwise}"),
    }
}

/// The list of verbs, and how the prompt is left.
pub(crate) fn help() -> String {
    let mut text = String::new();
    for (_, usage, about) in VERBS {
        text.push_str(&format!("  {usage:<28} {about}\n"));
    }
    text.push_str(
        "The end of input (Ctrl-D) closes the prompt for good: the scenario plays on without it.",
    );
    text
}

/// Understands a line; `None` for an empty one. A verb may be shortened as long as it stays clear.
pub(crate) fn parse(line: &str, nodes: &[String]) -> Result<Option<Command>, Misunderstood> {
    let line = line.trim();
    let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if verb.is_empty() {
        return Ok(None);
    }
    let (verb, usage) = verb_of(verb)?;
    let rest = rest.trim();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let wrong = Err(Misunderstood::Usage(usage));
    Ok(Some(match (verb, &*words) {
        ("nodes", []) => Command::Nodes,
        ("ssh", [node, ..]) => {
            let command = rest[node.len()..].trim();
            let command = (!command.is_empty()).then(|| command.to_owned());
            Command::Ssh { node: node_of(node, nodes)?, command }
        }
        ("console", [node]) => Command::Console { node: node_of(node, nodes)? },
        ("power", [node, what]) => {
            let Some(what) = Power::named(what) else { return wrong };
            Command::Power { node: node_of(node, nodes)?, what }
        }
        ("qemu", [node]) => Command::Qemu { node: node_of(node, nodes)? },
        ("log", [node]) => Command::Log { node: node_of(node, nodes)?, lines: SHOWN },
        ("log", [node, lines]) => {
            let Ok(lines) = lines.parse() else { return wrong };
            Command::Log { node: node_of(node, nodes)?, lines }
        }
        ("events", []) => Command::Events { node: None, count: SHOWN },
        ("events", [word]) => match word.parse() {
            Ok(count) => Command::Events { node: None, count },
            Err(_) => Command::Events { node: Some(node_of(word, nodes)?), count: SHOWN },
        },
        ("events", [node, count]) => {
            let Ok(count) = count.parse() else { return wrong };
            Command::Events { node: Some(node_of(node, nodes)?), count }
        }
        ("step", []) => Command::Step,
        ("continue", []) => Command::Continue { until: None },
        ("continue", _) => Command::Continue { until: Some(rest.to_owned()) },
        ("quit", []) => Command::Quit,
        ("help", _) => Command::Help,
        _ => return wrong,
    }))
}

fn verb_of(said: &str) -> Result<(&'static str, &'static str), Misunderstood> {
    let mut like = VERBS.iter().filter(|(verb, ..)| verb.starts_with(said));
    match (VERBS.iter().find(|(verb, ..)| *verb == said), like.next(), like.next()) {
        (Some((verb, usage, _)), ..) | (None, Some((verb, usage, _)), None) => Ok((verb, usage)),
        _ => {
            let verbs = VERBS.iter().map(|(verb, ..)| *verb);
            Err(Misunderstood::Verb { said: said.to_owned(), meant: nearest(said, verbs) })
        }
    }
}

fn node_of(said: &str, nodes: &[String]) -> Result<String, Misunderstood> {
    if nodes.iter().any(|node| node == said) {
        return Ok(said.to_owned());
    }
    let meant = nearest(said, nodes.iter().map(String::as_str));
    Err(Misunderstood::Node { said: said.to_owned(), meant })
}

/// The most similar name, if one is similar enough to have been meant.
fn nearest<'a>(said: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .map(|name| (strsim::jaro_winkler(said, name), name))
        .filter(|(similar, _)| *similar > 0.75)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes() -> Vec<String> {
        ["cluster00", "cluster01"].map(str::to_owned).into()
    }

    #[test]
    fn lines_are_understood_or_corrected() {
        let mut text = String::new();
        for line in [
            "",
            "  ",
            "nodes",
            "n",
            "ssh cluster01",
            "ssh cluster01  cat  '/etc/a b'  ",
            "ssh",
            "ssh cluster1 ls",
            "console cluster00",
            "power cluster01 cycle",
            "power cluster01 up",
            "power cluster01",
            "qemu cluster01",
            "log cluster00",
            "log cluster00 5",
            "log cluster00 five",
            "events",
            "events 3",
            "events cluster00",
            "events cluster00 3",
            "events nobody",
            "step",
            "s",
            "continue",
            "cont",
            "c",
            "continue the worker netboots",
            "quit",
            "quti",
            "nodse",
            "xyzzy",
            "help me",
        ] {
            let understood = match parse(line, &nodes()) {
                Ok(command) => format!("{command:?}"),
                Err(error) => error.to_string(),
            };
            text.push_str(&format!("{line:?}\n    {understood}\n"));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_help_names_every_verb() {
        insta::assert_snapshot!(help());
    }

    proptest! {
        #[test]
        fn no_line_breaks_it(line in "\\PC*") {
            // Whatever it is, it is a command, nothing, or a correction of one line.
            if let Err(error) = parse(&line, &nodes()) {
                prop_assert!(!error.to_string().is_empty());
            }
        }

        #[test]
        fn a_remote_command_keeps_its_inner_blanks(command in "[a-z]+( +[a-z']+)*") {
            let parsed = parse(&format!("ssh cluster01 {command}"), &nodes());
            let wanted = Command::Ssh { node: "cluster01".into(), command: Some(command) };
            prop_assert_eq!(parsed, Ok(Some(wanted)));
        }
    }
}
