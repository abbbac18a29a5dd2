//! How far a worker is: a state machine whose only inputs are signs of life with their times.

use std::time::Duration;

use feeder_cluster::Worker;
use serde::Serialize;

use super::{Moment, health::Health};

/// How far a node is on its way from power to work. The names are an interface, in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nothing is heard of it.
    Silent,
    /// It asks for a boot server.
    Asks,
    /// Its firmware fetches files.
    Firmware,
    /// It has fetched its kernel.
    Kernel,
    /// Its kernel has mounted the root over NFS.
    Root,
    /// It answers over SSH.
    Up,
}

/// What tells that a worker lives, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It asked for a boot server, and is served or not.
    Asked { served: bool },
    /// Its firmware has looked whether a file is there, and fetches it next.
    Wants(String),
    /// Its firmware has fetched a file.
    Fetched(String),
    /// A file did not reach it.
    Lost(String),
    /// Its firmware asked for a file that is not there.
    Lacks(String),
    /// Its firmware asked in a folder that is not its own.
    Elsewhere(String),
    /// dnsmasq may not read a file of its own.
    Unreadable(String, String),
    /// It mounted a folder.
    Mounted(String),
    /// It may not mount a folder.
    Refused(String, String),
    /// It has a connection to the NFS server, and its neighbours hear of it.
    Connected,
    /// It is heard of, in no way that tells how far it is.
    Heard,
    /// It answered over SSH.
    Answered(Health),
    /// SSH answered, and does not let us in.
    Closed(String),
    /// SSH did not answer.
    Unanswered,
}

/// Files without which no worker boots. Others may be missing, and as a rule are (boot-net.adoc, logs of boards).
const ESSENTIAL: &[&str] =
    &["bootcode.bin", "start.elf", "start_cd.elf", "config.txt", "cmdline.txt", "kernel8.img"];
/// Between ROM and `bootcode.bin` a board asks once more; later than this it has started anew.
const SECOND_ROUND: Duration = Duration::from_secs(60);
/// Questions further apart than this are of two starts.
const SAME_START: Duration = Duration::from_secs(60);
/// A worker that is up may miss one login of ours, as long as it is busy.
const MISSES: u32 = 2;

/// What is known of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) worker: Worker,
    pub(crate) stage: Stage,
    /// Since when it is there; none when it was never heard of.
    pub(crate) since: Option<Moment>,
    /// Its last sign of life.
    pub(crate) last: Option<Moment>,
    /// Where it was before it fell silent.
    pub(crate) before: Option<Stage>,
    /// How often it asked for a boot server since its last start.
    pub(crate) tries: u32,
    /// dnsmasq serves it; none when it has not asked.
    pub(crate) served: Option<bool>,
    /// The file that its firmware is at, and whether all of it has been sent.
    pub(crate) file: Option<(String, bool)>,
    /// What is wrong with this boot.
    pub(crate) fault: Option<Fault>,
    /// What it said of itself last; only while it is up.
    pub(crate) health: Option<Health>,
    /// Why nobody can log in.
    pub(crate) closed: Option<String>,
    misses: u32,
}

/// What was seen to go wrong with a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A file did not arrive.
    Lost(String),
    /// A file that it needs is not there.
    Lacks(String),
    /// It asked for its files in another folder.
    Elsewhere(String),
    /// dnsmasq may not read a file.
    Unreadable(String, String),
    /// The NFS server refused a folder.
    Refused(String, String),
}

impl Node {
    pub(crate) fn new(worker: Worker) -> Self {
        Self {
            worker,
            stage: Stage::Silent,
            since: None,
            last: None,
            before: None,
            tries: 0,
            served: None,
            file: None,
            fault: None,
            health: None,
            closed: None,
            misses: 0,
        }
    }

    /// What a sign changes. One that is older than the last one changes nothing.
    pub(crate) fn apply(&mut self, at: Moment, sign: Sign) {
        if self.last.is_some_and(|last| at < last) {
            return;
        }
        if sign != Sign::Unanswered {
            self.last = Some(at);
        }
        match sign {
            Sign::Asked { served } => self.asked(at, served),
            Sign::Wants(file) => self.at_file(at, file, false),
            Sign::Fetched(file) => self.at_file(at, file, true),
            Sign::Lost(file) => {
                self.at_file(at, file.clone(), false);
                self.fault = Some(Fault::Lost(file));
            }
            Sign::Lacks(file) => {
                if ESSENTIAL.contains(&file.as_str()) {
                    // One that asks in a wrong folder lacks all of them.
                    self.fault.get_or_insert(Fault::Lacks(file));
                }
            }
            Sign::Elsewhere(folder) => {
                self.enter(at, Stage::Firmware);
                self.fault = Some(Fault::Elsewhere(folder));
            }
            Sign::Unreadable(file, why) => self.fault = Some(Fault::Unreadable(file, why)),
            Sign::Mounted(path) => {
                if path.ends_with("/root") && path.contains("/generations/") {
                    self.enter(at, Stage::Root);
                    self.fault = None;
                }
            }
            Sign::Refused(path, why) => self.fault = Some(Fault::Refused(path, why)),
            Sign::Connected => {
                if self.stage == Stage::Silent {
                    self.enter(at, Stage::Root);
                }
            }
            Sign::Heard => {}
            Sign::Answered(health) => {
                self.up(at.back(health.uptime));
                self.health = Some(health);
                self.closed = None;
            }
            Sign::Closed(why) => {
                self.up(at);
                self.health = None;
                self.closed = Some(why);
            }
            Sign::Unanswered => {
                self.misses += 1;
                if self.stage == Stage::Up && self.misses >= MISSES {
                    self.before = Some(self.stage);
                    self.enter(self.last.unwrap_or(at), Stage::Silent);
                }
            }
        }
    }

    fn up(&mut self, since: Moment) {
        self.misses = 0;
        if self.stage != Stage::Up {
            self.enter(since, Stage::Up);
        }
        self.fault = None;
    }

    fn asked(&mut self, at: Moment, served: bool) {
        let again = |within: Duration| self.since.is_some_and(|since| at.since(since) <= within);
        match self.stage {
            Stage::Firmware if again(SECOND_ROUND) => {}
            Stage::Asks if again(SAME_START) => self.tries += 1,
            _ => {
                // It has lost its power, or has started anew.
                self.enter(at, Stage::Asks);
                self.since = Some(at);
                (self.tries, self.file, self.fault) = (1, None, None);
            }
        }
        self.served = Some(served);
    }

    fn at_file(&mut self, at: Moment, file: String, whole: bool) {
        let kernel = is_kernel(&file);
        let stage = match self.stage {
            _ if kernel && whole => Stage::Kernel,
            // An initramfs may come behind the kernel.
            Stage::Kernel if kernel || file.starts_with("init") => Stage::Kernel,
            _ => Stage::Firmware,
        };
        self.enter(at, stage);
        self.file = Some((file, whole));
        if matches!(self.fault, Some(Fault::Lost(_))) {
            self.fault = None;
        }
    }

    fn enter(&mut self, at: Moment, stage: Stage) {
        if self.stage != stage {
            self.stage = stage;
            self.since = Some(at);
        }
        if stage != Stage::Silent {
            self.before = None;
        }
        if stage != Stage::Up {
            (self.health, self.closed) = (None, None);
        }
    }

    /// Nothing is wrong with it, as far as it says.
    pub(crate) fn is_well(&self) -> bool {
        self.stage == Stage::Up && self.health.as_ref().is_some_and(Health::is_well)
    }
}

fn is_kernel(file: &str) -> bool {
    file.starts_with("kernel") && file.ends_with(".img")
}
