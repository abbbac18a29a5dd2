//! A boot as a chain of points: `power on ▸ OFFER ▸ 14 files, 31.2 MB ▸ kernel8.img ▸ nfs ▸ ssh`.

use crate::{Event, Firmware};

/// Where in its life an event puts a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Point {
    /// Power came.
    On,
    /// It came to a point with a name.
    At(String),
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
            Event::Firmware(Firmware::Offer { accepted: true, .. }) => Self::At("OFFER".into()),
            Event::Firmware(Firmware::Fetched { bytes, .. }) => Self::File(*bytes),
            Event::Firmware(Firmware::Starts { kernel, .. }) => Self::At(kernel.clone()),
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
    /// Adds a point. Files in a row are one link.
    pub fn push(&mut self, point: Point) {
        match (point, self.0.last_mut()) {
            (Point::File(more), Some(Link::Files { count, bytes })) => {
                *count += 1;
                *bytes += more;
            }
            (Point::File(bytes), _) => self.0.push(Link::Files { count: 1, bytes }),
            (Point::At(name) | Point::Up(name), _) => self.0.push(Link::Named(name)),
            (Point::On, _) => self.0.push(Link::Named("power on".into())),
            (Point::Off, _) => {}
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
