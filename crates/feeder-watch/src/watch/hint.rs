//! Why a worker stands where it stands, as far as is known of boards.
//!
//! Issue numbers are those of raspberrypi/firmware, where the causes are described.

use std::time::Duration;

use feeder_cluster::{Board, Cluster};

use super::{
    Moment,
    look::Look,
    node::{Fault, Node, Stage},
};

/// A boot takes no longer than this in one place: firmware a few seconds for a file, a kernel half a minute.
const OF_FIRMWARE: Duration = Duration::from_secs(20);
/// dnsmasq logs no more than the end of a file: 1.6 MB/s are usual on a 3B+ (#1012).
const OF_LARGE_FILE: Duration = Duration::from_secs(90);
const OF_KERNEL: Duration = Duration::from_secs(60);
const OF_SYSTEM: Duration = Duration::from_secs(120);

/// What whoever waits for a worker should know and can do; none while it is on its way or well.
pub(crate) fn hint(
    node: &Node,
    cluster: &Cluster,
    look: Option<&Look>,
    now: Moment,
) -> Option<String> {
    let master = cluster.master.name.as_str();
    let name = node.worker.name.as_str();
    if let Some(fault) = &node.fault {
        return Some(of_fault(fault, node, master));
    }
    let idle = node.last.map(|last| now.since(last));
    let stands = |longer: Duration| idle.is_some_and(|idle| idle >= longer);
    let lacks = |unit: &str| {
        let state = look?.units.get(unit).filter(|state| *state != "active")?;
        Some(format!(
            "{unit} is {state} on {master}: `cargo xtask provision`, `cargo xtask node logs {master} --unit {unit}`"
        ))
    };
    match node.stage {
        Stage::Up => of_system(node, name),
        Stage::Silent | Stage::Asks if lacks("dnsmasq").is_some() => lacks("dnsmasq"),
        Stage::Silent => Some(match (node.before, node.last) {
            (Some(_), _) => {
                "it was up: its power is gone, or its system hangs; cut its power and give it again"
                    .to_owned()
            }
            (None, Some(_)) => {
                "its neighbours hear it, SSH does not answer: look at its console, or cut its power"
                    .to_owned()
            }
            (None, None) => never_heard(node.worker.board, master),
        }),
        Stage::Asks if node.served == Some(false) => Some(format!(
            "dnsmasq on {master} does not know it yet: run `cargo xtask provision`, then cut its power and give it again"
        )),
        Stage::Asks if stands(OF_FIRMWARE) => Some(of_question(node, cluster)),
        Stage::Firmware if stands(of_file(node)) => Some(of_firmware(node)),
        Stage::Kernel if stands(OF_KERNEL) => lacks("nfs-server").or_else(|| {
            Some("its kernel did not mount its root: its serial console says why, or the kernel does not fit the board".to_owned())
        }),
        Stage::Root if stands(OF_SYSTEM) => lacks("nfs-server").or_else(|| {
            Some("its root is mounted and SSH does not answer: its console says what its start waits for, as a rule its state image".to_owned())
        }),
        Stage::Asks | Stage::Firmware | Stage::Kernel | Stage::Root => None,
    }
}

/// How long the file may take that a worker is at.
fn of_file(node: &Node) -> Duration {
    match &node.file {
        Some((file, false)) if file.starts_with("kernel") || file.starts_with("init") => {
            OF_LARGE_FILE
        }
        _ => OF_FIRMWARE,
    }
}

fn of_fault(fault: &Fault, node: &Node, master: &str) -> String {
    let again = "then cut its power and give it again";
    match fault {
        Fault::Lost(file) => format!(
            "{file} did not reach it, and a board does not ask twice (#1025): look at cable and switch, {again}"
        ),
        Fault::Lacks(file) => {
            format!("{file} is not there for it: run `cargo xtask provision`, {again}")
        }
        Fault::Elsewhere(folder) => match node.worker.serial {
            Some(serial) => format!(
                "it asks for its files as {folder}, and cluster.toml gives it the serial number {serial}: write {folder} there, run `cargo xtask provision`, {again}"
            ),
            None => format!(
                "it asks for its files as {folder}: write serial = \"{folder}\" into cluster.toml, run `cargo xtask provision`, {again}"
            ),
        },
        Fault::Unreadable(file, why) => {
            format!("dnsmasq on {master} cannot read {file} ({why}): run `cargo xtask provision`")
        }
        Fault::Refused(path, why) => format!(
            "{master} did not let it mount {path} ({why}): run `cargo xtask provision`, {again}"
        ),
    }
}

fn never_heard(board: Board, master: &str) -> String {
    let first = match board {
        Board::Pi3B => {
            "no power, no cable, or its ROM was never told to boot from the network (`program_usb_boot_mode=1`, once, from an SD card)"
        }
        Board::Pi3BPlus => "no power, no cable, or a USB device that keeps it from booting (#1706)",
    };
    format!("{first}; {}, so give it power anew now that {master} is up", gives_up(board))
}

/// #1081, boot-net.adoc.
fn gives_up(board: Board) -> &'static str {
    match board {
        Board::Pi3B => "a 3B asks five times and is silent from then on",
        Board::Pi3BPlus => {
            "a 3B+ asks four times, until 33 s after power-on, and is silent from then on"
        }
    }
}

fn of_question(node: &Node, cluster: &Cluster) -> String {
    let router = cluster.network.gateway;
    let slow = match node.worker.board {
        Board::Pi3B => " The ROM of a 3B loops when it is answered too early (#934).",
        Board::Pi3BPlus => "",
    };
    format!(
        "it was answered and fetched nothing. Does {router} offer it an address? `cargo xtask discover` shows who answers. A switch port \
         with spanning tree drops the first 30 s (#991): set it to portfast.{slow} {}: cut its power and give it again",
        capital(gives_up(node.worker.board))
    )
}

fn of_firmware(node: &Node) -> String {
    match &node.file {
        Some((file, true)) if file == "bootcode.bin" => {
            "it stopped behind bootcode.bin, as some boards do after a warm restart (#963): cut its power and give it again".to_owned()
        }
        Some((file, whole)) => {
            let at = if *whole { "behind" } else { "in" };
            format!(
                "it stopped {at} {file}: one lost packet is enough (#1025); look at cable and switch, cut its power and give it again"
            )
        }
        None => "it stopped before its first file: cut its power and give it again".to_owned(),
    }
}

fn of_system(node: &Node, name: &str) -> Option<String> {
    if let Some(why) = &node.closed {
        return Some(format!("SSH answers and lets nobody in: {why}"));
    }
    let health = node.health.as_ref()?;
    if health.is_full() {
        return Some(format!(
            "nothing can be written any more: remove images and containers that nobody uses (`cargo xtask node exec {name} --root -- docker system prune --all --force`), look for more (`cargo xtask node exec {name} --root -- du -xh -d 1 /var/lib/docker /var/lib/containerd /var/log`), or give it a larger `state` in cluster.toml, `cargo xtask provision`, `cargo xtask node reboot {name}`"
        ));
    }
    let unit = health.failed.first()?;
    Some(format!("cargo xtask node logs {name} --unit {unit}"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
