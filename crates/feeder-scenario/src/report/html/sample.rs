//! Two runs as a real cluster leaves them: a master and two workers, one power cut; and one whose worker gets no answer.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use super::super::Evidence;
use crate::{
    Ending, Event, Failure, Firmware, PowerEnd, Reading, Record, Report, Role, StepRef, Wire,
};

const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);
const MASTER: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 100);

/// Text that a guest may print, and that must stay text.
pub const HOSTILE: &str = "</script><img src=x onerror=\"document.title='owned'\"> & <b>bold</b>";

pub struct Sample {
    pub records: Vec<Record>,
    pub consoles: BTreeMap<String, String>,
}

impl Sample {
    pub fn report(&self) -> Report {
        Report::from_records(&self.records)
    }

    pub fn html(&self) -> String {
        self.report().html(&self.records, |node| self.consoles.get(node).cloned()).unwrap()
    }
}

#[derive(Default)]
struct Tale {
    records: Vec<Record>,
    now: Reading,
    guests: BTreeMap<&'static str, Duration>,
    consoles: BTreeMap<String, String>,
    /// When each console was opened.
    opened: BTreeMap<&'static str, Duration>,
}

impl Tale {
    fn pass(&mut self, millis: u64) -> &mut Self {
        self.now.wall += Duration::from_millis(millis);
        self
    }

    fn tell(&mut self, node: Option<&'static str>, event: Event) -> &mut Self {
        let node_guest_s = node.and_then(|node| self.guests.get(node).copied());
        self.records.push(Record {
            seq: self.records.len() as u64 + 1,
            at: self.now,
            node: node.map(str::to_owned),
            node_guest_s,
            reused: false,
            event,
        });
        self
    }

    /// Time in which a machine works most of the time.
    fn work(&mut self, node: &'static str, millis: u64) -> &mut Self {
        let work = Duration::from_millis(millis * 9 / 10);
        *self.guests.entry(node).or_default() += work;
        self.now.guest += work;
        self.pass(millis)
    }

    fn firmware(&mut self, node: &'static str, firmware: Firmware) -> &mut Self {
        self.tell(Some(node), Event::Firmware(firmware))
    }

    fn starts(&mut self, node: &'static str) -> &mut Self {
        let kernel = "kernel8.img".to_owned();
        let command_line = "console=ttyAMA0,115200 root=/dev/nfs nfsroot=192.168.10.100:/srv/feeder/generations/1/root,vers=3,tcp ip=dhcp init=/usr/lib/feeder/worker-init".to_owned();
        self.firmware(node, Firmware::Starts { kernel, command_line });
        self.pass(200);
        self.opened.insert(node, self.now.wall);
        self
    }

    fn say(&mut self, node: &'static str, line: &str) -> &mut Self {
        let at = (self.now.wall - self.opened[node]).as_secs_f64();
        let log = self.consoles.entry(node.to_owned()).or_default();
        log.push_str(&format!("[{at:9.3}] {line}\n"));
        self
    }

    fn milestone(&mut self, node: &'static str, name: &str, detail: Option<&str>) -> &mut Self {
        let event = Event::Milestone { name: name.into(), detail: detail.map(str::to_owned) };
        self.tell(Some(node), event)
    }

    fn waited(&mut self, node: &'static str, awaited: &str, reached: bool, wall: u64) -> &mut Self {
        let took =
            Reading { wall: Duration::from_secs(wall), guest: Duration::from_secs(wall / 2) };
        let last_seen = (!reached).then(|| "connection refused".to_owned());
        let awaited = awaited.to_owned();
        self.tell(Some(node), Event::WaitEnded { awaited, reached, last_seen, took })
    }

    fn step(
        &mut self,
        number: &str,
        name: &str,
        play: impl FnOnce(&mut Self) -> Ending,
    ) -> &mut Self {
        let (number, name) = (number.to_owned(), name.to_owned());
        let began = self.now;
        self.tell(None, Event::StepStarted { number: number.clone(), name: name.clone() });
        let ending = play(self);
        let summary = match &*number {
            "2" => Some("39 changed".to_owned()),
            "3" => Some("nothing to do".to_owned()),
            _ => None,
        };
        let took = self.now.since(began);
        self.tell(None, Event::StepFinished { number, name, ending, summary, took })
    }

    fn kernel(&mut self, node: &'static str) -> &mut Self {
        self.work(node, 300);
        self.say(node, "[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x410fd034]");
        self.milestone(node, "kernel", None);
        for (millis, line) in [
            (
                10,
                "[    0.000000] Linux version 6.12.48+deb13-arm64 (debian-kernel@lists.debian.org)",
            ),
            (5, "[    0.000000] KASLR enabled"),
            (10, "[    0.000000] Machine model: linux,dummy-virt"),
            (900, "[    0.412345] SMP: Total of 2 processors activated."),
            (700, "[    1.203113] virtio_net virtio0 eth0: link becomes ready"),
            (2100, "[    2.901221] Run /init as init process"),
        ] {
            self.work(node, millis).say(node, line);
        }
        self.milestone(node, "initramfs", None)
    }

    fn userland(&mut self, node: &'static str, units: &[&str]) -> &mut Self {
        self.work(node, 3000)
            .say(node, "systemd[1]: systemd 257.8-1 running in system mode (+PAM +AUDIT)");
        self.milestone(node, "systemd", None);
        for unit in units {
            self.work(node, 1900).say(node, &format!("[  OK  ] Started {unit}."));
        }
        self
    }

    fn master_boots(&mut self) -> &mut Self {
        let node = "cluster00";
        self.tell(Some(node), Event::PowerOn { profile: "virt".into() });
        self.pass(400).milestone(node, "SD", None);
        self.starts(node).kernel(node);
        self.userland(
            node,
            &[
                "systemd-networkd.service - Network Configuration",
                "ssh.service - OpenBSD Secure Shell server",
                "nfs-kernel-server.service - NFS server and services",
            ],
        );
        self.milestone(node, "address", Some("192.168.10.61"));
        self.work(node, 9000).say(node, "Debian GNU/Linux 13 cluster00 ttyAMA0");
        self.say(node, HOSTILE).say(node, "").say(node, "cluster00 login: ");
        self.tell(Some(node), Event::Ready { name: "ssh".into() });
        self.waited(node, "an SSH login", true, 21)
    }

    fn discover(&mut self, node: &'static str, attempt: u32) -> &mut Self {
        self.pass(600).firmware(node, Firmware::Discover { attempt });
        let yiaddr = Ipv4Addr::new(192, 168, 10, 52);
        let why = match attempt {
            1 => "takes its address, and waits for a boot server",
            _ => "no option 43",
        };
        let why = why.to_owned();
        let option43 = None;
        self.pass(40);
        self.firmware(
            node,
            Firmware::Offer { from: ROUTER, yiaddr, option43, accepted: attempt == 1, why },
        )
    }

    fn worker_boots(&mut self, node: &'static str, serial: &str) -> &mut Self {
        self.tell(Some(node), Event::PowerOn { profile: "virt".into() });
        self.discover(node, 1);
        let option43 = Some("06 01 03 0a 04 00 50 58 45 09 14".to_owned());
        let why = "option 43 names a Raspberry Pi Boot".to_owned();
        self.work("cluster00", 700).firmware(
            node,
            Firmware::Offer {
                from: MASTER,
                yiaddr: Ipv4Addr::UNSPECIFIED,
                option43,
                accepted: true,
                why,
            },
        );
        for (file, bytes, retransmits) in [
            ("bootsig.bin", 0, 0),
            ("bootcode.bin", 52_480, 0),
            ("config.txt", 1_412, 0),
            ("recovery.elf", 0, 0),
            ("start.elf", 2_981_376, 2),
            ("fixup.dat", 7_266, 0),
            ("cmdline.txt", 214, 0),
            ("bcm2710-rpi-3-b.dtb", 34_228, 0),
            ("initramfs8", 8_913_102, 1),
            ("kernel8.img", 9_404_928, 0),
        ] {
            let file = format!("{serial}/{file}");
            self.pass(60).firmware(node, Firmware::Requested { file: file.clone() });
            self.work("cluster00", 120 + bytes / 4000);
            self.firmware(
                node,
                match bytes {
                    0 => Firmware::Missing { file },
                    _ => Firmware::Fetched { file, bytes, retransmits },
                },
            );
        }
        self.waited(node, "a kernel from the network", true, 7);
        self.starts(node).kernel(node);
        for path in ["/srv/feeder/generations/1/root", "/srv/feeder/state/worker"] {
            let (path, server, status) = (path.to_owned(), "cluster00".to_owned(), "ok".to_owned());
            self.work(node, 300)
                .tell(Some(node), Event::Wire(Wire::Mount { path, server, status, times: 1 }));
        }
        self.work(node, 600).say(
            node,
            "worker-init: root is an overlay over 192.168.10.100:/srv/feeder/generations/1/root",
        );
        self.milestone(node, "overlay on nfs", None)
    }

    fn up(&mut self, node: &'static str) -> &mut Self {
        self.userland(
            node,
            &[
                "ssh.service - OpenBSD Secure Shell server",
                "docker.service - Docker Application Container Engine",
            ],
        );
        self.work(node, 6000).say(node, "Debian GNU/Linux 13 ttyAMA0");
        self.tell(Some(node), Event::Ready { name: "ssh".into() });
        self.waited(node, "an SSH login", true, 16)
    }

    fn beginning() -> Self {
        let mut tale = Self::default();
        let (scenario, started) = ("netboot".to_owned(), "2025-11-23T06:43:04Z".to_owned());
        tale.tell(None, Event::RunStarted { scenario, started, pid: 4711 });
        tale.pass(300);
        for (what, summary) in [
            ("tools", "22 of 22 present"),
            ("packages", "189 from store"),
            ("image", "master-sd 97e5b72 from store"),
        ] {
            let (what, summary) = (what.to_owned(), summary.to_owned());
            tale.pass(150).tell(None, Event::Prepared { what, summary });
        }
        let members = [
            ("router", Role::Router, None, None, 1),
            ("cluster00", Role::Master, Some("3B"), Some("b8:27:eb:00:00:64"), 100),
            ("cluster01", Role::Worker, Some("3B"), Some("b8:27:eb:9f:27:eb"), 101),
            ("cluster02", Role::Worker, Some("3B+"), Some("b8:27:eb:5a:11:02"), 102),
        ];
        for (name, role, board, mac, last) in members {
            let (board, mac) = (board.map(str::to_owned), mac.map(str::to_owned));
            let address = Ipv4Addr::new(192, 168, 10, last);
            tale.tell(Some(name), Event::Member { role, board, mac, address });
        }
        tale.step("1", "power on a bare master", |tale| {
            tale.master_boots();
            Ending::Passed
        });
        tale.step("2", "provision the master from nothing", |tale| {
            for unit in ["dnsmasq.service", "nfs-server.service", "rpc-statd.service"] {
                tale.work("cluster00", 9000);
                tale.say("cluster00", &format!("systemd[1]: Started {unit}."));
            }
            Ending::Passed
        });
        tale.step("3", "provision again", |tale| {
            tale.work("cluster00", 6200);
            Ending::Passed
        });
        tale
    }

    fn first_worker_boots(&mut self) {
        self.step("4.1", "cluster01 boots", |tale| {
            tale.worker_boots("cluster01", "9f27eb").up("cluster01");
            Ending::Passed
        });
    }

    fn end(mut self, failure: Option<Failure>) -> Sample {
        for node in ["cluster02", "cluster01", "cluster00"] {
            if self.guests.contains_key(node) {
                let why = Some("the run is over".to_owned());
                self.tell(Some(node), Event::PowerOff { end: PowerEnd::Cut, why });
            }
        }
        let evidence = [
            ("report", "report.html", None),
            ("text", "report.txt", None),
            ("trace", "trace.json", None),
            ("events", "events.jsonl", None),
            ("capture", "lan.pcapng", Some("18,204 frames")),
        ];
        let evidence = evidence.map(|(what, file, note)| Evidence {
            what: what.into(),
            file: file.into(),
            note: note.map(str::to_owned),
        });
        let versions = [("feeder", "0.1.0"), ("qemu", "10.0.2"), ("image master-sd", "97e5b72")];
        let versions = versions.map(|(of, version)| (of.to_owned(), version.to_owned())).into();
        let ending = failure.as_ref().map_or(Ending::Passed, |_| Ending::Failed);
        let evidence = evidence.into();
        self.pass(500).tell(None, Event::RunFinished { ending, failure, evidence, versions });
        Sample { records: self.records, consoles: self.consoles }
    }
}

/// Both workers boot, and one of them a second time after a power cut.
pub fn passed() -> Sample {
    let mut tale = Tale::beginning();
    tale.step("4", "the workers netboot", |tale| {
        tale.first_worker_boots();
        tale.step("4.2", "cluster02 boots", |tale| {
            tale.worker_boots("cluster02", "5a1102").up("cluster02");
            Ending::Passed
        });
        Ending::Passed
    });
    tale.step("5", "what it writes survives a power cut", |tale| {
        tale.work("cluster01", 800);
        tale.tell(Some("cluster01"), Event::PowerOff { end: PowerEnd::Cut, why: None });
        tale.tell(None, Event::Note { text: "cluster01 lost its power while it wrote".into() });
        tale.pass(300).worker_boots("cluster01", "9f27eb").up("cluster01");
        Ending::Passed
    });
    tale.step("6", "provision a third time", |tale| {
        tale.work("cluster00", 6000);
        Ending::Passed
    });
    tale.end(None)
}

/// The second worker hears no boot server.
pub fn failed() -> Sample {
    let mut tale = Tale::beginning();
    tale.step("4", "the workers netboot", |tale| {
        tale.first_worker_boots();
        tale.step("4.2", "cluster02 boots", |tale| {
            let node = "cluster02";
            tale.tell(Some(node), Event::PowerOn { profile: "virt".into() });
            for attempt in 1..=5 {
                tale.discover(node, attempt);
                tale.work("cluster00", 5600);
            }
            let why = "no OFFER named a boot server".to_owned();
            tale.firmware(node, Firmware::GaveUp { why });
            tale.waited(node, "a kernel from the network", false, 30);
            let why = Some("cluster02 does not boot: no OFFER named a boot server".to_owned());
            tale.tell(Some(node), Event::PowerOff { end: PowerEnd::Cut, why });
            Ending::Failed
        });
        Ending::Failed
    });
    let step = StepRef { number: "4.2".into(), name: "cluster02 boots".into() };
    tale.end(Some(Failure {
        step: Some(Box::new(step)),
        ..Failure::product("cluster02 does not boot: no OFFER named a boot server")
            .on("cluster02")
            .detail(
                "last event on cluster02, 5 s ago: ignored the OFFER of 192.168.10.1: no option 43",
            )
            .detail("cluster00 worked for 25 s meanwhile and said last:")
            .detail("  | systemd[1]: Started rpc-statd.service.")
            .with_hint("a real board stays silent now until its power is cycled")
    }))
}
