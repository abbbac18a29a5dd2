//! The sample files, and what they say.

use std::net::Ipv4Addr;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_cluster::{
    Availability, Board, ByteSize, Docker, LoadError, Severity, Swarm, load, parse,
};
use feeder_ui::{Exit, Expected};

fn sample(name: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/clusters").join(name)
}

#[test]
fn the_lab_says_what_scenarios_rely_on() {
    let parsed = load(&sample("lab.toml")).unwrap();
    assert!(parsed.warnings.is_empty(), "{}", parsed.warnings);
    let lab = parsed.cluster;
    insta::assert_snapshot!(serde_json::to_string_pretty(&lab).unwrap());

    let worker = lab.worker("cluster01").unwrap();
    assert_eq!(worker.boot_directory_names(), ["9f404536", "b8-27-eb-40-45-36"]);
    assert_eq!(lab.worker("cluster00"), None, "the master is no worker");
    assert_eq!(lab.address_of("cluster00"), Some(Ipv4Addr::new(192, 168, 10, 100)));
    assert_eq!(lab.address_of("cluster02"), Some(Ipv4Addr::new(192, 168, 10, 102)));
    assert_eq!(lab.address_of("cluster09"), None);
    assert_eq!(lab.next_free_address(), Some(Ipv4Addr::new(192, 168, 10, 103)));
    let names: Vec<&str> = lab.nodes().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["cluster00", "cluster01", "cluster02"]);
}

#[test]
fn addresses_that_only_virtual_boards_have_are_pointed_out() {
    let parsed = load(&sample("lab-raspi3b.toml")).unwrap();
    assert_eq!(parsed.cluster.workers.len(), 2);
    assert!(
        parsed
            .cluster
            .workers
            .iter()
            .all(|worker| worker.mac.octets()[0] == 0x40 && worker.board == Board::Pi3B)
    );
    assert_eq!(parsed.warnings.count(Severity::Warning), 2);
    assert_eq!(parsed.warnings.count(Severity::Error), 0);
    let text = fs_err::read_to_string(sample("lab-raspi3b.toml")).unwrap();
    insta::assert_snapshot!(parse(&text, "cluster.toml").unwrap().warnings);
}

#[test]
fn what_is_not_said_has_a_default() {
    let home = load(&sample("minimal.toml")).unwrap().cluster;
    assert_eq!((home.master.user.as_str(), home.master.board), ("pi", Board::Pi3BPlus));
    assert_eq!(home.network.dns, [home.network.gateway]);
    assert_eq!(home.workers, []);
    assert_eq!(home.next_free_address(), Some(Ipv4Addr::new(10, 0, 0, 3)));

    let text = fs_err::read_to_string(sample("minimal.toml")).unwrap();
    let worker = "[[worker]]\nname = \"pi01\"\nmac = \"B827EB404536\"\naddress = \"10.0.0.3\"\n";
    let home = parse(&format!("{text}{worker}"), "cluster.toml").unwrap().cluster;
    let worker = home.worker("pi01").unwrap();
    assert_eq!(
        (worker.board, worker.serial, worker.state_size),
        (Board::Pi3BPlus, None, ByteSize::gib(8))
    );
    assert_eq!(worker.boot_directory_names(), ["b8-27-eb-40-45-36"]);
}

#[test]
fn secrets_stay_references_whatever_is_made_of_them() {
    let office = load(&sample("secrets.toml")).unwrap();
    assert!(office.warnings.is_empty(), "{}", office.warnings);
    insta::assert_snapshot!(serde_json::to_string_pretty(&office.cluster).unwrap());
}

#[test]
fn a_swarm_brings_docker_and_neither_is_there_unasked() {
    let text = fs_err::read_to_string(sample("lab.toml")).unwrap();
    let lab = |more: &str| parse(&format!("{text}{more}"), "cluster.toml").unwrap().cluster;
    assert_eq!((lab("").docker, lab("").swarm), (None, None));
    let docker = lab("[docker]\nlog-size = \"1MiB\"\n");
    assert_eq!(docker.docker, Some(Docker { log_size: ByteSize::mib(1), archive: None }));
    let key =
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBFit\n-----END PGP PUBLIC KEY BLOCK-----";
    let archive = lab(&format!(
        "[docker.archive]\nurl = \"https://mirror.example/linux/debian\"\nkey = \"\"\"\n{key}\n\"\"\"\n"
    ));
    let archive = archive.docker.and_then(|docker| docker.archive).expect("it has one");
    assert_eq!((&*archive.url, &*archive.key), ("https://mirror.example/linux/debian", key));
    assert_eq!(docker.swarm, None);
    let swarm = lab("[swarm]\n");
    assert_eq!(swarm.docker, Some(Docker::default()));
    assert_eq!(
        swarm.swarm,
        Some(Swarm { managers: 1, master: None, heartbeat: None, autolock: None })
    );
    let swarm = lab(
        "labels = [\"disk=none\"]\n[swarm]\nmanagers = 3\nheartbeat = 20\nmaster = \"drain\"\n",
    );
    let of = |name: &str| swarm.worker(name).unwrap().labels.clone();
    assert_eq!((of("cluster01"), of("cluster02")), (vec![], vec!["disk=none".parse().unwrap()]));
    assert_eq!(
        swarm.swarm,
        Some(Swarm {
            managers: 3,
            master: Some(Availability::Drain),
            heartbeat: Some(20),
            autolock: None
        })
    );
    assert_eq!(lab("[docker]\n").docker, swarm.docker);
    let registry = lab("[registry]\n");
    assert_eq!((registry.docker, registry.swarm), (Some(Docker::default()), None));
    assert_eq!(registry.registry.unwrap().upstream, "https://registry-1.docker.io");
}

#[test]
fn other_ways_to_write_the_same_toml_are_read_too() {
    let plain = parse(&fs_err::read_to_string(sample("minimal.toml")).unwrap(), "cluster.toml")
        .unwrap()
        .cluster;
    let inline = "cluster.name = 'home'\nnetwork = { subnet = '10.0.0.0/24', gateway = '10.0.0.1' }\n\
                  master = { name = 'pi00', address = '10.0.0.2' }\nworker = []\n";
    let windows = format!("\u{feff}{}", inline.replace('\n', "\r\n"));
    assert_eq!(parse(inline, "cluster.toml").unwrap().cluster, plain);
    assert_eq!(parse(&windows, "cluster.toml").unwrap().cluster, plain);
}

#[test]
fn numbers_of_two_boards_are_pointed_out() {
    let text = fs_err::read_to_string(sample("lab.toml")).unwrap().replace("9f404536", "9f404537");
    insta::assert_snapshot!(parse(&text, "cluster.toml").unwrap().warnings);
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let home = Utf8Path::from_path(home.path()).unwrap();
    let absent = load(&home.join("cluster.toml")).unwrap_err();
    assert_eq!(absent.exit(), Exit::Input);
    assert!(absent.to_string().contains("cluster.toml` cannot be read"), "{absent}");
    assert!(absent.hint().unwrap().contains("docs/cluster.toml.md"));

    let latin1 = home.join("latin1.toml");
    fs_err::write(&latin1, b"[cluster]\nname = \"k\xfcche\"\n").unwrap();
    assert!(load(&latin1).unwrap_err().hint().unwrap().contains("UTF-8"));

    let wrong = home.join("wrong.toml");
    fs_err::write(&wrong, "[cluster]\n").unwrap();
    let error = load(&wrong).unwrap_err();
    assert!(matches!(&error, LoadError::Invalid(_)));
    assert_eq!(error.exit(), Exit::Input);
    assert!(error.rendered().unwrap().contains("wrong.toml:1:1"), "{error}");
}
