//! One line about an event, for somebody who looks while it happens.

use feeder_ui::elapsed;

use crate::{Event, Record};

/// `12 s  cluster01  took the OFFER of 192.168.10.100: …`
pub(crate) fn line(record: &Record) -> String {
    let at = elapsed(record.at.wall);
    let node = record.node.as_deref().unwrap_or_default();
    format!("{at:>12}  {node:<11} {}", text(&record.event)).trim_end().to_owned()
}

fn text(event: &Event) -> String {
    match event {
        Event::StepStarted { number, name } => format!("step {number} begins: {name}"),
        Event::StepFinished { number, ending, .. } => format!("step {number} {ending}"),
        Event::WaitStarted { awaited, .. } => format!("waits for {awaited}"),
        Event::WaitEnded { awaited, reached: true, .. } => format!("{awaited} came"),
        Event::WaitEnded { awaited, reached: false, .. } => format!("{awaited} did not come"),
        Event::Prepared { what, summary } => format!("{what}: {summary}"),
        Event::Note { text } => text.clone(),
        Event::Fault { text } => format!("fault: {text}"),
        Event::Wire(wire) => wire.to_string(),
        Event::Provision(change) => format!("{}: {}", change.resource, change.change),
        other => other.boot_line().unwrap_or_else(|| {
            // Rare ones, as they are in events.jsonl.
            serde_json::to_string(other).unwrap_or_default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use crate::report::samples;

    #[test]
    fn a_run_as_lines() {
        let records = samples::failed_run();
        let lines: Vec<String> = records.iter().map(super::line).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
