//! The conversation of a boot over the network, as a sequence diagram.

use std::{net::Ipv4Addr, time::Duration};

use feeder_ui::{plural, size};

use super::{
    svg::{Anchor, Svg, fit},
    topology::Device,
};
use crate::{Answer, Event, Firmware, Record, Role, Wire};

const LIFELINE: f64 = 200.0;
const COLUMN: f64 = 400.0;
const TOP: f64 = 44.0;
const ROW: f64 = 27.0;

/// One boot of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ladder {
    pub node: String,
    /// The how manieth boot of this node over the network, from 1.
    pub boot: usize,
    /// When its power came, by the run's wall clock.
    pub began: Duration,
    /// Who it hears of, in the order in which it does.
    pub servers: Vec<String>,
    pub rungs: Vec<Rung>,
}

/// One thing that was said or done, counted from power-on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rung {
    pub at: Duration,
    pub what: What,
    pub text: String,
    /// More than fits beside it.
    pub detail: String,
}

/// Who says it to whom; servers by their place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// To everybody.
    Cry,
    /// An offer, and whether it is taken.
    Offer(usize, Taken),
    /// A file that came.
    File(usize),
    /// A file that the server does not have.
    Missing(usize),
    /// Asked for, and no answer is known.
    Asked(usize),
    /// A mount.
    Mount(usize),
    /// A mount that the server does not allow.
    Refused(usize),
    /// A point that the node comes to by itself.
    Point,
    /// The end of a boot that failed.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    No,
}

/// The boots over the network, in the order in which they began.
pub(super) fn ladders(records: &[Record], devices: &[Device]) -> Vec<Ladder> {
    let mut ladders = Vec::new();
    for device in devices {
        let own: Vec<_> =
            records.iter().filter(|r| r.node.as_ref() == Some(&device.name)).collect();
        let boots = own.split(|record| matches!(record.event, Event::PowerOff { .. }));
        let netboots = boots.filter(|boot| {
            boot.iter().any(|r| matches!(r.event, Event::Firmware(Firmware::Discover { .. })))
        });
        for (index, boot) in netboots.enumerate() {
            // The separator that follows belongs to the boot that it ends.
            let off = boot
                .last()
                .and_then(|last| own.iter().find(|record| record.seq > last.seq).copied());
            ladders.push(Ladder::of(device, index + 1, boot, off, devices));
        }
    }
    ladders.sort_by_key(|ladder| ladder.began);
    ladders
}

impl Ladder {
    fn of(
        device: &Device,
        boot: usize,
        records: &[&Record],
        off: Option<&Record>,
        devices: &[Device],
    ) -> Self {
        let on = records.iter().find(|r| matches!(r.event, Event::PowerOn { .. }));
        let began = on.or(records.first()).map_or(Duration::ZERO, |record| record.at.wall);
        let mut ladder =
            Self { node: device.name.clone(), boot, began, servers: Vec::new(), rungs: Vec::new() };
        let mut boot_server = 0;
        let mut up = false;
        for record in records.iter().copied().chain(off) {
            let at = record.at.wall.saturating_sub(began);
            up |= matches!(record.event, Event::Ready { .. });
            match &record.event {
                Event::Firmware(firmware) => {
                    ladder.firmware(at, firmware, &mut boot_server, devices);
                }
                Event::Milestone { name, detail } => {
                    let detail = detail.clone().unwrap_or_default();
                    let text =
                        if detail.is_empty() { name.clone() } else { format!("{name}: {detail}") };
                    ladder.push(at, What::Point, text, detail);
                }
                Event::Wire(Wire::Mount { path, server, status, .. }) => {
                    let server = ladder.server_named(server.clone());
                    let text = match &**status {
                        "ok" => format!("mount {path}"),
                        status => format!("mount {path}: {status}"),
                    };
                    let what =
                        if status == "ok" { What::Mount(server) } else { What::Refused(server) };
                    ladder.push(at, what, text, status.clone());
                }
                Event::Wire(wire @ Wire::TftpUnanswered { server, .. }) => {
                    let server = ladder.server_named(server.clone());
                    ladder.push(at, What::Asked(server), wire.to_string(), String::new());
                }
                Event::Wire(wire @ Wire::Nfs { server, answer, .. }) => {
                    let server = ladder.server_named(server.clone());
                    let what = match answer {
                        Answer::Accepted => What::Mount(server),
                        Answer::Refused => What::Refused(server),
                        Answer::Unanswered => What::Asked(server),
                    };
                    ladder.push(at, what, wire.to_string(), String::new());
                }
                Event::Wire(wire @ Wire::Unregistered { server, .. }) => {
                    let server = ladder.server_named(server.clone());
                    ladder.push(at, What::Refused(server), wire.to_string(), String::new());
                }
                Event::Unit { .. } | Event::DeadEnd { .. } if !up => {
                    if let Some(line) = record.event.boot_line() {
                        ladder.push(at, What::Lost, line, String::new());
                    }
                }
                // What follows the first login is the story's.
                Event::PowerOff { .. } if up => {}
                Event::PowerOff { .. } => {
                    let text = record.event.boot_line().unwrap_or_default();
                    ladder.push(at, What::Lost, text, String::new());
                }
                Event::Ready { .. } => {
                    let text = record.event.boot_line().unwrap_or_default();
                    ladder.push(at, What::Point, text, String::new());
                }
                _ => {}
            }
        }
        // A master that kept silent is part of the picture.
        let silent = devices.iter().find(|device| device.role == Role::Master);
        if let Some(address) = silent.and_then(|master| master.address) {
            ladder.server(address, devices);
        }
        ladder
    }

    fn firmware(
        &mut self,
        at: Duration,
        firmware: &Firmware,
        boot_server: &mut usize,
        devices: &[Device],
    ) {
        let said = firmware.to_string();
        match firmware {
            Firmware::Discover { attempt } => {
                let text = match attempt {
                    1 => "DISCOVER".to_owned(),
                    more => format!("DISCOVER, attempt {more}"),
                };
                self.push(at, What::Cry, text, said);
            }
            Firmware::Offer { from, yiaddr, option43, accepted, why } => {
                let server = self.server(*from, devices);
                let taken = if *accepted { Taken::Yes } else { Taken::No };
                if *accepted && option43.is_some() {
                    *boot_server = server;
                }
                let offered = if yiaddr.is_unspecified() {
                    "OFFER (proxy)".to_owned()
                } else {
                    format!("OFFER {yiaddr}")
                };
                let option = option43.as_ref().map(|hex| format!("; option 43: {hex}"));
                let detail = format!("{said}{}", option.unwrap_or_default());
                self.push(at, What::Offer(server, taken), format!("{offered}: {why}"), detail);
            }
            Firmware::Requested { file } => {
                self.push(at, What::Asked(*boot_server), file.clone(), said);
            }
            Firmware::Fetched { file, bytes, retransmits } => {
                self.answered(file);
                let again = match retransmits {
                    0 => String::new(),
                    n => format!(", {} again", plural(*n as usize, "block")),
                };
                let text = format!("{file}  {}{again}", size(*bytes));
                self.push(at, What::File(*boot_server), text, said);
            }
            Firmware::Missing { file } => {
                self.answered(file);
                self.push(at, What::Missing(*boot_server), format!("{file}  not there"), said);
            }
            Firmware::Starts { command_line, .. } => {
                self.push(at, What::Point, said, command_line.clone());
            }
            Firmware::Looked { .. } => self.push(at, What::Point, said, String::new()),
            Firmware::GaveUp { .. } => self.push(at, What::Lost, said, String::new()),
        }
    }

    fn push(&mut self, at: Duration, what: What, text: String, detail: String) {
        self.rungs.push(Rung { at, what, text, detail });
    }

    /// A question whose answer is known is told with it.
    fn answered(&mut self, file: &str) {
        let asked = |rung: &Rung| matches!(rung.what, What::Asked(_)) && rung.text == file;
        if let Some(index) = self.rungs.iter().rposition(asked) {
            self.rungs.remove(index);
        }
    }

    fn server(&mut self, address: Ipv4Addr, devices: &[Device]) -> usize {
        let named = devices.iter().find(|device| device.address == Some(address));
        let name = named.map_or_else(
            || address.to_string(),
            |device| match device.role {
                Role::Router => format!("{} (router)", device.name),
                Role::Master | Role::Worker => device.name.clone(),
            },
        );
        self.server_named(name.replace("router (router)", "router"))
    }

    fn server_named(&mut self, name: String) -> usize {
        self.servers.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.servers.push(name);
            self.servers.len() - 1
        })
    }

    /// The boot as lines of text.
    pub fn lines(&self) -> Vec<String> {
        let server = |index: &usize| self.servers.get(*index).map_or("?", String::as_str);
        let line = |rung: &Rung| {
            let Rung { text, .. } = rung;
            let at = format!("+{:.1} s", rung.at.as_secs_f64());
            match &rung.what {
                What::Cry => format!("{at}  to all: {text}"),
                What::Offer(from, Taken::Yes) => {
                    format!("{at}  from {}, taken: {text}", server(from))
                }
                What::Offer(from, Taken::No) => {
                    format!("{at}  from {}, ignored: {text}", server(from))
                }
                What::File(from) => format!("{at}  from {}: {text}", server(from)),
                What::Missing(from) => format!("{at}  from {}: {text}", server(from)),
                What::Asked(to) => format!("{at}  to {}, unanswered: {text}", server(to)),
                What::Mount(to) => format!("{at}  mounts from {}: {text}", server(to)),
                What::Refused(to) => format!("{at}  {} refuses: {text}", server(to)),
                What::Point | What::Lost => format!("{at}  {text}"),
            }
        };
        self.rungs.iter().map(line).collect()
    }

    /// The boot as an SVG element.
    pub fn draw(&self) -> String {
        let nobody = ["(nobody)".to_owned()];
        let servers = if self.servers.is_empty() { &nobody[..] } else { &self.servers[..] };
        let x = |server: usize| LIFELINE + (server + 1) as f64 * COLUMN;
        let width = x(servers.len() - 1) + 90.0;
        let bottom = TOP + self.rungs.len() as f64 * ROW + 10.0;
        let mut svg = Svg::default();
        let heads = std::iter::once((&self.node, LIFELINE, "device worker"))
            .chain(servers.iter().enumerate().map(|(i, name)| (name, x(i), "device")));
        for (name, middle, class) in heads {
            svg.line("lifeline", (middle, TOP - 14.0), (middle, bottom));
            svg.rect(class, [middle - 80.0, 4.0, 160.0, 26.0], name);
            svg.text("name", (middle, 22.0), Anchor::Middle, &fit(name, 150.0));
        }
        let mut last = String::new();
        for (index, rung) in self.rungs.iter().enumerate() {
            let y = TOP + index as f64 * ROW + 16.0;
            let at = format!("+{:.1} s", rung.at.as_secs_f64());
            if at != last {
                svg.text("small", (86.0, y + 4.0), Anchor::End, &at);
                last = at;
            }
            rung.draw(&mut svg, y, x, servers.len() - 1);
        }
        let label = format!("Boot {} of {} over the network", self.boot, self.node);
        svg.finish(width, bottom + 6.0, &label)
    }
}

impl Rung {
    fn draw(&self, svg: &mut Svg, y: f64, x: impl Fn(usize) -> f64, last: usize) {
        let title = if self.detail.is_empty() { &self.text } else { &self.detail };
        let (class, from, to) = match self.what {
            What::Cry => ("say cry", LIFELINE, x(last)),
            What::Offer(server, Taken::Yes) => ("say taken", x(server), LIFELINE),
            What::Offer(server, Taken::No) => ("say ignored", x(server), LIFELINE),
            What::File(server) => ("say file", x(server), LIFELINE),
            What::Missing(server) => ("say missing", x(server), LIFELINE),
            What::Asked(server) => ("say asked", LIFELINE, x(server)),
            What::Mount(server) => ("say mount", LIFELINE, x(server)),
            What::Refused(server) => ("say refused", LIFELINE, x(server)),
            What::Point | What::Lost => {
                let class = if self.what == What::Lost { "point lost" } else { "point" };
                svg.dot(class, (LIFELINE, y), 5.0, title);
                let text = fit(&self.text, x(last) - LIFELINE - 20.0);
                svg.text(class, (LIFELINE + 14.0, y + 4.0), Anchor::Start, &text);
                return;
            }
        };
        svg.arrow(class, from, to, y + 4.0, title);
        // Beside the worker, where a narrow window begins.
        let middle = LIFELINE + COLUMN / 2.0;
        let text = fit(&self.text, COLUMN - 24.0);
        svg.text(class, (middle, y - 1.0), Anchor::Middle, &text);
    }
}
