//! A boot as a chain of points: `power on ▸ OFFER ▸ 14 files, 31.2 MB ▸ kernel8.img ▸ nfs ▸ ssh`.

use crate::{Event, Firmware};

const OFFER: &str = "OFFER";

/// Where in its life an event puts a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Point {
    /// Power came.
    On,
    /// It came to a point with a name.
    At(String),
    /// It heard of a server.
    Offer,
    /// It got one more file of this many bytes.
    File(u64),
    /// It can be used.
    Up(String),
    /// Power went.
    Off,
}

impl Point {
    /// The point that an event stands for, if it is about a machine's boot and brings it further.
    pub fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::PowerOn { .. } => Self::On,
            Event::PowerOff { .. } => Self::Off,
            Event::Firmware(Firmware::Offer { accepted: true, .. }) => Self::Offer,
            Event::Firmware(Firmware::Fetched { bytes, .. }) => Self::File(*bytes),
            Event::Firmware(Firmware::Starts { kernel, .. }) => {
                let file = kernel.rsplit('/').next().unwrap_or(kernel);
                Self::At(file.to_owned())
            }
            Event::Milestone { name, .. } => Self::At(name.clone()),
            Event::Ready { name } => Self::Up(name.clone()),
            _ => return None,
        })
    }
}

/// The points that a machine has come through since power-on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain(Vec<Link>);

#[derive(Debug, Clone)]
enum Link {
    Named(String),
    Files { count: usize, bytes: u64 },
}

impl Chain {
    /// Adds a point. The firmware asks around and fetches in two rounds, which read as one: an OFFER is told once, and all
    /// files are one link.
    pub fn push(&mut self, point: Point) {
        match point {
            Point::File(more) => {
                let files = self.0.iter_mut().rev().find_map(|link| match link {
                    Link::Files { count, bytes } => Some((count, bytes)),
                    Link::Named(_) => None,
                });
                match files {
                    Some((count, bytes)) => {
                        *count += 1;
                        *bytes += more;
                    }
                    None => self.0.push(Link::Files { count: 1, bytes: more }),
                }
            }
            Point::Offer
                if self.0.iter().any(|link| matches!(link, Link::Named(name) if name == OFFER)) => {
            }
            Point::Offer => self.0.push(Link::Named(OFFER.into())),
            Point::At(name) | Point::Up(name) => self.0.push(Link::Named(name)),
            Point::On => self.0.push(Link::Named("power on".into())),
            Point::Off => {}
        }
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, link) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ▸ ")?;
            }
            write!(f, "{link}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Files { count, bytes } => {
                write!(f, "{}, {}", feeder_ui::plural(*count, "file"), feeder_ui::size(*bytes))
            }
        }
    }
}
