//! Faults as script: what goes wrong on the LAN, or with a node's power, now or when something happens.

use std::{
    sync::{
        Arc, Weak,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use feeder_lan::{Fault, FaultId, RogueDhcpConfig};

use super::{Lab, bench::Bench, node::Node};
use crate::{Class, Event, OrFail, Record, Steps, Verdict, clock::locked};

/// When something goes wrong.
pub enum When {
    /// So much later, by the wall clock, which is the LAN's.
    After(Duration),
    /// As soon as an event fits, of those that come from now on.
    Event(Box<dyn Fn(&Record) -> bool + Send>),
}

/// What goes wrong.
pub enum Mishap {
    /// Frames are lost, late, or worse.
    Fault(Fault),
    /// A node loses its power. Nothing happens when it has none.
    PowerCut(Node),
    /// The program that emulates a node dies. Nothing happens when the node has no power.
    Crash(Node),
    /// A second DHCP server comes, under this name, and stays.
    DhcpServer(String, RogueDhcpConfig),
}

enum Message {
    Now,
    Stop,
}

/// What is still to go wrong. Dropping it calls everything off.
#[derive(Default)]
pub(super) struct Script(Vec<Awaited>);

/// Something that is to go wrong, or did.
struct Awaited {
    sender: Sender<Message>,
    /// Whoever waits for its time has the other half.
    waits: Weak<()>,
}

impl Script {
    /// Whether something is still to come.
    pub(super) fn waits(&self) -> bool {
        self.0.iter().any(|mishap| mishap.waits.strong_count() > 0)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        for mishap in &self.0 {
            // One that has happened does not listen any more.
            let _over = mishap.sender.send(Message::Stop);
        }
    }
}

impl When {
    /// As soon as a node comes to a point of its boot, such as `kernel` or `systemd`.
    pub fn comes_to(node: &str, point: &'static str) -> Self {
        let node = node.to_owned();
        Self::Event(Box::new(move |record| {
            record.node.as_deref() == Some(&node)
                && matches!(&record.event, Event::Milestone { name, .. } if name == point)
        }))
    }
}

impl Lab {
    /// A fault from now on, until it ends by itself or is cleared.
    ///
    /// # Errors
    /// The fault contradicts itself.
    pub fn inject(&self, fault: Fault) -> Verdict<FaultId> {
        inject(self.bench(), fault)
    }

    /// Ends a fault.
    ///
    /// # Errors
    /// The LAN has ended.
    pub fn clear(&self, fault: FaultId) -> Verdict {
        clear(self.bench(), fault)
    }

    /// Something goes wrong now.
    ///
    /// # Errors
    /// It contradicts itself or what there is.
    pub fn now(&self, mishap: Mishap) -> Verdict {
        happens(self.bench(), mishap)
    }

    /// Something goes wrong at its time, while the scenario goes on.
    pub fn at(&mut self, when: When, mishap: Mishap) {
        let (sender, receiver) = channel();
        let after = match when {
            When::After(time) => Some(time),
            When::Event(fits) => {
                let sender = sender.clone();
                self.story().journal().subscribe(move |record| {
                    if !record.reused && fits(record) {
                        // It happens once; later ones find nobody who listens.
                        let _again = sender.send(Message::Now);
                    }
                });
                None
            }
        };
        let waits = Arc::new(());
        self.script.0.push(Awaited { sender, waits: Arc::downgrade(&waits) });
        let (bench, story) = (Arc::downgrade(self.bench()), self.story().clone());
        // Ends when it has happened or the script is dropped.
        drop(std::thread::Builder::new().name("mishap".into()).spawn(move || {
            let _waits = waits;
            if due(&receiver, after)
                && let Some(bench) = bench.upgrade()
                && let Err(failure) = happens(&bench, mishap)
            {
                story.note(format!("what should have gone wrong did not: {failure}"));
            }
        }));
    }
}

/// Waits for the time, or for a message; false when it is called off.
fn due(receiver: &Receiver<Message>, after: Option<Duration>) -> bool {
    let Some(after) = after else { return matches!(receiver.recv(), Ok(Message::Now)) };
    match receiver.recv_timeout(after) {
        Ok(Message::Now) | Err(RecvTimeoutError::Timeout) => true,
        Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => false,
    }
}

fn happens(bench: &Bench, mishap: Mishap) -> Verdict {
    match mishap {
        Mishap::Fault(fault) => inject(bench, fault).map(drop),
        Mishap::PowerCut(node) => {
            bench.lan.comment(&format!("power cut: {}", node.name()));
            node.cut_power_if_on();
            Ok(())
        }
        Mishap::Crash(node) => node.crash(),
        Mishap::DhcpServer(name, config) => {
            let text = format!("a second DHCP server: {name}, {}", config.address);
            let server = bench.lan.rogue_dhcp(&name, config);
            locked(&bench.dhcp_servers)
                .push(server.or_fail(Class::Scenario, "cannot add a DHCP server")?);
            bench.story.emit(None, Event::Fault { text });
            Ok(())
        }
    }
}

pub(super) fn inject(bench: &Bench, fault: Fault) -> Verdict<FaultId> {
    let text = fault.to_string();
    let id = bench.lan.inject(fault).or_fail(Class::Scenario, "cannot inject a fault")?;
    bench.story.emit(None, Event::Fault { text });
    Ok(id)
}

pub(super) fn clear(bench: &Bench, fault: FaultId) -> Verdict {
    if let Some(report) = bench.lan.clear(fault).or_fail(Class::Harness, "cannot clear a fault")? {
        let text = format!("over: {}", report.fault);
        bench.story.emit(None, Event::Fault { text });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mishap_waits_for_its_time_and_can_be_called_off() {
        let (sender, receiver) = channel();
        assert!(due(&receiver, Some(Duration::from_millis(1))));
        let waits = Arc::new(());
        let script = Script(vec![Awaited { sender, waits: Arc::downgrade(&waits) }]);
        assert!(script.waits());
        drop(waits);
        assert!(!script.waits());
        drop(script);
        assert!(!due(&receiver, Some(Duration::from_secs(600))));
        let (sender, receiver) = channel();
        sender.send(Message::Now).unwrap();
        assert!(due(&receiver, None));
        drop(sender);
        assert!(!due(&receiver, None));
    }
}
