//! Devices for people.

use std::net::Ipv4Addr;

use feeder_cluster::Cluster;
use feeder_ui::plural;

use super::{Answer, Device, Discovered, Model, Place};

/// `b8:27:eb:5a:01:c2 (3B+, serial 4d5a01c2)`
pub(super) fn described(device: &Device) -> String {
    let serial = device.serial.map_or_else(String::new, |serial| format!(", serial {serial}"));
    format!("{} ({}{serial})", device.mac, model(device))
}

/// What to call a device: the name of its node, if it is one.
pub(super) fn called(device: &Device) -> String {
    match &device.place {
        Place::Worker(name) | Place::Added(name) => name.clone(),
        Place::Master | Place::None => device.mac.to_string(),
    }
}

/// The line about a device that has appeared, or of which more is known.
pub(super) fn appeared(device: &Device) -> String {
    let wants = if device.boots { "asks for a boot server" } else { "asks for an address" };
    let mut text = format!("  {}  {wants}; {}", described(device), place(device));
    for remark in &device.remarks {
        text.push_str(&format!("\n  {}  {remark}", device.mac));
    }
    text
}

/// The line about an answer.
pub(super) fn answered(answer: &Answer, server: &str, to: &str) -> String {
    format!("  {to}  is answered by {}", answered_by(answer, server))
}

fn answered_by(answer: &Answer, server: &str) -> String {
    match (answer.boots, answer.offers) {
        (true, None) => format!("{server} (boots from it)"),
        (true, Some(address)) => format!("{server} ({address}, boots from it)"),
        (false, Some(address)) => format!("{server} ({address})"),
        (false, None) => format!("{server} (nothing that it needs)"),
    }
}

/// Who a server is: the master by its name, the router as such.
pub(super) fn server(
    server: Ipv4Addr,
    (master, name): (Ipv4Addr, &str),
    gateway: Ipv4Addr,
) -> String {
    match server {
        it if it == master => name.to_owned(),
        it if it == gateway => format!("router {it}"),
        it => it.to_string(),
    }
}

fn model(device: &Device) -> String {
    let model = device.model.to_string();
    if device.known_block || device.model == Model::Unknown {
        return model;
    }
    format!("{model}, unknown block of addresses")
}

fn place(device: &Device) -> String {
    match &device.place {
        Place::Worker(name) => format!("it is {name}"),
        Place::Added(name) => format!("added as {name}"),
        Place::Master => "it is the master".to_owned(),
        Place::None => "it is not in cluster.toml".to_owned(),
    }
}

/// All that were seen, as a table; ends with a line's end.
#[must_use]
pub fn table(seen: &Discovered, cluster: &Cluster) -> String {
    let others = match seen.others {
        0 => String::new(),
        count => format!("; {} asked for an address", plural(count, "other machine")),
    };
    if seen.devices.is_empty() {
        return format!("no Raspberry Pi was seen on {}{others}\n", seen.interface);
    }
    let master = (cluster.master.address, cluster.master.name.as_str());
    let mut rows = vec![
        ["MAC", "MODEL", "SERIAL", "ASKED", "CLUSTER.TOML", "ANSWERED BY"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for device in &seen.devices {
        let answers: Vec<String> = device
            .answers
            .iter()
            .map(|answer| {
                answered_by(answer, &server(answer.server, master, cluster.network.gateway))
            })
            .collect();
        let in_file = match &device.place {
            Place::Worker(name) => name.clone(),
            Place::Added(name) => format!("{name} (added)"),
            Place::Master => "the master".to_owned(),
            Place::None => "-".to_owned(),
        };
        let answers = if answers.is_empty() { "nobody".to_owned() } else { answers.join(", ") };
        rows.push(vec![
            device.mac.to_string(),
            device.model.to_string(),
            device.serial.map_or_else(|| "-".to_owned(), |serial| serial.to_string()),
            format!("{}×", device.asked),
            in_file,
            answers,
        ]);
    }
    let mut text = crate::table::columns(&rows);
    for device in &seen.devices {
        let all = device.remarks.iter().cloned().chain(unserved(device, cluster));
        text.extend(all.map(|remark| format!("{}: {remark}\n", called(device))));
    }
    text.push_str(&format!("{}{others}\n", plural(seen.devices.len(), "board")));
    text
}

/// What whoever wonders why a board does not boot should know.
fn unserved(device: &Device, cluster: &Cluster) -> Option<String> {
    let master = &cluster.master;
    let by_master = |answer: &&Answer| answer.server == master.address;
    let rival = device.answers.iter().find(|answer| answer.boots && !by_master(answer));
    if let Some(rival) = rival {
        return Some(format!(
            "{} answers as a boot server, too: a board takes either; switch that one off",
            rival.server
        ));
    }
    match &device.place {
        Place::Worker(_) if device.boots && !device.answers.iter().any(|it| by_master(&it)) => {
            Some(format!(
                "{} did not answer it: run `cargo xtask provision`, or look at `cargo xtask node logs {} --unit dnsmasq`",
                master.name, master.name
            ))
        }
        Place::Added(_) => Some(
            "run `cargo xtask provision`, then cut its power: it asks for half a minute only, and is served from then on".to_owned(),
        ),
        Place::None if device.model.board().is_some() => {
            Some("`cargo xtask discover --add` puts it into cluster.toml".to_owned())
        }
        _ => None,
    }
}
