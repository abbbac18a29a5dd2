//! Faults in words.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::{Direction, Fault, FaultCounts, FaultId, FaultKind, Place, Probability, Traffic};

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.only {
            Traffic::All => "",
            Traffic::Tftp => " of TFTP",
            Traffic::Http => " of HTTP",
        };
        write!(f, "{}{of}", self.kind)?;
        match &self.on {
            Place::Links(nodes) => {
                let node = if nodes.len() == 1 { "node" } else { "nodes" };
                write!(f, " on {}", list(nodes))?;
                match self.direction {
                    Direction::Both => f.write_str(", both directions"),
                    Direction::FromNode => write!(f, ", from the {node}"),
                    Direction::ToNode => write!(f, ", to the {node}"),
                }?;
            }
            Place::Between { these, those } => {
                let these = list(these);
                let those = those.as_ref().map_or_else(|| "all others".to_owned(), list);
                match self.direction {
                    Direction::Both => write!(f, " between {these} and {those}"),
                    Direction::FromNode => write!(f, " from {these} to {those}"),
                    Direction::ToNode => write!(f, " from {those} to {these}"),
                }?;
            }
        }
        match self.lasts {
            Some(time) => write!(f, ", for {}", span(time)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::Loss(often) => write!(f, "{often} loss"),
            FaultKind::Delay(by) => write!(f, "{} delay", span(*by)),
            FaultKind::Jitter(max) => write!(f, "up to {} jitter", span(*max)),
            FaultKind::Duplicate(often) => write!(f, "{often} duplication"),
            FaultKind::Reorder { probability, by } => {
                write!(f, "{probability} reordering by {}", span(*by))
            }
            FaultKind::Corrupt(often) => write!(f, "{often} corruption"),
            FaultKind::Cut => f.write_str("cut"),
        }
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Shortest form of the number: 5, 0.5, 0.0001.
        write!(f, "{} %", f64::from(self.0) / 1e4)
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {}", self.0)
    }
}

/// "3 of 70 frames lost, 2 delayed".
impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FaultCounts { met, lost, delayed, duplicated, corrupted } = *self;
        let done = [
            (lost, "lost"),
            (delayed, "delayed"),
            (duplicated, "duplicated"),
            (corrupted, "corrupted"),
        ];
        let done: Vec<String> = done
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let done = if done.is_empty() { "nothing done".to_owned() } else { done.join(", ") };
        write!(f, "{done}, of {met} frames")
    }
}

/// "a", "a and b", "a, b and c".
fn list(nodes: &BTreeSet<String>) -> String {
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    match &nodes[..] {
        [] => "nothing".to_owned(),
        [node] => (*node).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// "60 s", "1.5 s", "20 ms", "0.25 ms".
pub(super) fn span(time: Duration) -> String {
    if time >= Duration::from_secs(1) {
        format!("{} s", time.as_millis() as f64 / 1e3)
    } else {
        format!("{} ms", time.as_micros() as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_say_what_they_do() {
        let ms = Duration::from_millis;
        let p = Probability::percent(1);
        let half = Probability::new(0.005).expect("a probability");
        let those = || Some(BTreeSet::from(["c".to_owned(), "d".to_owned(), "e".to_owned()]));
        let between = |those| Place::Between { these: BTreeSet::from(["a".to_owned()]), those };
        let faults = [
            Fault::loss("a", half).lasting(ms(1500)),
            Fault::delay("a", ms(20)).to_node(),
            Fault::on("a", FaultKind::Jitter(Duration::from_micros(2500))),
            Fault::on("a", FaultKind::Duplicate(p)),
            Fault::on("a", FaultKind::Reorder { probability: p, by: ms(5) }),
            Fault::on("a", FaultKind::Corrupt(p)).only(Traffic::Tftp).from_node(),
            Fault::cut("a").lasting(Duration::from_secs(60)),
            Fault::partition(["b", "a"]),
            Fault::at(between(those()), FaultKind::Loss(p)).from_node(),
            Fault::at(between(None), FaultKind::Delay(ms(1000))).to_node(),
        ];
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "0.5 % loss on a, both directions, for 1.5 s",
                "20 ms delay on a, to the node",
                "up to 2.5 ms jitter on a, both directions",
                "1 % duplication on a, both directions",
                "1 % reordering by 5 ms on a, both directions",
                "1 % corruption of TFTP on a, from the node",
                "cut on a, both directions, for 60 s",
                "cut between a and b and all others",
                "1 % loss from a to c, d and e",
                "1 s delay from all others to a",
            ]
        );
        for fault in faults {
            fault.check().expect("sound");
            let json = serde_json::to_string(&fault).expect("to JSON");
            assert_eq!(serde_json::from_str::<Fault>(&json).expect("from JSON"), fault, "{json}");
        }
    }

    #[test]
    fn scripts_may_leave_out_what_is_usual() {
        let json = r#"{"kind":{"loss":0.05},"on":{"links":["a"]}}"#;
        let fault: Fault = serde_json::from_str(json).expect("a fault");
        assert_eq!(fault, Fault::loss("a", Probability::percent(5)));
        let json = r#"{"kind":{"loss":1.5},"on":{"links":["a"]}}"#;
        let error = serde_json::from_str::<Fault>(json).expect_err("more than certain").to_string();
        assert!(error.contains("1.5 is no probability"), "{error}");
        assert_eq!(Probability::new(f64::NAN), None);
    }

    #[test]
    fn impossible_faults_are_refused() {
        let why = |fault: Fault| fault.check().expect_err("impossible").to_string();
        assert!(why(Fault::partition::<String>([])).contains("names no node"));
        assert!(why(Fault::cut("a").lasting(Duration::ZERO)).contains("ends as it begins"));
        assert!(why(Fault::cut("../a")).contains("../a"));
        let a = || BTreeSet::from(["a".to_owned()]);
        let place = Place::Between { these: a(), those: Some(a()) };
        assert!(why(Fault::at(place, FaultKind::Cut)).contains("both groups"));
        Fault::cut("router").check().expect("the router has a cable too");
    }
}
