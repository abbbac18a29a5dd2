//! Choosing nodes, and what is told when a node fails. Real restarts are a scenario's business.

use std::time::Duration;

use feeder_cluster::Cluster;
use feeder_modules::Access;
use feeder_remote::RemoteError;
use feeder_ui::Progress;

use super::*;

fn cluster() -> Cluster {
    let text = include_str!("../../../fixtures/clusters/lab.toml");
    feeder_cluster::parse(text, "lab.toml").unwrap().cluster
}

fn access() -> Access {
    let mut access = Access::new("known_hosts");
    // Nobody listens there: ports below 1024 of this loopback address belong to nobody.
    for name in ["cluster00", "cluster01", "cluster02"] {
        access.at.insert(name.into(), "127.0.0.99:9".parse().unwrap());
    }
    access.config = feeder_remote::UserConfig::Ignored;
    access
}

fn chosen(choice: &Choice) -> Result<Vec<String>, String> {
    let targets = choose(&cluster(), &access(), choice);
    targets
        .map(|targets| targets.into_iter().map(|target| target.name).collect())
        .map_err(|error| error.to_string())
}

#[test]
fn nodes_are_chosen_by_name_or_kind_each_once_and_the_master_first() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let by_name =
        Choice { names: names(&["cluster01", "cluster00", "cluster01"]), ..Choice::default() };
    assert_eq!(chosen(&by_name), Ok(names(&["cluster00", "cluster01"])));
    let workers = Choice { workers: true, ..Choice::default() };
    assert!(chosen(&workers).unwrap().iter().all(|name| name != "cluster00"));
    let all = Choice { all: true, ..by_name };
    assert_eq!(chosen(&all).unwrap().len(), cluster().nodes().count());
    assert_eq!(chosen(&Choice::default()), Err("no node is chosen".into()));
    let unknown = Choice { names: names(&["pi9"]), ..Choice::default() };
    assert_eq!(chosen(&unknown), Err("the cluster has no node `pi9`".into()));
}

#[test]
fn a_master_that_is_not_at_its_address_yet_is_found_where_it_is_said_to_be() {
    let place = "192.168.1.37:22".parse().unwrap();
    let access = Access { first_contact: Some(place), ..access() };
    let all = Choice { all: true, ..Choice::default() };
    let targets = choose(&cluster(), &access, &all).unwrap();
    assert_eq!(targets[0].ssh.address, place);
    assert_ne!(targets[1].ssh.address, place);
}

#[test]
fn what_was_typed_reaches_the_shell_as_it_was_meant() {
    let words =
        |words: &[&str]| script_of(&words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
    assert_eq!(words(&["df -h | tail -1"]), "df -h | tail -1");
    assert_eq!(words(&["echo", "two  words", "$HOME"]), "echo 'two  words' '$HOME'");
    let logs = Logs { units: vec!["docker; reboot".into()], lines: Some(5), ..Logs::default() };
    assert_eq!(
        logs.script(),
        "journalctl --no-pager --quiet --output=short-iso --no-hostname '--unit=docker; reboot' --lines=5"
    );
}

#[test]
fn workers_are_left_alone_when_the_master_is_lost_and_the_master_goes_off_after_silent_workers() {
    let all = Choice { all: true, ..Choice::default() };
    let targets = choose(&cluster(), &access(), &all).unwrap();
    let moment = Duration::from_millis(1);
    let silent = Progress::silent();
    let results = reboot(&targets, Stagger(moment), moment, &silent);
    assert!(
        matches!(results[0], Err(PowerError::Remote(RemoteError::Refused { .. }))),
        "{results:?}"
    );
    assert!(matches!(results[1], Err(PowerError::LeftAlone { .. })), "{results:?}");
    // Nobody answers: all is off as far as can be seen, and the master is tried.
    let results = halt(&targets, moment, &silent);
    let refused = |result: &Result<(), PowerError>| {
        matches!(result, Err(PowerError::Remote(RemoteError::Refused { .. })))
    };
    assert!(results.iter().all(refused), "{results:?}");
}
