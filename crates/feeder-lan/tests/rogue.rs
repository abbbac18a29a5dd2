//! A second DHCP server on the LAN.

mod common;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use common::{Guest, lan, mac, soon, tshark};
use feeder_lan::{Fault, FaultKind, LanError, LanState, RogueDhcpConfig};

const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 250);

fn config() -> RogueDhcpConfig {
    RogueDhcpConfig {
        mac: mac(0xee),
        address: OWN,
        subnet: "192.168.50.0/24".parse().expect("a network"),
        pool: Ipv4Addr::new(192, 168, 50, 240)..=Ipv4Addr::new(192, 168, 50, 249),
        next_server: Some(OWN),
        options: BTreeMap::from([(66, OWN.to_string().into_bytes()), (67, b"evil.img".to_vec())]),
    }
}

#[test]
fn a_client_falls_for_it_and_comes_back_when_it_is_gone() {
    let bench = lan();
    let rogue = bench.lan.rogue_dhcp("old-router", config()).expect("a second server");
    assert_eq!(rogue.node(), "old-router");
    // The home router is too slow to be heard.
    let mute = bench.lan.inject(Fault::on("router", FaultKind::Cut)).expect("a fault");
    let mut guest = Guest::new(&bench.lan, "guest", mac(1));
    let got = guest.dhcp();
    assert_eq!(got.address.address(), Ipv4Addr::new(192, 168, 50, 240));
    assert_eq!((got.router, &got.dns[..]), (Some(OWN), &[OWN][..]));
    assert!(bench.lan.leases().is_empty(), "the router knows nothing of it");
    bench.lan.clear(mute).expect("runs");

    let state = bench.lan.state().expect("a state");
    drop(rogue);
    let mut other = Guest::new(&bench.lan, "other", mac(2));
    assert_eq!(other.dhcp().address.address(), Ipv4Addr::new(192, 168, 50, 100));
    bench.lan.shutdown();
    if let Some(rows) = tshark(
        &bench.dir.join("lan.pcapng"),
        &["frame.interface_name", "dhcp.ip.server", "dhcp.option.bootfile_name", "_ws.malformed"],
    ) {
        let own = OWN.to_string();
        let offers: Vec<_> =
            rows.iter().filter(|row| row[0] == "old-router" && row[1] == own).collect();
        assert!(!offers.is_empty(), "{rows:?}");
        assert!(offers.iter().all(|row| row[2] == "evil.img" && row[3].is_empty()), "{offers:?}");
    }

    // A LAN that goes on gives the server back its clients.
    let again = lan();
    again.lan.restore(state.clone()).expect("restored");
    let _rogue = again.lan.rogue_dhcp("old-router", config()).expect("a second server");
    assert_eq!(servers(&again.lan.state().expect("a state")), ["192.168.50.240"]);
}

/// Addresses in use at second servers.
fn servers(state: &LanState) -> Vec<String> {
    let tree = serde_json::to_value(state).expect("a tree");
    let clients = tree["servers"]["old-router"]["clients"].as_array().cloned().unwrap_or_default();
    clients.iter().map(|client| client["address"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn it_answers_who_asks_for_its_address() {
    let bench = lan();
    let _rogue = bench.lan.rogue_dhcp("old-router", config()).expect("a second server");
    let port = bench.lan.attach("asker").expect("a port");
    let request = [
        &[0xff; 6][..],
        &mac(1),
        &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1],
        &mac(1),
        &[192, 168, 50, 20],
        &[0; 6],
        &OWN.octets(),
    ]
    .concat();
    port.send(&request);
    let reply = port.recv(soon()).expect("an answer");
    assert_eq!((&reply[..6], &reply[6..12]), (&mac(1)[..], &mac(0xee)[..]));
    assert_eq!((&reply[20..22], &reply[28..32]), (&[0, 2][..], &OWN.octets()[..]));
}

#[test]
fn names_and_settings_are_checked() {
    let bench = lan();
    let _rogue = bench.lan.rogue_dhcp("old-router", config()).expect("a second server");
    let error = bench.lan.rogue_dhcp("old-router", config()).expect_err("taken");
    assert!(matches!(error, LanError::Attached { .. }), "{error}");
    let wrong = RogueDhcpConfig { address: Ipv4Addr::new(10, 0, 0, 1), ..config() };
    let error = bench.lan.rogue_dhcp("other", wrong).expect_err("elsewhere").to_string();
    assert!(error.contains("other") && error.contains("10.0.0.1 is no host address"), "{error}");
}
