//! What each machine spent its time with, from point to point.

use std::{collections::BTreeMap, time::Duration};

use super::{NodeReport, Phase};
use crate::{Event, Reading, Record, chain::Point};

/// The machines in the order in which they first appear.
pub(super) fn nodes(records: &[Record], end: Reading) -> Vec<NodeReport> {
    let mut order: Vec<&str> = Vec::new();
    let mut nodes: BTreeMap<&str, Walk> = BTreeMap::new();
    for record in records {
        let Some(node) = record.node.as_deref() else { continue };
        // Being on the LAN is no sign of life.
        if matches!(record.event, Event::Member { .. }) {
            continue;
        }
        let walk = nodes.entry(node).or_insert_with(|| {
            order.push(node);
            Walk::default()
        });
        // A machine's clock begins with its processor; its firmware has none.
        walk.guest = record.node_guest_s.unwrap_or(walk.guest);
        if let Some(point) = Point::of(&record.event) {
            walk.step(point, Reading { wall: record.at.wall, guest: walk.guest });
        }
    }
    let report = |name: &str| {
        let mut walk = nodes.remove(name)?;
        walk.finish(end.wall);
        Some(NodeReport { name: name.to_owned(), guest: walk.guest, phases: walk.phases })
    };
    order.into_iter().filter_map(report).collect()
}

/// A machine on its way from point to point.
#[derive(Default)]
struct Walk {
    phases: Vec<Phase>,
    guest: Duration,
    /// Where it is going to, and since when. `None` without power.
    leg: Option<(Leg, Reading)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Leg {
    /// To some point.
    Boot,
    /// Through files, of which the last that came counts.
    Files,
    /// It is up.
    Up,
}

impl Walk {
    fn step(&mut self, point: Point, now: Reading) {
        match point {
            Point::On => self.leg = Some((Leg::Boot, now)),
            Point::Off => {
                self.end(now, "off");
                self.leg = None;
            }
            // The phase ends with the last file, and that is known when the next point comes.
            Point::File(_) => {
                if let Some((leg @ Leg::Boot, _)) = &mut self.leg {
                    *leg = Leg::Files;
                }
            }
            // The second round of asking lies between files.
            Point::Offer if matches!(self.leg, Some((Leg::Files, _))) => {}
            Point::Offer => {
                self.end(now, "OFFER");
                self.leg = Some((Leg::Boot, now));
            }
            Point::At(name) => {
                self.end(now, &name);
                self.leg = Some((Leg::Boot, now));
            }
            Point::Up(name) => {
                self.end(now, &name);
                self.leg = Some((Leg::Up, now));
            }
        }
    }

    fn finish(&mut self, wall: Duration) {
        self.end(Reading { wall, guest: self.guest }, "the end");
    }

    fn end(&mut self, now: Reading, point: &str) {
        let Some((leg, since)) = self.leg else { return };
        let name = match leg {
            Leg::Boot => point.to_owned(),
            Leg::Files => format!("files, {point}"),
            Leg::Up => "up".to_owned(),
        };
        self.phases.push(Phase { name, at: since.wall, took: now.since(since) });
    }
}
