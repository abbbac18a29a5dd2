//! A stranger looks what answers.

mod common;

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use common::{ROUTER, lan, lan_with, mac};
use feeder_lan::{ScanError, Service, Stranger};

const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 250);

/// Waits for a while after the last answer.
fn patience() -> impl FnMut(bool) -> bool {
    let mut last = Instant::now();
    move |came| {
        if came {
            last = Instant::now();
        }
        last.elapsed() < Duration::from_secs(2)
    }
}

#[test]
fn all_that_answers_is_found_and_nothing_else() {
    let bench = lan_with(|dir, config| config.router.http_root = Some(dir.to_owned()));
    let port = bench.lan.attach("stranger").expect("a port");
    let stranger = Stranger { port: &port, mac: mac(9), address: STRANGER };
    let found = stranger.scan(ROUTER, &mut patience()).expect("it answers");
    let router = [Service::Tcp(80), Service::Udp(53), Service::Udp(67)];
    assert_eq!(found, BTreeSet::from(router));
}

#[test]
fn an_address_that_nobody_has_is_no_host_without_services() {
    let bench = lan();
    let port = bench.lan.attach("stranger").expect("a port");
    let stranger = Stranger { port: &port, mac: mac(9), address: STRANGER };
    let mut asked = 0;
    let mut impatient = |_| {
        asked += 1;
        asked % 5 != 0
    };
    let nobody = Ipv4Addr::new(192, 168, 50, 9);
    assert_eq!(stranger.scan(nobody, &mut impatient), Err(ScanError::Silent));
}
