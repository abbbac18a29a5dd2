//! Who manages a swarm, when managers come, go and are lost.

use fs_err as fs;

use super::{Engines, INACTIVE, lab};
use crate::part::tests::LAB;

/// A worker that is written before the two of the sample.
const FIRST: &str = r#"[[worker]]
name    = "cluster03"
mac     = "b8:27:eb:11:22:33"
serial  = "9f112233"
address = "192.168.10.103"
board   = "3b+"
state   = "8GiB"

"#;

impl Engines {
    /// The sample's swarm with three managers.
    fn three() -> Self {
        let this = Self::new();
        this.told(&lab("[swarm]\nmanagers = 3\n"), &[]);
        assert_eq!(this.history(), "id-1-of-cluster01 enters, id-1-of-cluster02 enters");
        this
    }

    /// Who has come to vote and ceased to, since the last time somebody asked.
    fn history(&self) -> String {
        let history = self.read("swarm/history").lines().collect::<Vec<_>>().join(", ");
        self.write("swarm/history", "");
        history
    }
}

fn with_another_first() -> String {
    let (before, workers) = LAB.split_once("[[worker]]").expect("it has workers");
    format!("{before}{FIRST}[[worker]]{workers}\n[swarm]\nmanagers = 3\n")
}

#[test]
fn nobody_ceases_to_manage_before_somebody_else_does() {
    let engines = Engines::three();
    let text = with_another_first();
    let told = engines.told(&text, &["cluster03"]);
    assert!(told.starts_with("cluster03 is not in the swarm and does not answer"), "{told}");
    assert_eq!(engines.history(), "", "three manage all the time");
    engines.add("cluster03");
    engines.write("swarm/hesitates", "1\n");
    insta::assert_snapshot!(engines.told(&text, &[]), @r"
    + node cluster03: joins
    ~ node cluster03: worker → manager, label feeder.cluster=lab
    ~ node cluster02: manager → worker
    ");
    assert_eq!(engines.history(), "id-1-of-cluster03 enters, id-1-of-cluster02 ceases");
    assert_eq!(engines.told(&text, &[]), "");
}

#[test]
fn who_is_told_to_manage_and_never_does_is_told() {
    let engines = Engines::new();
    engines.told(&lab("[swarm]\n"), &[]);
    engines.write("swarm/hesitates", "1000\n");
    insta::assert_snapshot!(engines.told(&lab("[swarm]\nmanagers = 3\n"), &[]), @r"
    cluster01 was told to manage the swarm, and does not yet: they do not reach it
    → the managers must reach it on TCP port 2377: `cargo xtask node logs cluster01 --unit docker`
    ");
    let told = engines.told(&lab("[swarm]\nmanagers = 3\n"), &[]);
    assert!(told.starts_with("cluster02 was told to manage the swarm"), "{told}");
    insta::assert_snapshot!(engines.told(&lab("[swarm]\nmanagers = 3\n"), &[]), @r"
    cluster01 is to manage the swarm, and the managers do not reach it as one of them on TCP port 2377: `cargo xtask node logs cluster01 --unit docker`
    cluster02 is to manage the swarm, and the managers do not reach it as one of them on TCP port 2377: `cargo xtask node logs cluster02 --unit docker`
    ");
}

#[test]
fn of_managers_that_cease_the_lost_one_is_the_first() {
    let engines = Engines::three();
    engines.dies("id-1-of-cluster02");
    insta::assert_snapshot!(engines.told(&lab("[swarm]\n"), &["cluster02"]), @r"
    ~ node cluster02: manager → worker
    ~ node cluster01: manager → worker
    cluster02 is not in the swarm and does not answer: cannot reach cluster02 at 192.168.10.9: No route to host. Give it power and provision again
    ");
    assert_eq!(engines.history(), "id-1-of-cluster02 ceases, id-1-of-cluster01 ceases");
}

#[test]
fn a_manager_that_lost_its_state_is_forgotten_before_it_manages_again() {
    let engines = Engines::three();
    engines.dies("id-1-of-cluster01");
    engines.write("cluster01/info", INACTIVE);
    fs::remove_dir_all(engines.dir.join("cluster01/docker")).expect("its state");
    let text = lab("[swarm]\nmanagers = 3\n");
    insta::assert_snapshot!(engines.told(&text, &[]), @r"
    + node cluster01: joins
    - node cluster01: its former entry id-1-of-cl
    ~ node cluster01: worker → manager, label feeder.cluster=lab
    ");
    assert_eq!(engines.history(), "id-1-of-cluster01 ceases, id-2-of-cluster01 enters");
    assert_eq!(engines.told(&text, &[]), "");
}

#[test]
fn a_lost_manager_that_is_taken_out_goes_before_another_takes_its_place() {
    let engines = Engines::three();
    engines.dies("id-1-of-cluster02");
    let (without, _) = LAB.rsplit_once("[[worker]]").expect("it has workers");
    let text = format!("{without}{FIRST}\n[swarm]\nmanagers = 3\n");
    engines.add("cluster03");
    insta::assert_snapshot!(engines.told(&text, &[]), @r"
    + node cluster03: joins
    - node cluster02: not in cluster.toml any more, drain and remove
    ~ node cluster03: worker → manager, label feeder.cluster=lab
    ");
    assert_eq!(engines.history(), "id-1-of-cluster02 ceases, id-1-of-cluster03 enters");
}
