//! Swarms that lock their managers.

use std::os::unix::fs::PermissionsExt as _;

use feeder_plan::Mode;
use fs_err as fs;

use super::{Engines, lab};

/// A manager's engine after a restart, when the swarm is locked. It does not know its own id.
const LOCKED: &str = r#"{"Swarm":{"NodeID":"","LocalNodeState":"locked","ControlAvailable":false,"Error":"Swarm is encrypted and needs to be unlocked before it can be used."}}"#;

impl Engines {
    /// A manager's engine after a restart, when the swarm is locked.
    fn locks(&self, node: &str) {
        let info = self.read(&format!("{node}/info"));
        self.write(&format!("{node}/info-unlocked"), &info);
        self.write(&format!("{node}/info"), LOCKED);
    }
}

#[test]
fn managers_are_locked_and_their_key_is_kept_for_nobody_else_to_read() {
    let engines = Engines::new();
    let key = engines.dir.join("keys/swarm");
    let text = lab(&format!("[swarm]\nautolock = \"file:{key}\"\n"));
    let told = engines.told(&text, &["cluster02"]);
    assert!(
        told.contains("~ managers are locked at a restart, the key is kept as file:"),
        "{told}"
    );
    assert_eq!(engines.read("keys/swarm"), "SWMKEY-1-x/y\n");
    let mode = fs::metadata(&key).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    engines.told(&text, &[]);
    assert_eq!(engines.told(&text, &[]), "");
    // Somebody has made another key.
    engines.write("swarm/key", "SWMKEY-1-another\n");
    let told = engines.told(&text, &[]);
    assert!(told.starts_with("~ its unlock key is kept as file:"), "{told}");
    assert_eq!(engines.read("keys/swarm"), "SWMKEY-1-another\n");
    for node in ["cluster00", "cluster01", "cluster02"] {
        assert!(!engines.read(&format!("{node}/argv")).contains("SWMKEY"));
    }
}

#[test]
fn a_master_that_is_locked_is_unlocked_with_the_managers_that_it_cannot_do_without() {
    let engines = Engines::new();
    let key = engines.dir.join("key");
    let text = lab(&format!("[swarm]\nmanagers = 3\nautolock = \"file:{key}\"\n"));
    engines.told(&text, &[]);
    for node in ["cluster00", "cluster01"] {
        engines.locks(node);
    }
    engines.dies("id-1-of-cluster01");
    let settled = engines.settle(&text, &[], Mode::Plan).expect("a plan");
    assert_eq!(settled.changes[0].text, "node cluster00: is given its unlock key");
    assert!(!engines.read("cluster00/orders").contains("/swarm/unlock"));
    assert_eq!(engines.told(&text, &[]), "~ node cluster00: is given its unlock key");
    assert!(engines.read("cluster01/orders").contains("POST /swarm/unlock"));
    assert_eq!(engines.told(&text, &[]), "");
}

#[test]
fn a_worker_that_manages_and_is_locked_does_not_leave_but_is_unlocked() {
    let engines = Engines::new();
    let key = engines.dir.join("key");
    let text = lab(&format!("[swarm]\nmanagers = 3\nautolock = \"file:{key}\"\n"));
    engines.told(&text, &[]);
    engines.locks("cluster02");
    engines.dies("id-1-of-cluster02");
    assert_eq!(engines.told(&text, &[]), "~ node cluster02: is given its unlock key");
    assert!(!engines.read("cluster02/orders").contains("/swarm/leave"));
    assert_eq!(engines.members(), "id-1-of-cluster01 id-1-of-cluster02 id-of-cluster00");
}

#[test]
fn workers_without_which_there_is_no_leader_are_unlocked_though_the_master_is_not_locked() {
    let engines = Engines::new();
    let key = engines.dir.join("key");
    let text = lab(&format!("[swarm]\nmanagers = 3\nautolock = \"file:{key}\"\n"));
    engines.told(&text, &[]);
    for node in ["cluster01", "cluster02"] {
        engines.locks(node);
        engines.dies(&format!("id-1-of-{node}"));
    }
    engines.write("swarm/elections", &"1\n".repeat(1000));
    let unlocked =
        "node cluster01: is given its unlock key\nnode cluster02: is given its unlock key";
    let settled = engines.settle(&text, &[], Mode::Plan).expect("a plan");
    let planned: Vec<_> = settled.changes.into_iter().map(|change| change.text).collect();
    assert_eq!(planned.join("\n"), unlocked);
    assert_eq!(engines.told(&text, &[]).replace("~ ", ""), unlocked);
    assert_eq!(engines.told(&text, &[]), "");
}

#[test]
fn whose_key_is_not_kept_is_told_what_to_do() {
    let engines = Engines::new();
    let key = engines.dir.join("key");
    let text = lab(&format!("[swarm]\nautolock = \"file:{key}\"\n"));
    engines.told(&text, &[]);
    engines.locks("cluster00");
    insta::assert_snapshot!(engines.told(&lab("[swarm]\n"), &[]), @r"
    cluster00 manages a locked swarm and waits for its key: [swarm] does not say where it is kept
    → put the key into the file that `autolock` in [swarm] names and provision again, or type it: `docker swarm unlock` after `cargo xtask node ssh cluster00`
    ");
    fs::remove_file(&key).expect("it was kept");
    let told = engines.told(&text, &[]);
    assert!(told.contains("waits for its key: file:") && told.contains("is not there"), "{told}");
    engines.write("key", "SWMKEY-1-wrong\n");
    fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("mode");
    let told = engines.told(&text, &[]);
    assert!(told.contains("invalid key provided") && !told.contains("SWMKEY"), "{told}");
}
