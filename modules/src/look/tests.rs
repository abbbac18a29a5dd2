use std::sync::Mutex;

use camino::Utf8Path;
use feeder_plan::{as_wanted, plan};
use feeder_process::Status;

use super::*;
use crate::{MODULES, part::tests::LAB};

/// What a Debian master says that was provisioned and has a generation.
const SAID: &str = "kernel=6.12.107+deb13-arm64\nnfs_root=no\nfirmware=/boot/firmware\nmemory=yes\nnetworkd=yes\nresolved=yes\nsystem=Debian GNU/Linux 13 (trixie)\n";
const KEYS: &str =
    "cluster01 ssh-ed25519 ONE root@cluster01\ncluster02 ssh-ed25519 TWO root@cluster02\n";

/// A master on which all is as wanted of what it is, and which counts the scripts that it is sent.
struct Master {
    said: String,
    facts: String,
    scripts: Mutex<Vec<String>>,
}

impl Master {
    fn new(blueprint: &Blueprint<'_>, said: &str) -> Self {
        let survey = Survey::parse(said);
        let facts = as_wanted(&steps(&blueprint.site(&survey))).expect("they make sense");
        Self { said: said.to_owned(), facts, scripts: Mutex::default() }
    }

    fn round_trips(&self) -> usize {
        self.scripts.lock().expect("nobody panicked").len()
    }
}

impl Host for Master {
    fn name(&self) -> &str {
        "cluster00"
    }

    fn run(&self, script: &str) -> Result<Output, RemoteError> {
        self.scripts.lock().expect("nobody panicked").push(script.to_owned());
        let said = [("uname -r", &*self.said), ("feeder-facts 1", &self.facts), (".pub", KEYS)];
        let said = said.into_iter().filter(|(what, _)| script.contains(what));
        let stdout: String =
            said.map(|(_, said)| format!("{said}\n\u{1e}feeder part 0\n")).collect();
        let status = Status { code: Some(0), signal: None };
        Ok(Output { status, stdout: stdout.into(), stderr: String::new() })
    }

    fn stream(&self, _: &str, _: &mut dyn FnMut(&str)) -> Result<Output, RemoteError> {
        unreachable!("nothing is applied")
    }
}

/// Runs with the sample cluster.
fn with_blueprint<T>(run: impl FnOnce(&Blueprint<'_>) -> T) -> T {
    let parsed = feeder_cluster::parse(LAB, "cluster.toml").expect("the sample is valid");
    let (secrets, layout) = (Secrets::default(), Layout::default());
    let (cluster, secrets, layout) = (&parsed.cluster, &secrets, &layout);
    run(&Blueprint { cluster, secrets, layout, modules: MODULES })
}

/// Looks at a master of the sample cluster that is what it says, when it is remembered to have been something; gives the round
/// trips, and what is to be done.
fn looked_at(said: &str, remembered: Option<&str>, known_hosts: &Utf8Path) -> (usize, usize) {
    with_blueprint(|blueprint| {
        let master = Master::new(blueprint, said);
        let ask = |script: &str| Ok(((), master.run(script)?));
        let (_host, survey, answers) = look(blueprint, remembered, ask).expect("it can be asked");
        let steps = steps(&blueprint.site(&survey));
        let (facts, keys) = answers.about(&steps, blueprint, &master).expect("it answers");
        record_keys(keys, &Access::new(known_hosts), &Scope::default()).expect("they are kept");
        (master.round_trips(), plan(&steps, &facts).expect("they make sense").to_change())
    })
}

fn looked_at_and_recorded(said: &str, remembered: Option<&str>) -> (usize, usize) {
    let guard = tempfile::tempdir().expect("a folder");
    let known_hosts = Utf8Path::from_path(guard.path()).expect("UTF-8").join("known_hosts");
    let found = looked_at(said, remembered, &known_hosts);
    let recorded = fs_err::read_to_string(known_hosts).expect("keys were recorded");
    assert_eq!(recorded, "cluster01 ssh-ed25519 ONE\ncluster02 ssh-ed25519 TWO\n");
    found
}

#[test]
fn a_master_that_is_as_wanted_costs_one_round_trip() {
    assert_eq!(looked_at_and_recorded(SAID, Some(SAID)), (1, 0));
}

#[test]
fn one_that_nobody_remembers_costs_two() {
    assert_eq!(looked_at_and_recorded(SAID, None), (2, 0));
    assert_eq!(looked_at_and_recorded(SAID, Some("nonsense")), (2, 0));
}

#[test]
fn what_it_has_become_counts_and_not_what_is_remembered() {
    let raspberry = SAID.replace("nfs_root=no", "nfs_root=yes").replace("memory=yes\n", "");
    assert_eq!(looked_at_and_recorded(&raspberry, Some(SAID)), (2, 0));
    let generation = format!("{SAID}generation.1=complete 6.1\ngenerations.active=1\n");
    assert_eq!(looked_at_and_recorded(&generation, Some(SAID)), (2, 0));
    // What nothing depends on may differ.
    let newer = SAID.replace("13 (trixie)", "13.1 (trixie)");
    assert_eq!(looked_at_and_recorded(&newer, Some(SAID)), (1, 0));
}

#[test]
fn a_master_that_cannot_be_provisioned_is_asked_nothing_more() {
    with_blueprint(|blueprint| {
        let master = Master::new(blueprint, &SAID.replace("networkd=yes\n", ""));
        let looked = look(blueprint, None, |script| Ok(((), master.run(script)?)));
        assert!(matches!(looked, Err(ProvisionError::Unsuitable { .. })));
        assert_eq!(master.round_trips(), 1);
    });
}

#[test]
fn what_was_said_is_remembered_for_each_cluster() {
    let guard = tempfile::tempdir().expect("a folder");
    let folder = Utf8Path::from_path(guard.path()).expect("UTF-8");
    let parsed = feeder_cluster::parse(LAB, "cluster.toml").expect("the sample is valid");
    let memory = |known_hosts: &str| {
        let mut access = Access::new(folder.join(known_hosts));
        access.surveys = Some(folder.join("surveys"));
        Memory::of(&access, &parsed.cluster)
    };
    assert_eq!(memory("one/known_hosts").recall(), None);
    memory("one/known_hosts").keep(SAID);
    assert_eq!(memory("one/known_hosts").recall().as_deref(), Some(SAID));
    assert_eq!(memory("other/known_hosts").recall(), None);
    memory("one/known_hosts").keep("another");
    assert_eq!(memory("one/known_hosts").recall().as_deref(), Some("another"));
    // As everywhere without a folder for it.
    let nowhere = Memory::of(&Access::new(folder.join("known_hosts")), &parsed.cluster);
    nowhere.keep(SAID);
    assert_eq!(nowhere.recall(), None);
}
