//! What must hold between values: addresses fit the subnet, nothing is given out twice, a board's numbers agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::Ipv4Addr;
use std::ops::Range;

use ipnet::Ipv4Net;
use toml::Spanned;

use crate::check::{Draft, DraftWorker};
use crate::diagnostic::Diagnostic;
use crate::model::free_address;
use crate::sources::Sources;
use crate::{NodeLabel, NodeName, Sudo};

pub(crate) fn apply(draft: &Draft, sources: &Sources, problems: &mut Vec<Diagnostic>) {
    let mut addresses = Addresses::new(draft, sources);
    addresses.check(draft, problems);
    names(draft, problems);
    let workers = &draft.workers;
    unique(
        "MAC address",
        workers.iter().filter_map(|worker| Some((worker.mac.as_ref()?, called(worker)))),
        problems,
    );
    unique(
        "serial number",
        workers.iter().filter_map(|worker| Some((worker.serial.as_ref()?, called(worker)))),
        problems,
    );
    for worker in workers {
        board_numbers(worker, problems);
    }
    let of_master = draft.master.as_ref().and_then(|master| master.labels.as_ref());
    for labels in of_master.into_iter().chain(workers.iter().filter_map(|one| one.labels.as_ref()))
    {
        one_value_each(labels, problems);
    }
    managers(draft, problems);
    unlock_key(draft, problems);
    sudo(draft, problems);
}

/// Whoever provisions becomes root by sudo, and must still be able to when it asks for a password.
fn sudo(draft: &Draft, problems: &mut Vec<Diagnostic>) {
    let (Some(sudo), Some(master)) =
        (draft.system.as_ref().and_then(|system| system.sudo.as_ref()), &draft.master)
    else {
        return;
    };
    if let Some(user) = &master.user
        && user.get_ref() == "root"
    {
        let message = "root needs no sudo";
        problems.push(
            Diagnostic::error(message, sudo.span(), "whom would it ask")
                .related(user.span(), "logs in as root"),
        );
    } else if *sudo.get_ref() == Sudo::WithPassword && master.sudo_password.is_none() {
        let message = "sudo would ask for a password that `provision` does not know";
        let hint = "add a line like sudo-password = \"cmd:pass show feeder/pi\" under [master]";
        problems.push(
            Diagnostic::error(message, sudo.span(), "nothing could be provisioned any more")
                .hint(hint.to_owned()),
        );
    }
}

/// A label that a node has twice would have either value.
fn one_value_each(labels: &[Spanned<NodeLabel>], problems: &mut Vec<Diagnostic>) {
    let mut first: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    for label in labels {
        let name = label.get_ref().name();
        if let Some(span) = first.get(name) {
            let message = format!("the label `{name}` is given twice");
            problems.push(
                Diagnostic::error(message, label.span(), "given again")
                    .related(span.clone(), "given already"),
            );
        } else {
            first.insert(name, label.span());
        }
    }
}

/// There cannot be more managers than nodes.
fn managers(draft: &Draft, problems: &mut Vec<Diagnostic>) {
    let Some(wanted) = draft.swarm.as_ref().and_then(|swarm| swarm.managers.as_ref()) else {
        return;
    };
    let nodes = 1 + draft.workers.len();
    if *wanted.get_ref() > nodes {
        let message = format!("there are not {} nodes to manage the swarm", wanted.get_ref());
        let label = format!("only {nodes}, the master among them");
        problems.push(Diagnostic::error(message, wanted.span(), label));
    }
}

/// The swarm makes its unlock key itself, so that it must be kept where something can be written.
fn unlock_key(draft: &Draft, problems: &mut Vec<Diagnostic>) {
    let Some(kept) = draft.swarm.as_ref().and_then(|swarm| swarm.autolock.as_ref()) else { return };
    if !kept.get_ref().is_file() {
        let message = "the swarm's unlock key cannot be kept there";
        let hint = "the swarm makes it, and `provision` writes it down: autolock = \"file:PATH\"";
        problems.push(Diagnostic::error(message, kept.span(), "no file").hint(hint.to_owned()));
    }
}

/// How a message calls a worker, whose name may be what is wrong with it.
fn called(worker: &DraftWorker) -> String {
    worker
        .name
        .as_ref()
        .map_or_else(|| "this worker".to_owned(), |name| format!("`{}`", name.get_ref()))
}

fn names(draft: &Draft, problems: &mut Vec<Diagnostic>) {
    let master = draft.master.as_ref().and_then(|master| master.name.as_ref());
    let mut first: BTreeMap<&NodeName, (Range<usize>, &str)> =
        master.map(|name| (name.get_ref(), (name.span(), "the master"))).into_iter().collect();
    for name in draft.workers.iter().filter_map(|worker| worker.name.as_ref()) {
        if let Some((span, whose)) = first.get(name.get_ref()) {
            let message = format!("two nodes are named `{}`", name.get_ref());
            problems.push(
                Diagnostic::error(message, name.span(), "taken already")
                    .related(span.clone(), format!("the name of {whose}")),
            );
        } else {
            first.insert(name.get_ref(), (name.span(), "another worker"));
        }
    }
}

fn unique<'d, T: Ord + Display + 'd>(
    what: &str,
    given: impl Iterator<Item = (&'d Spanned<T>, String)>,
    problems: &mut Vec<Diagnostic>,
) {
    let mut first: BTreeMap<&T, (Range<usize>, String)> = BTreeMap::new();
    for (value, owner) in given {
        if let Some((span, before)) = first.get(value.get_ref()) {
            let message = format!("two workers have the {what} `{}`", value.get_ref());
            problems.push(
                Diagnostic::error(message, value.span(), format!("given to {owner}"))
                    .related(span.clone(), format!("already given to {before}")),
            );
        } else {
            first.insert(value.get_ref(), (value.span(), owner));
        }
    }
}

/// MAC address and serial number of a board against what is known of such boards. Lists of manufacturers' blocks go stale and
/// virtual boards have neither, so these only warn.
fn board_numbers(worker: &DraftWorker, problems: &mut Vec<Diagnostic>) {
    let Some(mac) = &worker.mac else { return };
    if !mac.get_ref().is_raspberry_pi() {
        let [a, b, c] = mac.get_ref().oui();
        let message =
            format!("`{}` is not known to be the MAC address of a Raspberry Pi", mac.get_ref());
        let label = format!("{a:02x}:{b:02x}:{c:02x} is none of their known blocks");
        let hint = "a board shows its own with `cat /sys/class/net/eth0/address`; if this is it, all is well".to_owned();
        problems.push(Diagnostic::warning(message, mac.span(), label).hint(hint));
        return;
    }
    let (Some(serial), Some(board)) = (&worker.serial, &worker.board) else { return };
    let (of_serial, of_mac) = (serial.get_ref().low24(), mac.get_ref().low24());
    if board.get_ref().serial_ends_like_mac() && of_serial != of_mac {
        let message =
            format!("serial number and MAC address of {} are not of one board", called(worker));
        let hint = format!(
            "on a {} both end in the same six digits; `cat /proc/cpuinfo` on the board shows its serial",
            board.get_ref()
        );
        problems.push(
            Diagnostic::warning(message, serial.span(), format!("ends in {of_serial:06x}"))
                .related(mac.span(), format!("ends in {of_mac:06x}"))
                .hint(hint),
        );
    }
}

/// Who has which address, and which are left to suggest.
struct Addresses {
    /// The subnet, with what set it.
    subnet: Option<(Ipv4Net, String)>,
    taken: BTreeSet<Ipv4Addr>,
    after: Option<Ipv4Addr>,
    first: BTreeMap<Ipv4Addr, (Range<usize>, String)>,
}

impl Addresses {
    fn new(draft: &Draft, sources: &Sources) -> Self {
        let subnet = draft
            .subnet
            .as_ref()
            .map(|subnet| (*subnet.get_ref(), sources.set_by(subnet.span().start)));
        let master = draft.master.as_ref().and_then(|master| master.address.as_ref());
        let workers = draft.workers.iter().filter_map(|worker| worker.address.as_ref());
        let given =
            draft.gateway.iter().chain(draft.dns.iter().flatten()).chain(master).chain(workers);
        let taken = given.map(|address| *address.get_ref()).collect();
        Self {
            subnet,
            taken,
            after: master.map(|address| *address.get_ref()),
            first: BTreeMap::new(),
        }
    }

    fn check(&mut self, draft: &Draft, problems: &mut Vec<Diagnostic>) {
        if let Some(gateway) = &draft.gateway {
            let hint = self
                .subnet
                .as_ref()
                .map(|(subnet, _)| format!("it is the router's own address in {subnet}"));
            problems.extend(self.misfit(gateway).map(|problem| problem.hint(hint)));
            self.first.insert(*gateway.get_ref(), (gateway.span(), "the gateway".to_owned()));
        }
        if let Some(address) = draft.master.as_ref().and_then(|master| master.address.as_ref()) {
            self.claim(address, "the master".to_owned(), problems);
        }
        for worker in &draft.workers {
            if let Some(address) = &worker.address {
                self.claim(address, called(worker), problems);
            }
        }
    }

    fn claim(
        &mut self,
        address: &Spanned<Ipv4Addr>,
        owner: String,
        problems: &mut Vec<Diagnostic>,
    ) {
        let problem = if let Some((span, before)) = self.first.get(address.get_ref()) {
            let message = format!("`{}` is the address of {before} already", address.get_ref());
            Some(
                Diagnostic::error(message, address.span(), format!("given to {owner}"))
                    .related(span.clone(), format!("the address of {before}")),
            )
        } else {
            self.first.insert(*address.get_ref(), (address.span(), owner));
            self.misfit(address)
        };
        if let Some(problem) = problem {
            problems.push(problem.hint(self.suggestion()));
        }
    }

    /// What keeps the address from being a host's in the subnet.
    fn misfit(&self, address: &Spanned<Ipv4Addr>) -> Option<Diagnostic> {
        let (subnet, set) = self.subnet.as_ref()?;
        let (given, span) = (*address.get_ref(), address.span());
        if !subnet.contains(&given) {
            let label = format!("not in {subnet} ({set})");
            return Some(Diagnostic::error(
                format!("`{given}` is outside the cluster's subnet"),
                span,
                label,
            ));
        }
        let (name, place) = match given {
            given if given == subnet.network() => ("network", "first"),
            given if given == subnet.broadcast() => ("broadcast", "last"),
            _ => return None,
        };
        let label = format!("the {place} of {subnet} ({set})");
        Some(Diagnostic::error(
            format!("`{given}` is the subnet's {name} address, which no host can have"),
            span,
            label,
        ))
    }

    /// A free address, another one each time, so that several mistakes do not get the same advice.
    fn suggestion(&mut self) -> Option<String> {
        let subnet = self.subnet.as_ref()?.0;
        match free_address(subnet, &self.taken, self.after) {
            Some(free) => {
                self.taken.insert(free);
                Some(format!("the next free address is {free}"))
            }
            None => Some(format!("no address of {subnet} is free: take a larger subnet")),
        }
    }
}
