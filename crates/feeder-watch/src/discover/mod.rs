//! Who asks to boot on the cluster's segment, and putting those boards into `cluster.toml`.
//!
//! The master listens, because its card is on the segment: [`discover`] has it run tcpdump and reads along. What frames tell is
//! a pure function of them (`sighting.rs`), and so is the text of the changed file (`enrol.rs`).

mod capture;
mod enrol;
mod error;
mod model;
mod show;
mod sighting;

use std::net::Ipv4Addr;

use camino::Utf8Path;
use feeder_cluster::{Cluster, MacAddr};
use feeder_modules::Access;
use feeder_process::interrupt;
use feeder_remote::{Host, RemoteError};
use feeder_ui::{Answer as Asked, Expected, Progress};
use serde::Serialize;

use self::{
    capture::{Reader, Said},
    sighting::{Change, Sightings},
};
pub use self::{
    enrol::{Added, NotAdded},
    error::DiscoverError,
    model::Model,
    show::table,
    sighting::{Answer, Device, Place},
};

/// Which boards are put into `cluster.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Add {
    /// None.
    Nothing,
    /// Those that somebody says yes to.
    Ask,
    /// Every board that says that it is of a model that can be a worker.
    All,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Discovered {
    /// The master's interface on which it was listened.
    pub interface: String,
    /// Raspberry Pis, and others that want to boot, in the order in which they appeared.
    pub devices: Vec<Device>,
    /// How many other clients asked for an address.
    pub others: usize,
}

/// Listens for so many seconds, or until interrupted. `file` is the cluster's description, to which boards are added one by
/// one as they appear; `ask` is asked about each when that is wanted.
///
/// # Errors
/// The master cannot be reached or cannot listen. What was added before stays in the file.
pub fn discover(
    (file, cluster): (&Utf8Path, &Cluster),
    access: &Access,
    seconds: Option<u64>,
    add: Add,
    ask: &mut dyn FnMut(&str) -> Asked,
    progress: &Progress,
) -> Result<Discovered, DiscoverError> {
    let master = feeder_modules::connect(cluster, access)?;
    listen((file, cluster), &master, seconds, add, ask, progress)
}

fn listen(
    (file, cluster): (&Utf8Path, &Cluster),
    master: &dyn Host,
    seconds: Option<u64>,
    add: Add,
    ask: &mut dyn FnMut(&str) -> Asked,
    progress: &Progress,
) -> Result<Discovered, DiscoverError> {
    let host = master.name().to_owned();
    let mut pass = Pass {
        file,
        seen: Sightings::of(cluster),
        master: (cluster.master.address, &host),
        gateway: cluster.network.gateway,
        add,
        ask,
        progress,
    };
    let (mut reader, mut interface, mut unable) = (Reader::default(), None, None);
    let script = capture::script(cluster.network.subnet, seconds);
    let heard = master.stream(&script, &mut |line| match reader.line(line) {
        Some(Said::NoTcpdump) => {
            unable = Some(DiscoverError::NoTcpdump { host: host.clone() });
        }
        Some(Said::NoInterface) => {
            let subnet = cluster.network.subnet.to_string();
            unable = Some(DiscoverError::NoInterface { host: host.clone(), subnet });
        }
        Some(Said::Listens(name, mac)) => {
            progress.note(format!("{host} listens on {name}. Give boards power; Ctrl-C ends it."));
            pass.seen.own = mac.parse().ok();
            interface = Some(name);
        }
        Some(Said::Frame(frame)) => pass.frame(&frame),
        Some(Said::Tick) | None => {}
    });
    match heard {
        Ok(_) => {}
        // Ctrl-C is how it ends when no time was given.
        Err(RemoteError::Interrupted { .. }) if interrupt::requested() && interface.is_some() => {}
        Err(source) => return Err(unable.unwrap_or(DiscoverError::Listening(source))),
    }
    match (unable, interface) {
        (None, Some(interface)) => Ok(Discovered {
            interface,
            devices: pass.seen.devices().to_vec(),
            others: pass.seen.others(),
        }),
        (Some(unable), _) => Err(unable),
        (None, None) => Err(DiscoverError::Silent { host }),
    }
}

/// One time of listening.
struct Pass<'a> {
    file: &'a Utf8Path,
    seen: Sightings<'a>,
    master: (Ipv4Addr, &'a str),
    gateway: Ipv4Addr,
    add: Add,
    ask: &'a mut dyn FnMut(&str) -> Asked,
    progress: &'a Progress,
}

impl Pass<'_> {
    fn frame(&mut self, frame: &[u8]) {
        let Some(change) = self.seen.frame(frame) else { return };
        let (Change::Appeared(mac) | Change::Learned(mac) | Change::Answered(mac)) = change;
        let Some(device) = self.seen.device(mac).cloned() else { return };
        match change {
            Change::Appeared(_) | Change::Learned(_) => {
                self.progress.note(show::appeared(&device));
                self.enrol(mac, &device);
            }
            Change::Answered(_) => {
                if let Some(answer) = device.answers.last() {
                    let (name, to) = (self.named(answer.server), show::called(&device));
                    self.progress.note(show::answered(answer, &name, &to));
                }
            }
        }
    }

    fn named(&self, server: Ipv4Addr) -> String {
        show::server(server, self.master, self.gateway)
    }

    /// Puts a board into the file, if that is wanted and it can be a worker.
    fn enrol(&mut self, mac: MacAddr, device: &Device) {
        if self.add == Add::Nothing || device.place != Place::None || device.model.board().is_none()
        {
            return;
        }
        if self.add == Add::Ask {
            let question = format!("Add {} to {}?", show::described(device), self.file);
            let held = self.progress.hold();
            let said = (self.ask)(&question);
            drop(held);
            if said != Asked::Yes {
                return;
            }
        }
        match enrol::enrol(self.file, device) {
            Ok(Added { name, address }) => {
                self.seen.added(mac, name.as_str());
                self.progress
                    .note(format!("  {mac}  added to {} as {name}, at {address}", self.file));
            }
            // The next board may still be added, and this one is shown as not in the file.
            Err(error) => {
                self.progress.note(format!("  {mac}  not added: {error}"));
                if let Some(hint) = error.hint() {
                    self.progress.note(format!("  {mac}  hint: {hint}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
