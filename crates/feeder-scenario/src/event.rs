//! What can happen in a run. The names in JSON are an interface: `events.jsonl` of old runs is read again.

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Ending, Evidence, Failure, Reading, clock::seconds, wire::Wire};

/// One thing that happened. In JSON, `kind` says which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The run began. Written before anything of the scenario runs.
    RunStarted {
        /// The scenario's name.
        scenario: String,
        /// When, as RFC 3339 in UTC.
        started: String,
        /// The process that runs it.
        pid: u32,
    },
    /// The run ended; nothing follows but the reports.
    RunFinished {
        /// How.
        ending: Ending,
        /// Why not well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
        /// What it leaves to look at.
        evidence: Vec<Evidence>,
        /// What it ran with: program or image, and its version or digest.
        versions: BTreeMap<String, String>,
    },
    /// A step began.
    StepStarted {
        /// `3`, or `3.1` inside step 3.
        number: String,
        /// Its sentence.
        name: String,
    },
    /// A step ended.
    StepFinished {
        /// Its number.
        number: String,
        /// Its sentence.
        name: String,
        /// How it ended.
        ending: Ending,
        /// What came out of it, in a few words: "47 changed".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
        /// How long it took.
        took: Reading,
    },
    /// A place on the LAN, told before anything has power.
    Member {
        /// What it is there for.
        role: Role,
        /// Which board it is meant to be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        board: Option<String>,
        /// Its Ethernet address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<String>,
        /// The address that the cluster gives it.
        address: Ipv4Addr,
    },
    /// Something that the machines need is there: tools, images.
    Prepared {
        /// What.
        what: String,
        /// How it came: "from store", "12 of 12 present".
        summary: String,
    },
    /// A machine was given power.
    PowerOn {
        /// Its board profile.
        profile: String,
    },
    /// A machine lost power.
    PowerOff {
        /// How.
        end: PowerEnd,
        /// Why, when it was not asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The boot firmware of a machine did something.
    Firmware(Firmware),
    /// Something was said on the LAN by or to a machine.
    Wire(Wire),
    /// The first process of a machine told of a unit.
    Unit {
        /// The unit's name: `dnsmasq.service`.
        unit: String,
        /// What became of it.
        state: UnitState,
    },
    /// A machine said that nothing more is to be expected of it: its kernel panicked, it stands at an emergency prompt.
    DeadEnd {
        /// Its words.
        words: String,
    },
    /// A machine came to a point of its boot that has a name: `SD`, `kernel8.img`, `systemd`, `nfs`.
    Milestone {
        /// The point's name.
        name: String,
        /// More about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// A machine can be used; its boot is over.
    Ready {
        /// By what it can be used: `ssh`.
        name: String,
    },
    /// Provisioning changed something on a host.
    Provision(Change),
    /// Provisioning of a host ended.
    Provisioned {
        /// Resources that were changed.
        changed: usize,
        /// Resources that were as wanted.
        unchanged: usize,
    },
    /// Somebody waits for something.
    WaitStarted {
        /// What for.
        awaited: String,
        /// The guests' work that it may take, in seconds of vCPU time.
        #[serde(rename = "budget_s", with = "seconds")]
        budget: Duration,
    },
    /// The waiting is over.
    WaitEnded {
        /// What for.
        awaited: String,
        /// Whether it came.
        reached: bool,
        /// What was seen last, when the one who waited could tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_seen: Option<String>,
        /// How long it took.
        took: Reading,
    },
    /// Something goes wrong on purpose, or such a thing is over.
    Fault {
        /// What: "5 % loss on cluster01, both directions, for 60 s".
        text: String,
    },
    /// What the run itself took beside its machines.
    OwnWork {
        /// CPU time of the process that held the LAN, the firmware's twin and the story, in seconds. Programs that it started,
        /// the machines among them, are not in it.
        #[serde(rename = "cpu_s", with = "seconds")]
        cpu: Duration,
    },
    /// Something worth a line.
    Note {
        /// The line.
        text: String,
    },
}

/// What a place on the LAN is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The way out, and a DHCP server that knows nothing of the cluster.
    Router,
    /// The node with a disk.
    Master,
    /// A node without.
    Worker,
}

/// How a machine lost its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerEnd {
    /// It shut down by itself, as it was told to.
    Shutdown,
    /// Its power was cut.
    Cut,
    /// It restarted by itself, as it was told to; its firmware runs again.
    Restart,
    /// Its process died without being asked to.
    Died,
}

/// What became of a unit when it was to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    /// It runs, or has done its work.
    Started,
    /// It failed.
    Failed,
    /// Something that it needs failed.
    Dependency,
    /// It, or what it waits for, did not come in time.
    TimedOut,
}

/// What a boot firmware does, as far as it can be seen from outside. In JSON, `what` says which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Firmware {
    /// It looked for something to start on a disk.
    Looked {
        /// Where: `the SD card`, `the USB disk ssd`, `USB`.
        place: String,
        /// Who looked, where, and what came of it.
        said: String,
    },
    /// It sent a DHCP DISCOVER.
    Discover {
        /// The how manieth, from 1.
        attempt: u32,
    },
    /// It heard a DHCP OFFER.
    Offer {
        /// The server's address.
        from: Ipv4Addr,
        /// The address that is offered; `0.0.0.0` from a proxy.
        yiaddr: Ipv4Addr,
        /// Option 43 as hexadecimal, when the offer has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        option43: Option<String>,
        /// Whether the firmware takes it.
        accepted: bool,
        /// Why it does or does not.
        why: String,
    },
    /// It asks for a file.
    Requested {
        /// The file's path on the server.
        file: String,
    },
    /// It has a whole file.
    Fetched {
        /// The file's path.
        file: String,
        /// The file's size in bytes.
        bytes: u64,
        /// Blocks that came more than once.
        #[serde(default)]
        retransmits: u64,
    },
    /// The server does not have a file.
    Missing {
        /// The file's path.
        file: String,
    },
    /// It starts a kernel.
    Starts {
        /// The kernel's file.
        kernel: String,
        /// The kernel's command line.
        command_line: String,
    },
    /// It gave up. A 3B+ stays so until its power is cycled.
    GaveUp {
        /// Why.
        why: String,
    },
}

/// A resource that provisioning changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The module that wants it.
    pub module: String,
    /// The resource: `file /etc/dnsmasq.d/feeder.conf`.
    pub resource: String,
    /// What was done to it.
    pub change: String,
}

impl Event {
    /// One line for people about an event of a machine's boot; `None` for events that are not about one.
    pub fn boot_line(&self) -> Option<String> {
        Some(match self {
            Self::PowerOn { profile } => format!("power on ({profile})"),
            Self::PowerOff { end, why } => {
                let how = match end {
                    PowerEnd::Shutdown => "shut down",
                    PowerEnd::Cut => "power cut",
                    PowerEnd::Restart => "restarts",
                    PowerEnd::Died => "its process died",
                };
                why.as_ref().map_or_else(|| how.to_owned(), |why| format!("{how}: {why}"))
            }
            Self::Firmware(firmware) => firmware.to_string(),
            Self::Unit { state: UnitState::Started, .. } => return None,
            Self::Unit { unit, state } => format!("{unit} {state}"),
            Self::DeadEnd { words } => words.clone(),
            Self::Milestone { name, detail } => {
                detail.as_ref().map_or_else(|| name.clone(), |detail| format!("{name}: {detail}"))
            }
            Self::Ready { name } => format!("{name} answers"),
            _ => return None,
        })
    }
}

impl std::fmt::Display for UnitState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Failed => "failed",
            Self::Dependency => "was not started: something that it needs failed",
            Self::TimedOut => "did not come in time",
        })
    }
}

impl std::fmt::Display for Firmware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Discover { attempt } => write!(f, "DISCOVER, attempt {attempt}"),
            Self::Offer { from, accepted, why, .. } => {
                let did = if *accepted { "took" } else { "ignored" };
                write!(f, "{did} the OFFER of {from}: {why}")
            }
            Self::Requested { file } => write!(f, "asked for {file}"),
            Self::Fetched { file, bytes, retransmits } => {
                write!(f, "fetched {file}, {}", feeder_ui::size(*bytes))?;
                if *retransmits > 0 {
                    write!(f, ", {} again", feeder_ui::plural(*retransmits as usize, "block"))?;
                }
                Ok(())
            }
            Self::Missing { file } => write!(f, "{file} is not on the server"),
            Self::Starts { kernel, .. } => write!(f, "starts {kernel}"),
            Self::Looked { said, .. } => f.write_str(said),
            Self::GaveUp { why } => write!(f, "gave up: {why}"),
        }
    }
}
