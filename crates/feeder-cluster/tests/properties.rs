//! Laws: what is displayed can be read again; every consistent cluster is accepted as it is meant; no text breaks the reader.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests may")]

use std::collections::BTreeSet;
use std::fmt::{Debug, Display, Write};
use std::net::Ipv4Addr;
use std::str::FromStr;

use feeder_cluster::schema::SECTIONS;
use feeder_cluster::{
    Archive, Availability, Board, ByteSize, Cluster, DhcpMode, Docker, FileSystem, Ipv4Net,
    MacAddr, Master, Network, NodeLabel, NodeName, PasswordLogin, Root, SdCard, SecretRef, Serial,
    Settings, Severity, Ssd, Sudo, Swarm, System, Worker, parse, parse_with, variable,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn reads_what_it_displays<T: Display + FromStr<Err: Debug> + PartialEq + Debug>(value: T) {
    assert_eq!(value.to_string().parse::<T>().unwrap(), value);
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_filter_map("an address of one board", |octets| MacAddr::new(octets).ok())
}

fn serial() -> impl Strategy<Value = Serial> {
    (1..=u32::MAX).prop_map(|number| Serial::new(number).unwrap())
}

fn node_name() -> impl Strategy<Value = NodeName> {
    "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?".prop_filter_map("no number", |name| name.parse().ok())
}

fn state_size() -> impl Strategy<Value = ByteSize> {
    (256u32..=16 << 20).prop_map(ByteSize::mib)
}

fn ssd() -> impl Strategy<Value = Ssd> {
    let disk = "[A-Za-z0-9][A-Za-z0-9#+.:=@_-]{0,40}"
        .prop_filter_map("no partition", |name| format!("/dev/disk/by-id/{name}").parse().ok());
    (disk, select(&FileSystem::ALL[..]), select(&SdCard::ALL[..]))
        .prop_map(|(disk, file_system, sd_card)| Ssd { disk, file_system, sd_card })
}

/// Clusters in a /24 or larger, with all that must be unique drawn without repetition.
fn cluster() -> impl Strategy<Value = Cluster> {
    let places = subsequence((1..=254u32).collect::<Vec<_>>(), 2..12).prop_shuffle();
    let unique = |count: usize| {
        (
            prop::collection::btree_set(node_name(), count),
            prop::collection::btree_set(mac(), count),
            prop::collection::btree_set(serial(), count),
            prop::collection::vec(
                (any::<bool>(), select(&Board::ALL[..]), select(&Root::ALL[..]), state_size()),
                count,
            ),
        )
    };
    let parts = places.prop_flat_map(move |places| {
        let count = places.len();
        (
            Just(places),
            unique(count),
            8..=24u8,
            any::<u32>(),
            prop::option::of(prop::collection::vec(1..255u8, 1..4)),
        )
    });
    let person = "[a-z_][a-z0-9_-]{0,31}".prop_filter("it needs sudo", |user| user != "root");
    let person = (person, prop::option::of(secret()), system());
    (parts, node_name(), person, prop::option::of(ssd()), labels(), docker_and_swarm()).prop_map(
        |(
            (places, (names, macs, serials, rest), prefix, base, dns),
            name,
            (user, sudo_password, mut system),
            ssd,
            labels,
            (docker, swarm),
        )| {
            let base = Ipv4Addr::from((base & 0x00ff_ffff) | (10 << 24));
            let subnet = Ipv4Net::new(base, prefix).unwrap().trunc();
            let address = |place: u32| Ipv4Addr::from(u32::from(subnet.network()) + place);
            let gateway = address(places[0]);
            if sudo_password.is_none() {
                system.sudo = system.sudo.filter(|sudo| *sudo == Sudo::WithoutPassword);
            }
            let mut names = names.into_iter();
            let dns = match dns {
                Some(dns) => dns.into_iter().map(|last| Ipv4Addr::new(9, 9, 9, last)).collect(),
                None => vec![gateway],
            };
            let master = Master {
                name: names.next().unwrap(),
                address: address(places[1]),
                board: rest[0].1,
                user,
                sudo_password,
                labels: labels.clone(),
                ssd,
            };
            let numbers = macs.into_iter().zip(serials).zip(rest);
            let workers = names.zip(places.iter().skip(2)).zip(numbers);
            let workers = workers.map(
                |((name, place), ((mac, serial), (known, board, root, state_size)))| Worker {
                    name,
                    mac,
                    serial: known.then_some(serial),
                    address: address(*place),
                    board,
                    root,
                    state_size,
                    labels: labels.clone(),
                },
            );
            let workers = workers.collect();
            Cluster {
                name,
                network: Network { subnet, gateway, dns, dhcp: DhcpMode::Proxy },
                master,
                workers,
                system,
                share: None,
                docker,
                swarm,
                registry: None,
            }
        },
    )
}

fn secret() -> impl Strategy<Value = SecretRef> {
    let text = "(env:[A-Z_][A-Za-z0-9_]{0,9}|file:[a-z/][a-z./ -]{0,20}|cmd:[a-z][a-z |=:-]{0,20})";
    text.prop_map(|text| text.parse().unwrap())
}

/// How the user logs in and becomes root; the rest has tests of its own.
fn system() -> impl Strategy<Value = System> {
    let login = select(vec![PasswordLogin::Allowed, PasswordLogin::Refused]);
    let parts = (
        prop::option::of(secret()),
        prop::option::of(select(&Sudo::ALL[..])),
        prop::option::of(login),
    );
    parts.prop_map(|(password, sudo, password_login)| System {
        password,
        sudo,
        password_login,
        ..System::default()
    })
}

fn labels() -> impl Strategy<Value = Vec<NodeLabel>> {
    prop::collection::btree_map(
        "[a-e]([a-z0-9._-]{0,20}[a-z0-9])?",
        "[A-Za-z0-9._:/+@-]{1,20}",
        0..3,
    )
    .prop_map(|labels| {
        labels.iter().map(|(name, value)| format!("{name}={value}").parse().unwrap()).collect()
    })
}

fn docker_and_swarm() -> impl Strategy<Value = (Option<Docker>, Option<Swarm>)> {
    let archive = prop::option::of("[a-z]{1,9}/[a-z/]{0,9}".prop_map(|place| Archive {
        url: format!("https://{place}"),
        key:
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ\n-----END PGP PUBLIC KEY BLOCK-----".into(),
    }));
    let docker = (16..1024u64, archive)
        .prop_map(|(kib, archive)| Docker { log_size: ByteSize::bytes(kib << 10), archive });
    let availability = prop::option::of(select(Availability::ALL.to_vec()));
    let heartbeat = prop::option::of(select(vec![5, 10, 20, 30, 60]));
    let swarm = (availability, heartbeat).prop_map(|(master, heartbeat)| Swarm {
        managers: 1,
        master,
        heartbeat,
        autolock: None,
    });
    (prop::option::of(docker), prop::option::of(swarm)).prop_map(|(docker, swarm)| {
        let docker = docker.or_else(|| swarm.is_some().then(Docker::default));
        (docker, swarm)
    })
}

/// A line for labels, if there are any.
fn labels_written(labels: &[NodeLabel]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let labels: Vec<String> = labels.iter().map(|label| format!("\"{label}\"")).collect();
    format!("labels = [{}]\n", labels.join(", "))
}

fn written(cluster: &Cluster) -> String {
    let Network { subnet, gateway, dns, dhcp } = &cluster.network;
    let dns: Vec<String> = dns.iter().map(|server| format!("\"{server}\"")).collect();
    let Master { name, address, board, user, sudo_password, labels, ssd } = &cluster.master;
    let mut text = format!(
        "[cluster]\nname = \"{}\"\n[network]\nsubnet = \"{subnet}\"\ngateway = \"{gateway}\"\ndns = [{}]\ndhcp = \"{dhcp}\"\n\
         [master]\nname = \"{name}\"\naddress = \"{address}\"\nboard = \"{board}\"\nuser = \"{user}\"\n",
        cluster.name,
        dns.join(", "),
    );
    if let Some(reference) = sudo_password {
        writeln!(text, "sudo-password = \"{reference}\"").unwrap();
    }
    text.push_str(&labels_written(labels));
    if let Some(Ssd { disk, file_system, sd_card }) = ssd {
        writeln!(
            text,
            "[master.ssd]\ndisk = \"{disk}\"\nfile-system = \"{file_system}\"\nsd-card = \"{sd_card}\""
        )
        .unwrap();
    }
    for Worker { name, mac, serial, address, board, root, state_size, labels } in &cluster.workers {
        write!(
            text,
            "[[worker]]\nname = \"{name}\"\nmac = \"{mac}\"\naddress = \"{address}\"\nboard = \"{board}\"\nroot = \"{root}\"\nstate = \"{state_size}\"\n"
        )
        .unwrap();
        if let Some(serial) = serial {
            writeln!(text, "serial = \"{serial}\"").unwrap();
        }
        text.push_str(&labels_written(labels));
    }
    if !cluster.system.is_empty() {
        let System { password, sudo, password_login, .. } = &cluster.system;
        text.push_str("[system]\n");
        let password = password.iter().map(|reference| format!("password = \"{reference}\"\n"));
        let sudo = sudo.iter().map(|sudo| format!("sudo = \"{sudo}\"\n"));
        let login = password_login.iter().map(|login| format!("password-login = {login}\n"));
        text.extend(password.chain(sudo).chain(login));
    }
    if let Some(Docker { log_size, archive }) = &cluster.docker {
        writeln!(text, "[docker]\nlog-size = \"{log_size}\"").unwrap();
        if let Some(Archive { url, key }) = archive {
            writeln!(text, "[docker.archive]\nurl = \"{url}\"\nkey = \"\"\"\n{key}\n\"\"\"")
                .unwrap();
        }
    }
    if let Some(Swarm { managers, master, heartbeat, autolock: _ }) = &cluster.swarm {
        writeln!(text, "[swarm]\nmanagers = {managers}").unwrap();
        if let Some(master) = master {
            writeln!(text, "master = \"{master}\"").unwrap();
        }
        if let Some(heartbeat) = heartbeat {
            writeln!(text, "heartbeat = {heartbeat}").unwrap();
        }
    }
    text
}

/// Names of settings, most of them of keys.
fn set_key() -> impl Strategy<Value = String> {
    let keys = SECTIONS.into_iter().flat_map(|section| {
        section.keys.iter().map(move |key| format!("{}.{}", section.name, key.name))
    });
    prop_oneof![9 => select(keys.collect::<Vec<_>>()), 1 => "[a-z.-]{0,12}"]
}

/// Bits of text that can stand where they should not.
fn splinter() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 17] = [
        "[",
        "]",
        "[[worker]]",
        "\"",
        "\"\"\"",
        "=",
        "\n",
        "\r\n",
        "{",
        "}",
        "#",
        ",",
        "\u{feff}",
        "ä",
        "\u{1b}[0m",
        "mac = 1\n",
        "[master]\n",
    ];
    prop_oneof![select(&KNOWN[..]).prop_map(str::to_owned), any::<char>().prop_map(String::from)]
}

proptest! {
    #[test]
    fn values_read_what_they_display(mac in mac(), serial in serial(), name in node_name(), bytes: u64, size in state_size(), secret in secret()) {
        reads_what_it_displays(mac);
        prop_assert_eq!(mac.dashed().parse(), Ok(mac));
        reads_what_it_displays(serial);
        reads_what_it_displays(name);
        reads_what_it_displays(ByteSize::bytes(bytes));
        reads_what_it_displays(secret);
        Sudo::ALL.into_iter().for_each(reads_what_it_displays);
        reads_what_it_displays(size);
        Board::ALL.into_iter().for_each(reads_what_it_displays);
        DhcpMode::ALL.into_iter().for_each(reads_what_it_displays);
    }

    #[test]
    fn every_consistent_cluster_is_read_as_it_is_meant(cluster in cluster()) {
        let parsed = parse(&written(&cluster), "cluster.toml").map_err(|wrong| TestCaseError::fail(wrong.to_string()))?;
        prop_assert_eq!(&parsed.cluster, &cluster);
        let mut taken: BTreeSet<Ipv4Addr> = cluster.nodes().map(|node| node.address).collect();
        taken.insert(cluster.network.gateway);
        let free = parsed.cluster.next_free_address();
        prop_assert!(free.is_some_and(|free| cluster.network.subnet.contains(&free) && taken.insert(free)));
    }

    #[test]
    fn no_text_breaks_the_reader(cluster in cluster(), cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..20usize, splinter()), 1..4)) {
        let mut text = written(&cluster);
        for (at, length, splinter) in cuts {
            let from = text.floor_char_boundary(at.index(text.len() + 1));
            let to = text.floor_char_boundary((from + length).min(text.len()));
            text.replace_range(from..to.max(from), &splinter);
        }
        match parse(&text, "cluster.toml") {
            Ok(parsed) => prop_assert_eq!(parsed.warnings.count(Severity::Error), 0),
            Err(wrong) => {
                prop_assert_ne!(wrong.count(Severity::Error), 0);
                prop_assert!(wrong.to_string().contains("cluster.toml:"));
                prop_assert!(wrong.iter().all(|diagnostic| diagnostic.primary.span.end <= text.len() + 1));
            }
        }
    }

    #[test]
    fn no_setting_breaks_the_reader(
        cluster in cluster(),
        sets in prop::collection::vec((set_key(), prop::collection::vec(splinter(), 0..6), any::<bool>()), 1..5),
    ) {
        let mut variables = Vec::new();
        let mut options = Vec::new();
        for (name, value, by_option) in sets {
            let value = value.concat();
            if by_option {
                options.push(format!("{name}={value}").parse().unwrap());
            } else {
                variables.push((variable(&name), value));
            }
        }
        let settings = Settings::of_environment(variables).and(options);
        match parse_with(&written(&cluster), "cluster.toml", &settings) {
            Ok(parsed) => prop_assert!(parsed.warnings.count(Severity::Error) == 0),
            Err(wrong) => {
                prop_assert!(!wrong.rendered(true).is_empty());
                prop_assert!(serde_json::to_string(&wrong).is_ok());
            }
        }
    }

    #[test]
    fn any_text_at_all_gets_an_answer(text in "\\PC{0,200}|(?s).{0,200}") {
        if let Err(wrong) = parse(&text, "cluster.toml") {
            prop_assert!(!wrong.rendered(true).is_empty());
        }
    }
}
