//! dnsmasq as proxy DHCP and TFTP server.

use feeder_cluster::Board;
use feeder_plan::{Directory, File, Notify, Step, Symlink, Unit};
use minijinja::context;

use crate::{Part, Site, template::render};

pub(crate) const NAME: &str = "boot-server";

const CONFIG: &str = "/etc/dnsmasq.d/feeder.conf";
const NEIGHBOURS: &str = "/etc/sysctl.d/60-feeder-neighbours.conf";
/// A 3B does not answer ARP while it fetches files (raspberrypi/firmware#975). The kernel asks five seconds after the first
/// packet whether a neighbour is still there, and gives it up three seconds later, in the middle of a boot. arp(7)
const PATIENT_ARP: &str = "# Written by feeder (module boot-server): changes made here are undone.\n\
    # A 3B does not answer ARP while it fetches files: do not ask before it has booted.\n\
    net.ipv4.neigh.*.delay_first_probe_time = 300\n";
/// Transfers at a time; a board that probes and fetches holds up to four, and dnsmasq's default is 50.
const TRANSFERS_PER_WORKER: usize = 4;

fn tag(board: Board) -> &'static str {
    match board {
        Board::Pi3B => "pi3b",
        Board::Pi3BPlus => "pi3bplus",
    }
}

/// The lines of dnsmasq(8).
fn config(site: &Site<'_>) -> String {
    let cluster = site.cluster;
    let workers: Vec<_> = cluster
        .workers
        .iter()
        .map(|worker| context! { tag => tag(worker.board), mac => worker.mac.to_string() })
        .collect();
    let tags: Vec<&str> = Board::ALL
        .into_iter()
        .filter(|board| cluster.workers.iter().any(|worker| worker.board == *board))
        .map(tag)
        .collect();
    let values = context! {
        subnet => cluster.network.subnet.network().to_string(),
        netmask => cluster.network.subnet.netmask().to_string(),
        delayed => tags.contains(&tag(Board::Pi3B)).then(|| tag(Board::Pi3B)),
        by_mac => cluster.workers.iter().any(|worker| worker.serial.is_none()),
        tftp_root => site.layout.tftp().into_string(),
        tftp_max => (cluster.workers.len() * TRANSFERS_PER_WORKER).max(50),
        workers,
        tags,
    };
    render(include_str!("dnsmasq.conf.j2"), &values)
}

/// The boot ROM asks for this one at the top, before it knows any prefix.
pub(crate) fn first_file(site: &Site<'_>) -> Symlink {
    let boot = site.layout.generation_boot(site.boots.number);
    Symlink::new(site.layout.tftp().join("bootcode.bin"), boot.join("bootcode.bin"))
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let tftp = site.layout.tftp();
    // Installing dnsmasq starts it: with its own defaults it would fight the resolver for port 53.
    let before = Step::new(NAME)
        .named("boot-server-config")
        .title("what dnsmasq does")
        .with(Directory::new(site.layout.base()))
        .with(Directory::new(&tftp))
        .with(File::new(CONFIG, config(site)));
    let step = Step::new(NAME)
        .title("DHCP and TFTP")
        .after(crate::workers::NAME)
        .with(first_file(site))
        .with(Unit::new("dnsmasq.service").enabled().active())
        .notify(Notify::restart("dnsmasq.service").when([CONFIG]));
    let step = if site.cluster.workers.iter().any(|worker| worker.board == Board::Pi3B) {
        let apply = format!("/usr/lib/systemd/systemd-sysctl {NEIGHBOURS}");
        step.with(File::new(NEIGHBOURS, PATIENT_ARP)).notify(
            Notify::run("neighbours", "be patient with neighbours", apply).when([NEIGHBOURS]),
        )
    } else {
        step
    };
    Part {
        before_packages: vec![before],
        packages: vec!["dnsmasq".to_owned()],
        steps: vec![step],
        ..Part::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::tests::{with_cluster, with_site};

    #[test]
    fn proxy_dhcp_for_the_workers_and_nobody_else() {
        with_site(|site| insta::assert_snapshot!("dnsmasq", config(site)));
    }

    #[test]
    fn the_kernel_gives_a_3b_up_only_where_there_is_none() {
        let wants = |site: &Site<'_>| format!("{:?}", part(site).steps).contains(NEIGHBOURS);
        with_site(|site| assert!(!wants(site)));
        let text = include_str!("../../../fixtures/clusters/lab-raspi3b.toml");
        with_cluster(text, |site| assert!(wants(site)));
    }

    #[test]
    fn a_3b_is_answered_late_and_a_worker_without_serial_is_found_by_its_mac() {
        let text = include_str!("../../../fixtures/clusters/lab.toml")
            .replacen("board   = \"3b+\"\nstate", "board   = \"3b\"\nstate", 1)
            .replace("serial  = \"4d5a01c2\"\n", "");
        with_cluster(&text, |site| {
            let config = config(site);
            assert!(config.contains("dhcp-reply-delay=tag:pi3b,2\n"), "{config}");
            assert!(config.contains("tftp-unique-root=mac\n"), "{config}");
        });
    }
}
