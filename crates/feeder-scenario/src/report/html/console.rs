//! The machines' consoles, lined up with the run.
//!
//! A `console.timed.log` counts seconds from when the console was opened, and begins anew with every power-on. The kernel's
//! first line is in the journal too: where both have it, it says what time it was.

use std::{collections::BTreeMap, time::Duration};

use crate::{Event, Firmware, Record};

/// The line that the journal knows as the milestone `kernel`.
const KERNEL: &str = "Booting Linux on physical CPU";
/// Lines of a console that the page shows: those at the beginning, and those at the end.
const HEAD: usize = 1000;
const TAIL: usize = 3000;
/// A console line that is longer is cut: the whole one is in the log.
const LONGEST: usize = 1000;

/// What a machine said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Console {
    /// Its lines in order, with the run's wall clock.
    pub lines: Vec<(Duration, String)>,
    /// Lines between the beginning and the end that are left out.
    pub left_out: usize,
}

impl Console {
    /// Reads the text of a `console.timed.log` of a node.
    pub fn parse(text: &str, node: &str, records: &[Record]) -> Self {
        let mut lines = text.lines().filter_map(timed).collect::<Vec<_>>();
        let mut starts = Starts::of(node, records);
        for opened in split(&lines) {
            let booting = lines[opened.clone()].iter().find(|(_, text)| text.contains(KERNEL));
            let offset = starts.next(booting.map(|(at, _)| *at));
            for (at, _) in &mut lines[opened] {
                *at = at.saturating_add(offset.forward).saturating_sub(offset.back);
            }
        }
        let left_out = lines.len().saturating_sub(HEAD + TAIL);
        if left_out > 0 {
            lines.drain(HEAD..HEAD + left_out);
        }
        let cut = |(at, text): (Duration, &str)| (at, text.chars().take(LONGEST).collect());
        Self { lines: lines.into_iter().map(cut).collect(), left_out }
    }
}

/// `[   12.345] text`; the second half of a line that was broken is lost.
fn timed(line: &str) -> Option<(Duration, &str)> {
    let (at, text) = line.strip_prefix('[')?.split_once("] ").or_else(|| {
        let (at, _) = line.strip_prefix('[')?.split_once(']')?;
        Some((at, ""))
    })?;
    let at = Duration::try_from_secs_f64(at.trim().parse().ok()?).ok()?;
    Some((at, text))
}

/// The stretches of one opening each: time goes back between them, or another kernel starts.
fn split(lines: &[(Duration, &str)]) -> Vec<std::ops::Range<usize>> {
    let mut stretches = Vec::new();
    let (mut from, mut booted) = (0, false);
    for (index, (at, text)) in lines.iter().enumerate() {
        let kernel = text.contains(KERNEL);
        if index > from && (*at < lines[index - 1].0 || (kernel && booted)) {
            stretches.push(from..index);
            (from, booted) = (index, false);
        }
        booted |= kernel;
    }
    if from < lines.len() {
        stretches.push(from..lines.len());
    }
    stretches
}

/// How far the run's clock is ahead of a console's, or behind it.
struct Offset {
    forward: Duration,
    back: Duration,
}

/// When the machine was started, as the journal has it.
struct Starts {
    kernels: std::vec::IntoIter<Duration>,
    /// Each with whether its kernel is in the journal.
    powers: std::vec::IntoIter<Duration>,
    last: Duration,
}

impl Starts {
    fn of(node: &str, records: &[Record]) -> Self {
        let mut kernels = Vec::new();
        let mut powers: Vec<Duration> = Vec::new();
        let (mut on, mut resuming) = (false, false);
        for record in records {
            // A machine that goes on from an earlier run has a new console, which begins when the run is its own again.
            if resuming && !record.reused {
                powers.extend(on.then_some(record.at.wall));
            }
            resuming = record.reused;
            if record.node.as_deref() != Some(node) {
                continue;
            }
            match &record.event {
                Event::PowerOn { .. } => on = true,
                Event::PowerOff { .. } => on = false,
                _ => {}
            }
            if record.reused {
                continue;
            }
            match &record.event {
                Event::PowerOn { .. } => powers.push(record.at.wall),
                // The console is opened when the firmware is done.
                Event::Firmware(Firmware::Starts { .. }) => {
                    if let Some(power) = powers.last_mut() {
                        *power = record.at.wall;
                    }
                }
                Event::Milestone { name, .. } if name == "kernel" => kernels.push(record.at.wall),
                _ => {}
            }
        }
        Self { kernels: kernels.into_iter(), powers: powers.into_iter(), last: Duration::ZERO }
    }

    /// For the next stretch, whose kernel said its first line at a time of its own.
    fn next(&mut self, kernel: Option<Duration>) -> Offset {
        if let Some(own) = kernel
            && let Some(at) = self.kernels.next()
        {
            // The power that this kernel came from is used up, and so are those before.
            let passed = self.powers.as_slice().iter().filter(|power| **power <= at).count();
            self.powers.by_ref().take(passed).for_each(drop);
            self.last = at;
            return Offset { forward: at, back: own };
        }
        self.last = self.powers.next().unwrap_or(self.last);
        Offset { forward: self.last, back: Duration::ZERO }
    }
}

/// Reads the consoles of all nodes; a node without one has none.
pub(super) fn all<'a>(
    nodes: impl Iterator<Item = &'a str>,
    records: &[Record],
    read: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, Console> {
    nodes
        .filter_map(|node| Some((node.to_owned(), Console::parse(&read(node)?, node, records))))
        .collect()
}
