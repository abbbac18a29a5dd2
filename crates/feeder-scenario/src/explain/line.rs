//! A record as a line that is the same in every run in which the same happens.

use crate::{
    Answer, Change, Dhcp, Event, Firmware, PowerEnd, Record, UnitState, Wire, wire::text_in,
};

/// How much a difference in a line explains. The smaller, the nearer to a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Weight {
    /// Somebody says outright that something is wrong, or got something else.
    Says,
    /// A step on the way that only fails to come.
    Progress,
    /// A step on the way of a unit; many come in any order, and the console may swallow one.
    Unit,
    /// What follows from something else: giving up, a wait that ends in vain.
    Conclusion,
}

/// A record without what differs between two runs that do the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Line {
    /// What it is about. Two lines about the same thing with other words are one thing that differs.
    pub about: String,
    /// The words.
    pub text: String,
    /// What it explains when it is there and should not be, or says something else.
    pub extra: Weight,
    /// What it explains when it is not there. `None`: it need not come.
    pub missing: Option<Weight>,
}

impl Line {
    fn new(about: impl Into<String>, text: impl Into<String>, extra: Weight) -> Self {
        let missing = Some(extra.max(Weight::Progress)).filter(|w| *w != Weight::Conclusion);
        Self { about: about.into(), text: text.into(), extra, missing }
    }

    fn missed_as(mut self, missing: impl Into<Option<Weight>>) -> Self {
        self.missing = missing.into();
        self
    }

    /// The line of a record; `None` for one that says nothing about what the machines do.
    pub fn of(record: &Record) -> Option<Self> {
        match &record.event {
            Event::PowerOn { profile } => {
                Some(Self::new("power", format!("power on ({profile})"), Weight::Progress))
            }
            Event::PowerOff { end, why } => power_off(*end, why.as_deref()),
            Event::Firmware(firmware) => of_firmware(firmware),
            Event::Wire(wire) => Some(of_wire(wire)),
            Event::Unit { unit, state } => Some(of_unit(unit, *state)),
            Event::DeadEnd { words } => {
                Some(Self::new("its end", steady(words), Weight::Says).missed_as(None))
            }
            Event::Milestone { name, detail } => Some(milestone(name, detail.as_deref())),
            Event::Ready { name } => Some(Self::new(
                format!("ready {name}"),
                format!("{name} answers"),
                Weight::Progress,
            )),
            Event::Provision(Change { module, resource, change }) => Some(
                Self::new(
                    format!("{module} {resource}"),
                    format!("{module}: {resource}: {}", steady(change)),
                    Weight::Says,
                )
                .missed_as(Weight::Says),
            ),
            Event::WaitEnded { awaited, reached: false, last_seen, .. } => {
                let seen =
                    last_seen.as_deref().map(|seen| format!("; last seen: {}", steady(seen)));
                let text = format!("{awaited} did not come{}", seen.unwrap_or_default());
                Some(Self::new(format!("wait {awaited}"), text, Weight::Conclusion))
            }
            Event::Note { text } => {
                Some(Self::new("note", steady(text), Weight::Unit).missed_as(None))
            }
            _ => None,
        }
    }
}

fn power_off(end: PowerEnd, why: Option<&str>) -> Option<Line> {
    Some(match (end, why) {
        (PowerEnd::Shutdown, _) => Line::new("power", "shut down", Weight::Progress),
        (PowerEnd::Restart, _) => Line::new("power", "restarts", Weight::Progress),
        (PowerEnd::Cut, None) => {
            Line::new("power", "power cut", Weight::Says).missed_as(Weight::Progress)
        }
        // Somebody cut it because of something else.
        (PowerEnd::Cut, Some(why)) => {
            let text = format!("power cut: {}", steady(why));
            Line::new("power", text, Weight::Conclusion)
        }
        (PowerEnd::Died, why) => {
            let text = format!("its process died: {}", steady(why.unwrap_or("no reason given")));
            Line::new("power", text, Weight::Says).missed_as(None)
        }
    })
}

fn milestone(name: &str, detail: Option<&str>) -> Line {
    match (name, detail) {
        // What the first process of a worker says when something does not work.
        ("worker-init", Some(words)) => {
            let weight = if words.contains(": cannot ") || words.contains(" names no ") {
                Weight::Says
            } else {
                Weight::Progress
            };
            Line::new("worker-init", steady(words), weight)
        }
        ("run-init", Some(words)) => {
            let text = format!("cannot start its first process: {}", steady(words));
            Line::new("run-init", text, Weight::Says).missed_as(None)
        }
        // Leases and the like differ.
        _ => Line::new(format!("milestone {name}"), name, Weight::Progress),
    }
}

fn of_firmware(firmware: &Firmware) -> Option<Line> {
    Some(match firmware {
        Firmware::Discover { .. } => Line::new("firmware DISCOVER", "DISCOVER", Weight::Progress),
        // Whose offer of an address it hears first, and takes, is chance, and so is whether it hears the second at all.
        Firmware::Offer { from, option43: None, .. } => Line::new(
            format!("firmware OFFER of {from}"),
            format!("hears the OFFER of {from}   without option 43"),
            Weight::Conclusion,
        ),
        Firmware::Offer { from, option43: Some(bytes), .. } => Line::new(
            format!("firmware OFFER of {from}"),
            match text_in(bytes) {
                Some(text) => format!("hears the OFFER of {from}   with \"{text}\" in option 43"),
                None => format!("hears the OFFER of {from}   option 43 = {bytes}"),
            },
            Weight::Says,
        ),
        // Whether it came is told by what follows.
        Firmware::Requested { .. } => return None,
        Firmware::Fetched { file, bytes, .. } => {
            let text = format!("fetched {file}{}", size(file, *bytes));
            Line::new(format!("file {file}"), text, Weight::Says).missed_as(Weight::Progress)
        }
        Firmware::Missing { file } => {
            Line::new(format!("file {file}"), format!("{file} is not on the server"), Weight::Says)
                .missed_as(None)
        }
        Firmware::Starts { kernel, command_line } => Line::new(
            "firmware start",
            format!("starts {kernel} with \"{}\"", steady(command_line)),
            Weight::Says,
        )
        .missed_as(Weight::Progress),
        Firmware::Looked { place, said } => {
            Line::new(format!("firmware look at {place}"), steady(said), Weight::Says)
        }
        Firmware::GaveUp { why } => {
            Line::new("firmware end", format!("gave up: {}", steady(why)), Weight::Conclusion)
        }
    })
}

/// The size of a file, unless it is an initramfs: every master makes its own, seldom of the same size.
fn size(file: &str, bytes: u64) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    if name.starts_with("initr") { String::new() } else { format!(", {bytes} bytes") }
}

fn of_wire(wire: &Wire) -> Line {
    let text = wire.to_string();
    match wire {
        Wire::Dhcp { message, from, to, .. } => {
            let (extra, missing) = match message {
                Dhcp::Offer => (Weight::Says, Some(Weight::Progress)),
                Dhcp::Nak | Dhcp::Decline => (Weight::Says, None),
                // A client with a lease may renew it, or not.
                Dhcp::Discover | Dhcp::Request | Dhcp::Release | Dhcp::Inform => {
                    (Weight::Conclusion, None)
                }
                Dhcp::Ack => (Weight::Progress, Some(Weight::Progress)),
            };
            Line::new(format!("{message} of {from} to {to}"), text, extra).missed_as(missing)
        }
        Wire::TftpDone { file, server, bytes, .. } => {
            let text = format!("{server} sent {file}{}", size(file, *bytes));
            Line::new(format!("wire file {file}"), text, Weight::Says).missed_as(Weight::Progress)
        }
        Wire::TftpError { file, server, code, error, .. } => {
            // dnsmasq says for whom; that address is a lease.
            let error = error.rsplit_once(" for ").map_or(error.as_str(), |(error, _)| error);
            let text = format!("{server} refused {file}: {error} (TFTP error {code})");
            Line::new(format!("wire file {file}"), text, Weight::Says).missed_as(None)
        }
        // Lost frames are asked for again; only what never comes counts.
        Wire::TftpUnanswered { .. } => {
            Line::new("wire unanswered", text, Weight::Conclusion).missed_as(None)
        }
        Wire::Mount { path, status, .. } => {
            let weight = if status == "ok" { Weight::Progress } else { Weight::Says };
            // A refusal may be what a scenario wants to see.
            Line::new(format!("mount {path}"), text, weight).missed_as(Weight::Progress)
        }
        Wire::Unregistered { program, .. } => {
            Line::new(format!("rpc {program}"), text, Weight::Says).missed_as(None)
        }
        Wire::Nfs { server, answer, .. } => {
            let (extra, missing) = match answer {
                Answer::Accepted => (Weight::Conclusion, Some(Weight::Progress)),
                Answer::Refused => (Weight::Says, None),
                Answer::Unanswered => (Weight::Conclusion, None),
            };
            Line::new(format!("nfs {server}"), text, extra).missed_as(missing)
        }
    }
}

fn of_unit(unit: &str, state: UnitState) -> Line {
    let line = |weight| Line::new(format!("unit {unit}"), format!("{unit} {state}"), weight);
    match state {
        // More than before does no harm.
        UnitState::Started => line(Weight::Conclusion).missed_as(Weight::Unit),
        UnitState::Failed | UnitState::TimedOut => line(Weight::Says).missed_as(None),
        UnitState::Dependency => line(Weight::Unit).missed_as(None),
    }
}

/// A text without the numbers that differ from run to run: times, process numbers, ports, counts, identifiers. Addresses,
/// names and paths stay.
pub(super) fn steady(text: &str) -> String {
    text.split_whitespace().map(steady_word).collect::<Vec<_>>().join(" ")
}

fn steady_word(word: &str) -> String {
    let core = word.trim_matches(|char: char| !char.is_ascii_alphanumeric());
    let is_number = core.starts_with(|char: char| char.is_ascii_digit())
        && core.chars().all(|char| char.is_ascii_digit() || ".,:".contains(char));
    let is_identifier = core.len() >= 12
        && core.chars().all(|char| char.is_ascii_hexdigit() || char == '-')
        && core.contains(|char: char| char.is_ascii_digit());
    let address = core.split(':').next().unwrap_or_default();
    if address.parse::<std::net::Ipv4Addr>().is_ok() {
        return word.replacen(core, address, 1);
    }
    if is_number || is_identifier {
        return word.replacen(core, "#", 1);
    }
    // `sshd[4711]:`
    match word.split_once('[') {
        Some((name, rest)) if rest.starts_with(|char: char| char.is_ascii_digit()) => {
            let after = rest.trim_start_matches(|char: char| char.is_ascii_digit());
            format!("{name}[#{after}")
        }
        _ => word.to_owned(),
    }
}
