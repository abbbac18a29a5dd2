//! A `netboot` that passed, event by event, and ways to change it.

use std::time::Duration;

use crate::{
    Answer, Change, Dhcp, Ending, Event, Failure, Firmware, PowerEnd, Reading, Record, StepRef,
    UnitState, Wire, explain::line::Line,
};

/// The events of a run with the node of each.
#[derive(Debug, Clone, Default)]
pub struct Log(pub Vec<(Option<String>, Event)>);

pub fn dhcp(message: Dhcp, from: &str, to: &str) -> Event {
    let (yiaddr, option43, option43_text, vendor_class) = (None, None, None, None);
    let (from, to) = (from.to_owned(), to.to_owned());
    Event::Wire(Wire::Dhcp {
        message,
        from,
        to,
        server: None,
        yiaddr,
        option43,
        option43_text,
        vendor_class,
        times: 1,
    })
}

pub fn offer(from: &str, to: &str, text: Option<&str>) -> Event {
    let hex = |text: &str| {
        let bytes = text.bytes().map(|byte| format!("{byte:02x}"));
        format!("06 01 03 0a 04 00 50 58 45 {}", bytes.collect::<Vec<_>>().join(" "))
    };
    let Event::Wire(Wire::Dhcp { message, from, to, server, yiaddr, vendor_class, .. }) =
        dhcp(Dhcp::Offer, from, to)
    else {
        unreachable!()
    };
    let (option43, option43_text) = (text.map(hex), text.map(str::to_owned));
    Event::Wire(Wire::Dhcp {
        message,
        from,
        to,
        server,
        yiaddr,
        option43,
        option43_text,
        vendor_class,
        times: 1,
    })
}

pub fn heard(from: &str, option43: Option<&str>, accepted: bool, why: &str) -> Event {
    Event::Firmware(Firmware::Offer {
        from: from.parse().unwrap(),
        yiaddr: std::net::Ipv4Addr::UNSPECIFIED,
        option43: option43.map(str::to_owned),
        accepted,
        why: why.into(),
    })
}

pub fn fetched(file: &str, bytes: u64) -> Event {
    Event::Firmware(Firmware::Fetched { file: file.into(), bytes, retransmits: 0 })
}

pub fn sent(file: &str, bytes: u64) -> Event {
    Event::Wire(Wire::TftpDone { file: file.into(), server: "cluster00".into(), bytes, times: 1 })
}

pub fn tftp_error(file: &str, code: u16, error: &str) -> Event {
    let (file, server, error) = (file.into(), "cluster00".into(), error.into());
    Event::Wire(Wire::TftpError { file, server, code, error, times: 1 })
}

pub fn starts(kernel: &str, command_line: &str) -> Event {
    Event::Firmware(Firmware::Starts { kernel: kernel.into(), command_line: command_line.into() })
}

pub fn mount(path: &str, status: &str) -> Event {
    let (path, server, status) = (path.into(), "cluster00".into(), status.into());
    Event::Wire(Wire::Mount { path, server, status, times: 1 })
}

pub fn nfs(answer: Answer) -> Event {
    Event::Wire(Wire::Nfs { server: "cluster00".into(), answer, times: 1 })
}

pub fn unit(unit: &str, state: UnitState) -> Event {
    Event::Unit { unit: unit.into(), state }
}

pub fn milestone(name: &str, detail: Option<&str>) -> Event {
    Event::Milestone { name: name.into(), detail: detail.map(str::to_owned) }
}

pub fn worker_init(words: &str) -> Event {
    milestone("worker-init", Some(words))
}

pub fn provisioned(module: &str, resource: &str, change: &str) -> Event {
    let (module, resource, change) = (module.into(), resource.into(), change.into());
    Event::Provision(Change { module, resource, change })
}

pub fn power_cut(why: Option<&str>) -> Event {
    Event::PowerOff { end: PowerEnd::Cut, why: why.map(str::to_owned) }
}

pub fn wait_in_vain(awaited: &str) -> Event {
    let last_seen = Some("connection refused".into());
    Event::WaitEnded {
        awaited: awaited.into(),
        reached: false,
        last_seen,
        took: Reading::default(),
    }
}

fn ready() -> Event {
    Event::Ready { name: "ssh".into() }
}

fn power_on() -> Event {
    Event::PowerOn { profile: "virt".into() }
}

/// A run of `netboot` that passed.
pub fn green() -> Log {
    let mut log = Log::default();
    let (scenario, started) = ("netboot".to_owned(), "2025-11-23T18:02:11Z".to_owned());
    log.0.push((None, Event::RunStarted { scenario, started, pid: 4711 }));
    log.step("power on a bare master", |log| {
        let master = [
            power_on(),
            milestone("SD", None),
            starts("kernel8.img", "console=serial0,115200 root=LABEL=rootfs"),
            milestone("kernel", None),
            milestone("initramfs", None),
            milestone("systemd", None),
            unit("systemd-udevd.service", UnitState::Started),
            unit("systemd-networkd.service", UnitState::Started),
            dhcp(Dhcp::Discover, "cluster00", "all"),
            offer("router", "cluster00", None),
            dhcp(Dhcp::Request, "cluster00", "all"),
            dhcp(Dhcp::Ack, "router", "cluster00"),
            unit("network-online.target", UnitState::Started),
            unit("ssh.service", UnitState::Started),
            unit("multi-user.target", UnitState::Started),
            milestone("address", Some("192.168.10.53")),
            ready(),
        ];
        log.all("cluster00", master);
    });
    log.step("provision the master from nothing", |log| {
        let changes = [
            ("network", "file /etc/systemd/network/10-feeder.network", "written: done"),
            ("network", "file /etc/hosts", "written: done"),
            ("boot-server", "file /etc/dnsmasq.d/feeder.conf", "written: done"),
            ("packages", "packages dnsmasq, nfs-kernel-server", "installed: done"),
            ("generation", "generation 1", "published: done"),
            ("nfs", "file /etc/exports.d/feeder.exports", "written: done"),
            ("nfs", "unit nfs-server.service", "enabled, active: done"),
            ("workers", "worker cluster01", "enrolled: done"),
            ("workers", "worker cluster02", "enrolled: done"),
            ("boot-server", "unit dnsmasq.service", "restart: done"),
        ];
        log.all("cluster00", changes.map(|(module, of, done)| provisioned(module, of, done)));
        log.push("cluster00", Event::Provisioned { changed: 39, unchanged: 0 });
        log.push("cluster00", ready());
    });
    log.step("provision again", |log| {
        log.push("cluster00", Event::Provisioned { changed: 0, unchanged: 39 });
        log.push("cluster00", ready());
    });
    log.step("the worker netboots", netboot);
    log.step("what it writes survives a power cut", |log| {
        log.push("cluster01", power_cut(None));
        netboot(log);
    });
    log.end(Ending::Passed, None);
    log
}

fn netboot(log: &mut Log) {
    let text = Some("Raspberry Pi Boot   ");
    let worker = "cluster01";
    log.all(
        worker,
        [
            power_on(),
            Event::Firmware(Firmware::Discover { attempt: 1 }),
            dhcp(Dhcp::Discover, worker, "all"),
            offer("router", worker, None),
            heard("192.168.10.1", None, false, "no option 43"),
            offer("cluster00", worker, text),
            heard(
                "192.168.10.100",
                Some("06 01 03"),
                true,
                "option 43 has \"Raspberry Pi Boot   \"",
            ),
        ],
    );
    for (file, bytes) in [
        ("bootcode.bin", 52_476),
        ("9f404536/start.elf", 2_979_264),
        ("9f404536/config.txt", 412),
        ("9f404536/cmdline.txt", 233),
        ("9f404536/kernel8.img", 9_421_123),
        ("9f404536/initramfs8", 6_821_004),
        ("9f404536/bcm2710-rpi-3-b-plus.dtb", 34_228),
    ] {
        log.all(worker, [sent(file, bytes), fetched(file, bytes)]);
        if bytes == 52_476 {
            let file = "9f404536/autoboot.txt";
            let missing = Event::Firmware(Firmware::Missing { file: file.into() });
            log.all(
                worker,
                [
                    tftp_error(file, 1, "file /srv/feeder/tftp/9f404536/autoboot.txt not found"),
                    missing,
                ],
            );
        }
    }
    log.all(
        worker,
        [
            starts("9f404536/kernel8.img", "ip=dhcp feeder.node=cluster01"),
            milestone("kernel", None),
            milestone("initramfs", None),
            dhcp(Dhcp::Discover, worker, "all"),
            dhcp(Dhcp::Request, worker, "all"),
            dhcp(Dhcp::Ack, "router", worker),
            mount("/srv/feeder/generations/1/root", "ok"),
            nfs(Answer::Accepted),
            mount("/srv/feeder/state/cluster01", "ok"),
            worker_init("cluster01: root is an overlay over overlay; starting the system"),
            milestone("overlay on nfs", None),
            milestone("systemd", None),
            unit("systemd-udevd.service", UnitState::Started),
            unit("systemd-networkd.service", UnitState::Started),
            unit("ssh.service", UnitState::Started),
            unit("multi-user.target", UnitState::Started),
            ready(),
        ],
    );
}

impl Log {
    pub fn push(&mut self, node: &str, event: Event) {
        self.0.push((Some(node.to_owned()), event));
    }

    fn all(&mut self, node: &str, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.push(node, event));
    }

    fn step(&mut self, name: &str, body: impl FnOnce(&mut Self)) {
        let number = self.steps() + 1;
        self.0.push((None, Event::StepStarted { number: number.to_string(), name: name.into() }));
        body(self);
        self.finish(name, Ending::Passed);
    }

    fn steps(&self) -> usize {
        self.0.iter().filter(|(_, event)| matches!(event, Event::StepStarted { .. })).count()
    }

    fn finish(&mut self, name: &str, ending: Ending) {
        let (number, name) = (self.steps().to_string(), name.to_owned());
        let (summary, took) = (None, Reading::default());
        self.0.push((None, Event::StepFinished { number, name, ending, summary, took }));
    }

    fn end(&mut self, ending: Ending, failure: Option<Failure>) {
        for node in ["cluster00", "cluster01"] {
            self.push(node, power_cut(Some("the run is over")));
        }
        let (evidence, versions) = Default::default();
        self.0.push((None, Event::RunFinished { ending, failure, evidence, versions }));
    }

    /// Ends the run in a step.
    pub fn fail(&mut self, step: &str, mut failure: Failure) {
        failure.step =
            Some(Box::new(StepRef { number: self.steps().to_string(), name: step.into() }));
        self.finish(step, Ending::Failed);
        self.end(Ending::Failed, Some(failure));
    }

    /// Where in a step an event is whose line, with its node or what it is about, has these words. Without words: the first.
    fn find(&self, step: &str, words: &str) -> usize {
        let begin = self.0.iter().position(
            |(_, event)| matches!(event, Event::StepStarted { name, .. } if name == step),
        );
        let begin = begin.unwrap() + 1;
        let found = self.0[begin..].iter().position(|(node, event)| {
            let record = record(0, node.clone(), event.clone());
            let node = node.as_deref().unwrap_or_default();
            words.is_empty()
                || Line::of(&record).is_some_and(|line| {
                    format!("{node}: {}", line.text).contains(words) || line.about == words
                })
        });
        begin + found.unwrap_or_else(|| panic!("no \"{words}\" in {step}"))
    }

    pub fn cut_before(&mut self, step: &str, words: &str) {
        let at = self.find(step, words);
        self.0.truncate(at);
    }

    pub fn cut_after(&mut self, step: &str, words: &str) {
        let at = self.find(step, words);
        self.0.truncate(at + 1);
    }

    /// Removes what the words fit of a step, as often as they do within it.
    pub fn remove(&mut self, step: &str, words: &str) {
        let first = self.find(step, words);
        let about = |(node, event): &(Option<String>, Event)| {
            let node_name = node.as_deref().unwrap_or_default();
            Line::of(&record(0, node.clone(), event.clone()))
                .is_some_and(|line| format!("{node_name}: {}", line.text).contains(words))
        };
        let mut at = first;
        while at < self.0.len() && !matches!(self.0[at].1, Event::StepFinished { .. }) {
            if about(&self.0[at]) {
                self.0.remove(at);
            } else {
                at += 1;
            }
        }
    }

    pub fn replace(&mut self, step: &str, words: &str, change: impl FnOnce(&mut Event)) {
        let at = self.find(step, words);
        change(&mut self.0[at].1);
    }

    pub fn insert_before(&mut self, step: &str, words: &str, node: &str, event: Event) {
        let at = self.find(step, words);
        self.0.insert(at, (Some(node.to_owned()), event));
    }

    /// The records of a run of this, with the chance that no two runs share: times, leases, what was sent twice, which of two
    /// units was first.
    pub fn records(&self, seed: u64) -> Vec<Record> {
        let mut events = self.0.clone();
        let mut chance = seed;
        for at in 1..events.len() {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let odd = chance >> 62;
            let is_unit = |at: usize| matches!(events[at].1, Event::Unit { .. });
            if odd == 0 && is_unit(at) && is_unit(at - 1) {
                events.swap(at - 1, at);
            }
            let address = std::net::Ipv4Addr::new(192, 168, 10, 50 + (chance >> 60) as u8);
            match &mut events[at].1 {
                Event::Wire(Wire::Dhcp { yiaddr, from, .. }) if from == "router" => {
                    *yiaddr = Some(address)
                }
                Event::Milestone { name, detail } if name == "address" => {
                    *detail = Some(address.to_string())
                }
                Event::Firmware(Firmware::Fetched { file, retransmits, bytes }) => {
                    *retransmits = odd;
                    if file.ends_with("initramfs8") {
                        *bytes += chance >> 56;
                    }
                }
                _ => {}
            }
        }
        let again = |(node, event): &(Option<String>, Event)| {
            let repeats = matches!(event, Event::Firmware(Firmware::Discover { .. }))
                && seed.is_multiple_of(2);
            vec![(node.clone(), event.clone()); if repeats { 2 } else { 1 }]
        };
        (1..)
            .zip(events.iter().flat_map(again))
            .map(|(seq, (node, event))| record(seq, node, event))
            .collect()
    }
}

pub fn record(seq: u64, node: Option<String>, event: Event) -> Record {
    let at = Reading { wall: Duration::from_secs(seq), guest: Duration::from_secs(seq / 2) };
    Record { seq, at, node, node_guest_s: None, reused: false, event }
}
