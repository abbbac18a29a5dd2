//! Values that are set beside the file: what counts more than what, and how a mistake in them looks.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::collections::BTreeSet;

use camino::Utf8Path;
use feeder_cluster::schema::{Occurs, SECTIONS};
use feeder_cluster::{ByteSize, Cluster, Diagnostics, Settings, parse_with, variable};
use feeder_cluster::{describe, load_with};

const LAB: &str = include_str!("../../../fixtures/clusters/lab.toml");
const MINIMAL: &str = include_str!("../../../fixtures/clusters/minimal.toml");

/// What is set by `NAME=value`, and by `--set` of the others.
fn settings(variables: &[&str], options: &[&str]) -> Settings {
    let pair = |text: &&str| {
        let (name, value) = text.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    Settings::of_environment(variables.iter().map(pair))
        .and(options.iter().map(|option| option.parse().unwrap()))
}

fn read(text: &str, variables: &[&str], options: &[&str]) -> Result<Cluster, Diagnostics> {
    parse_with(text, "cluster.toml", &settings(variables, options)).map(|parsed| parsed.cluster)
}

fn lab(variables: &[&str], options: &[&str]) -> Cluster {
    read(LAB, variables, options).map_err(|wrong| wrong.to_string()).unwrap()
}

#[test]
fn defaults_file_environment_options_in_this_order() {
    let user = |variables: &[&str], options: &[&str]| {
        let with = |text: &str| read(text, variables, options).unwrap().master.user;
        (with(MINIMAL), with(LAB))
    };
    let both = |user: &str| (user.to_owned(), user.to_owned());
    assert_eq!(user(&[], &[]), both("pi"));
    assert_eq!(user(&["FEEDER_MASTER_USER=env"], &[]), both("env"));
    assert_eq!(user(&["FEEDER_MASTER_USER=env"], &["master.user=flag"]), both("flag"));
    assert_eq!(user(&[], &["master.user=one", "master.user=two"]), both("two"));
    let text = LAB.replace("user    = \"pi\"", "user = \"file\"");
    assert_eq!(read(&text, &[], &[]).unwrap().master.user, "file");
    assert_eq!(read(&text, &["FEEDER_MASTER_USER=env"], &[]).unwrap().master.user, "env");
}

#[test]
fn every_kind_of_value_can_be_set() {
    let set = lab(
        &[
            "FEEDER_SYSTEM_PACKAGES=vim, htop",
            "FEEDER_SYSTEM_GROUPS=[\"video\", 'gpio']",
            "FEEDER_SYSTEM_PASSWORD_LOGIN=false",
            "FEEDER_SWARM_MANAGERS=3",
            "FEEDER_MASTER_SSD_DISK=/dev/disk/by-id/usb-T5-0:0",
        ],
        &["system.password=env:PI_HASH", "network.dns=9.9.9.9", "master.ssd.sd-card=removed"],
    );
    assert_eq!(set.system.packages, ["vim", "htop"]);
    assert_eq!(set.system.groups, ["video", "gpio"]);
    assert_eq!(set.system.password_login.unwrap().to_string(), "false");
    assert_eq!(set.system.password.unwrap().to_string(), "env:PI_HASH");
    assert_eq!(set.network.dns, [std::net::Ipv4Addr::new(9, 9, 9, 9)]);
    assert_eq!(set.swarm.unwrap().managers, 3);
    let ssd = set.master.ssd.unwrap();
    assert_eq!((ssd.disk.name(), ssd.sd_card.to_string().as_str()), ("usb-T5-0:0", "removed"));
}

#[test]
fn a_worker_is_meant_by_its_name() {
    let set = lab(&["FEEDER_WORKER_CLUSTER02_STATE=1GiB"], &["worker.cluster01.state=2GiB"]);
    let sizes: Vec<ByteSize> = set.workers.iter().map(|worker| worker.state_size).collect();
    assert_eq!(sizes, [ByteSize::gib(2), ByteSize::gib(1)]);
}

#[test]
fn what_is_set_takes_the_place_of_a_mistake_in_the_file() {
    let wrong = LAB.replace("192.168.10.100", "192.168.11.100");
    assert!(read(&wrong, &[], &[]).is_err());
    assert!(read(&wrong, &["FEEDER_MASTER_ADDRESS=192.168.10.99"], &[]).is_ok());
}

#[test]
fn variables_for_something_else_do_not_matter_and_near_ones_are_pointed_out() {
    let others = ["FEEDER_STORE=/x", "FEEDER_RUN=/run", "FEEDER_PI_HASH=hunter2", "HOME=/root"];
    let parsed = parse_with(LAB, "cluster.toml", &settings(&others, &[])).unwrap();
    assert!(parsed.warnings.is_empty(), "{}", parsed.warnings);
    let near =
        settings(&["FEEDER_MASTER_ADRESS=192.168.10.9", "FEEDER_SYSTEM_PASWORD=hunter2"], &[]);
    let parsed = parse_with(LAB, "cluster.toml", &near).unwrap();
    insta::assert_snapshot!("near", parsed.warnings.to_string());
}

#[test]
fn mistakes_are_shown_where_they_were_made() {
    let said = |variables: &[&str], options: &[&str]| {
        read(LAB, variables, options).map(|_| ()).unwrap_err().to_string()
    };
    let all = [
        said(&["FEEDER_MASTER_ADDRESS=192.168.11.99"], &[]),
        said(&[], &["master.address=192.168.10.101"]),
        said(&["FEEDER_NETWORK_SUBNET=10.0.0.0/24"], &["network.gateway=10.0.0.1"]),
        said(&["FEEDER_SYSTEM_PACKAGES=vim,Htop"], &["system.groups=[\"video\", \"GPIO\"]"]),
        said(&["FEEDER_SYSTEM_PACKAGES=[vim"], &[]),
        said(&["FEEDER_SWARM_MANAGERS=three"], &["system.password-login=no"]),
        said(&["FEEDER_SYSTEM_PASSWORD=hunter2"], &["master.sudo-password=hunter2"]),
        said(&[], &["master.adress=192.168.10.9"]),
        said(&[], &["worker.cluster09.state=1GiB", "address=1.2.3.4"]),
        said(&[], &["master.ssd.file-system=f2fs"]),
    ]
    .join("\n\n────\n\n");
    assert!(!all.contains("hunter2"), "{all}");
    insta::assert_snapshot!(all);
}

#[test]
fn scripts_are_told_the_same() {
    let wrong = read(LAB, &["FEEDER_MASTER_ADDRESS=192.168.10.101"], &[]).unwrap_err();
    let json = serde_json::to_value(&wrong).unwrap();
    assert_eq!(json[0]["file"], "cluster.toml", "{json:#}");
    assert_eq!(json[0]["related"][0]["file"], "the environment", "{json:#}");
    assert_eq!(json[0]["related"][0]["column"], 23, "{json:#}");
}

#[test]
fn a_value_that_should_not_be_there_is_in_no_debugging_output() {
    let all = settings(&["FEEDER_SYSTEM_PASSWORD=hunter2"], &["system.password=file:x"]);
    assert!(!format!("{all:?}").contains("hunter2"));
    let wrong = LAB.replace("192.168.10.100", "192.168.11.100");
    let wrong = parse_with(&wrong, "cluster.toml", &all).unwrap_err();
    assert!(!format!("{wrong:?} {wrong}").contains("hunter2"));
}

#[test]
fn no_two_keys_share_a_variable_and_the_page_has_them_all() {
    let page = describe::page();
    let mut seen = BTreeSet::new();
    for section in SECTIONS.into_iter().filter(|one| one.occurs != Occurs::Repeatedly) {
        for key in section.keys {
            let variable = variable(&format!("{}.{}", section.name, key.name));
            assert!(page.contains(&format!("`{variable}`")), "{variable}");
            assert!(seen.insert(variable.clone()), "{variable}");
        }
    }
}

#[test]
fn the_pages_example_is_what_is_said() {
    let page = describe::page();
    let shown =
        page.split("```\n").find(|part| part.contains("FEEDER_MASTER_ADDRESS=192.168.11.99"));
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("fixtures/clusters/invalid/address-outside.toml");
    let set = settings(
        &["FEEDER_MASTER_ADDRESS=192.168.11.99"],
        &["worker.cluster01.address=192.168.10.101"],
    );
    let said = load_with(&path, &set).unwrap_err().to_string();
    assert_eq!(said.trim(), shown.unwrap().trim());
}

#[test]
fn an_option_is_a_key_and_a_value() {
    let refused = "master.address".parse::<feeder_cluster::Setting>().unwrap_err();
    assert!(refused.contains("KEY=VALUE"), "{refused}");
}
