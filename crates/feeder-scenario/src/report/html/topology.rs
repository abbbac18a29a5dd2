//! What is plugged into what.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::svg::{Anchor, Svg, fit};
use crate::{Event, Firmware, Record, Role};

const BOX: (f64, f64) = (208.0, 88.0);
const GAP: f64 = 24.0;
const SWITCH: f64 = 148.0;
const PER_ROW: usize = 5;

/// A device on the LAN, as far as the records tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub name: String,
    pub role: Role,
    pub board: Option<String>,
    pub machine: Option<String>,
    pub mac: Option<String>,
    pub address: Option<Ipv4Addr>,
    pub booted: bool,
}

/// The devices in the order of the records, the router first. A run that does not tell what its cluster is made of shows
/// the machines that had power.
pub(super) fn devices(records: &[Record]) -> Vec<Device> {
    let mut order: Vec<String> = Vec::new();
    let mut devices: BTreeMap<String, Device> = BTreeMap::new();
    for record in records {
        let Some(name) = &record.node else { continue };
        let netboots = matches!(&record.event, Event::Firmware(Firmware::Discover { .. }));
        let device = devices.entry(name.clone()).or_insert_with(|| {
            let role = if order.is_empty() { Role::Master } else { Role::Worker };
            order.push(name.clone());
            Device {
                name: name.clone(),
                role,
                board: None,
                machine: None,
                mac: None,
                address: None,
                booted: false,
            }
        });
        match &record.event {
            Event::Member { role, board, mac, address } => {
                device.role = *role;
                device.board.clone_from(board);
                device.mac.clone_from(mac);
                device.address = Some(*address);
            }
            Event::PowerOn { profile } => {
                device.machine = Some(profile.clone());
                device.booted = true;
            }
            Event::Milestone { name, detail: Some(address) } if name == "address" => {
                device.address = device.address.or_else(|| address.parse().ok());
            }
            _ => {}
        }
        if netboots && device.board.is_none() {
            device.role = Role::Worker;
        }
    }
    let mut devices: Vec<_> = order.iter().filter_map(|name| devices.remove(name)).collect();
    devices.sort_by_key(|device| device.role);
    devices
}

/// The topology as an SVG element.
pub(super) fn draw(devices: &[Device]) -> String {
    let (routers, nodes): (Vec<_>, Vec<_>) =
        devices.iter().partition(|device| device.role == Role::Router);
    let columns = nodes.len().clamp(1, PER_ROW) as f64;
    let width = columns * (BOX.0 + GAP) + GAP;
    let rows = nodes.len().div_ceil(PER_ROW).max(1) as f64;
    let (w, h) = BOX;
    let mut svg = Svg::default();
    let middle = width / 2.0;
    svg.line("cable", (middle, h), (middle, SWITCH));
    if let Some(router) = routers.first() {
        device(&mut svg, router, (middle - w / 2.0, 4.0));
    } else {
        svg.rect("device router", [middle - w / 2.0, 4.0, w, h], "");
        svg.text("name", (middle, 52.0), Anchor::Middle, "router");
    }
    for (index, node) in nodes.iter().enumerate() {
        let x = GAP + (index % PER_ROW) as f64 * (w + GAP);
        let y = SWITCH + 52.0 + (index / PER_ROW) as f64 * (h + GAP);
        let from = if index < PER_ROW { SWITCH } else { y - GAP };
        svg.line("cable", (x + w / 2.0, from), (x + w / 2.0, y));
        device(&mut svg, node, (x, y));
    }
    svg.rect("switch", [GAP, SWITCH - 12.0, width - 2.0 * GAP, 24.0], "");
    svg.text("inside", (middle, SWITCH + 4.0), Anchor::Middle, "switch (captured)");
    let height = SWITCH + 52.0 + rows * (h + GAP);
    svg.finish(width, height, "The cluster: a router, a switch, and the nodes on it")
}

fn device(svg: &mut Svg, device: &Device, (x, y): (f64, f64)) {
    let (w, h) = BOX;
    let role = match device.role {
        Role::Router => "router",
        Role::Master => "master",
        Role::Worker => "worker",
    };
    let off = if device.booted || device.role == Role::Router { "" } else { " off" };
    svg.rect(&format!("device {role}{off}"), [x, y, w, h], "");
    svg.text("name", (x + 10.0, y + 20.0), Anchor::Start, &fit(&device.name, w * 0.6));
    svg.text("small", (x + w - 10.0, y + 20.0), Anchor::End, role);
    let machine = match (&device.board, &device.machine) {
        (Some(board), Some(machine)) => format!("{board} on {machine}"),
        (Some(board), None) if device.booted => board.clone(),
        (Some(board), None) => format!("{board}, without power"),
        (None, Some(machine)) => machine.clone(),
        (None, None) => String::new(),
    };
    let address = device.address.map(|address| address.to_string()).unwrap_or_default();
    let mac = device.mac.clone().unwrap_or_default();
    for (line, text) in [address, mac, machine].iter().filter(|text| !text.is_empty()).enumerate() {
        let at = (x + 10.0, y + 42.0 + line as f64 * 17.0);
        svg.text("fact", at, Anchor::Start, &fit(text, w - 16.0));
    }
}
