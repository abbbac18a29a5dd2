//! What is known of all nodes: events go in with their times, and each is put down to the worker that it is of. No I/O, no
//! clock.

use std::{collections::BTreeMap, net::Ipv4Addr};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_cluster::Cluster;
use feeder_modules::Layout;

use super::{
    Moment,
    log::{Entry, Logged},
    look::Look,
    node::{Node, Sign, Stage},
};

/// All that is known.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) nodes: Vec<Node>,
    /// The newest look of the master.
    pub(crate) look: Option<Look>,
    /// Why the master does not answer.
    pub(crate) lost: Option<String>,
    tftp: Utf8PathBuf,
    /// Which worker has an address; firmware has one that the router gave it.
    addresses: BTreeMap<Ipv4Addr, usize>,
    /// Who has just ended a transfer by itself.
    broken_off: Option<Ipv4Addr>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A line of the master's journal.
    Logged(Entry),
    /// The master has looked.
    Looked(Look),
    /// A worker, by its place in the file, answered over SSH or did not.
    Probed(usize, Moment, Sign),
    /// The connection to the master is lost.
    Lost(String),
}

impl State {
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let addresses = cluster.workers.iter().enumerate().map(|(at, it)| (it.address, at));
        Self {
            nodes: cluster.workers.iter().cloned().map(Node::new).collect(),
            look: None,
            lost: None,
            tftp: Layout::default().tftp(),
            addresses: addresses.collect(),
            broken_off: None,
        }
    }

    /// What an event changes.
    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Logged(entry) => self.logged(entry),
            Event::Looked(look) => self.looked(look),
            Event::Probed(number, at, sign) => {
                if let Some(node) = self.nodes.get_mut(number) {
                    node.apply(at, sign);
                }
            }
            Event::Lost(why) => self.lost = Some(why),
        }
    }

    fn logged(&mut self, Entry { at, what }: Entry) {
        let broken_off = self.broken_off.take();
        match what {
            Logged::Asked { mac, served } => {
                if let Some(node) = self.nodes.iter_mut().find(|node| node.worker.mac == mac) {
                    node.apply(at, Sign::Asked { served });
                }
            }
            Logged::Sent { path, to } => self.file(at, &path, Some(to), Sign::Fetched),
            Logged::BrokenOff { by } => self.broken_off = Some(by),
            // "Early terminate" is how firmware ends its question for a file's size.
            Logged::Failed { path, to } if broken_off == Some(to) => {
                self.file(at, &path, Some(to), Sign::Wants);
            }
            Logged::Failed { path, to } => self.file(at, &path, Some(to), Sign::Lost),
            Logged::Missing { path, to } => self.missing(at, &path, to),
            Logged::Unreadable { path, why } => {
                self.file(at, &path, None, |file| Sign::Unreadable(file, why));
            }
            Logged::Mounted { path, by } => self.of_address(at, by, Sign::Mounted(path)),
            Logged::MountRefused { path, by, why } => {
                self.of_address(at, by, Sign::Refused(path, why));
            }
        }
    }

    /// Something about a file: of the worker in whose folder it is, else of the one that has the address.
    fn file(
        &mut self,
        at: Moment,
        path: &str,
        address: Option<Ipv4Addr>,
        sign: impl FnOnce(String) -> Sign,
    ) {
        let path = self.below_tftp(path);
        let owner = self.owner(&path);
        if let (Some((number, _)), Some(address)) = (&owner, address) {
            self.addresses.insert(address, *number);
        }
        let (number, file) = match owner {
            Some(owner) => owner,
            None => {
                let Some(number) = address.and_then(|address| self.who(at, address)) else {
                    return;
                };
                (number, path.into_string())
            }
        };
        self.nodes[number].apply(at, sign(file));
    }

    fn missing(&mut self, at: Moment, path: &str, to: Ipv4Addr) {
        let below = self.below_tftp(path);
        if self.owner(&below).is_none()
            && let Some((folder, _)) = below.as_str().split_once('/')
            && folder.len() == 8
            && folder.chars().all(|digit| digit.is_ascii_hexdigit())
        {
            // It asks under its serial number, and that is nobody's.
            if let Some(number) = self.who(at, to) {
                self.nodes[number].apply(at, Sign::Elsewhere(folder.to_owned()));
            }
            return;
        }
        self.file(at, path, Some(to), Sign::Lacks);
    }

    fn of_address(&mut self, at: Moment, address: Ipv4Addr, sign: Sign) {
        if let Some(number) = self.addresses.get(&address) {
            self.nodes[*number].apply(at, sign);
        }
    }

    fn below_tftp(&self, path: &str) -> Utf8PathBuf {
        let path = Utf8Path::new(path);
        path.strip_prefix(&self.tftp).unwrap_or(path).to_owned()
    }

    /// The worker in whose folder a file is, and the file's path in there.
    fn owner(&self, path: &Utf8Path) -> Option<(usize, String)> {
        let (folder, file) = path.as_str().split_once('/')?;
        let owns = |node: &Node| node.worker.boot_directory_names().iter().any(|it| it == folder);
        Some((self.nodes.iter().position(owns)?, file.to_owned()))
    }

    /// Who has an address that the router gave; while nobody knows, the one worker that has just asked for a boot server.
    fn who(&self, at: Moment, address: Ipv4Addr) -> Option<usize> {
        const JUST: std::time::Duration = std::time::Duration::from_secs(15);
        if let Some(number) = self.addresses.get(&address) {
            return Some(*number);
        }
        let asks = |node: &Node| {
            let early = matches!(node.stage, Stage::Asks | Stage::Firmware);
            early && node.last.is_some_and(|last| at.since(last) <= JUST)
        };
        let mut all = self.nodes.iter().enumerate().filter(|(_, node)| asks(node));
        let first = all.next().map(|(number, _)| number);
        first.filter(|_| all.next().is_none())
    }

    fn looked(&mut self, look: Look) {
        self.lost = None;
        for (number, node) in self.nodes.iter_mut().enumerate() {
            let mac = node.worker.mac;
            let is_its = |found: &&(feeder_cluster::MacAddr, bool)| found.0 == mac;
            let owned = look.neighbours.iter().filter(|(_, found)| is_its(found));
            self.addresses.extend(owned.map(|(address, _)| (*address, number)));
            let home = node.worker.address;
            let heard = look.neighbours.get(&home).filter(is_its).is_some_and(|found| found.1);
            if heard {
                let connected = look.connected.contains(&home);
                node.apply(look.at, if connected { Sign::Connected } else { Sign::Heard });
            }
            if let Some(ago) = look.renewed.get(&home) {
                node.apply(look.at.back(*ago), Sign::Heard);
            }
        }
        self.look = Some(look);
    }
}

#[cfg(test)]
mod tests;
