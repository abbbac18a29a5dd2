//! The master's address and name, by systemd-networkd.

use feeder_plan::{File, Hostname, Notify, Step, Task};
use minijinja::context;

use crate::{Part, Site, Survey, template::render};

pub(crate) const NAME: &str = "network";

/// Names of resources that provisioning treats by hand: the connection does not survive them.
pub(crate) const ADDRESS_TASK: &str = "task:address";

const FILE: &str = "10-feeder.network";
/// The same settings on trial, in `/run`. It sorts before the lasting file, which is there when an address changes again; for
/// equal names `/etc` would win. systemd.network(5)
const TRIAL: &str = "05-feeder-trial.network";
/// resolved.conf(5)
const RESOLVED: &str = "/etc/systemd/resolved.conf.d/feeder.conf";
/// What may manage the network of a board that was not provisioned yet, and steps aside. systemd units.
const MANAGERS: &str = "NetworkManager dhcpcd";
/// How long the board waits at its new address for the workstation before it takes the old one back.
const PATIENCE_SECONDS: u32 = 300;

/// The `.network` file, from systemd.network(5).
fn network_file(site: &Site<'_>) -> String {
    let network = &site.cluster.network;
    let dns: Vec<String> = network.dns.iter().map(ToString::to_string).collect();
    format!(
        "# Written by feeder (module network): changes made here are undone.\n\
         [Match]\nType=ether\nKind=!*\n\n\
         [Network]\nAddress={}/{}\nGateway={}\nDNS={}\nLinkLocalAddressing=no\n",
        site.cluster.master.address,
        network.subnet.prefix_len(),
        network.gateway,
        dns.join(" "),
    )
}

/// Gives the board its address for a trial; runs on after the connection it came by has broken.
pub(crate) fn switch_script(site: &Site<'_>) -> String {
    let values = context! { network => network_file(site).trim_end(), trial => TRIAL, managers => MANAGERS, patience => PATIENCE_SECONDS };
    render(include_str!("switch.sh.j2"), &values)
}

/// Makes the trial last. Run at the new address.
pub(crate) fn confirm_script() -> String {
    render(
        include_str!("confirm.sh.j2"),
        &context! { file => FILE, trial => TRIAL, managers => MANAGERS },
    )
}

/// Whether that manager of a network steps aside for systemd-networkd.
pub(crate) fn steps_aside(manager: &str) -> bool {
    MANAGERS.split(' ').any(|known| known == manager)
}

/// What whoever provisions such a board should know.
pub(crate) fn note(survey: &Survey) -> Option<String> {
    let manager = survey.foreign_manager.as_deref().filter(|manager| steps_aside(manager))?;
    Some(format!(
        "{manager} gives the network to systemd-networkd and is disabled, once the master is reached at its address; \
         otherwise it takes the network back after {} minutes",
        PATIENCE_SECONDS / 60
    ))
}

/// resolv.conf(5), for a board without systemd-resolved: what managed its network wrote it.
fn resolver_file(site: &Site<'_>) -> String {
    let servers = site.cluster.network.dns.iter().map(|server| format!("nameserver {server}\n"));
    std::iter::once(
        "# Written by feeder (module network): changes made here are undone.\n".to_owned(),
    )
    .chain(servers)
    .collect()
}

fn hosts_file(site: &Site<'_>) -> String {
    let mut text = "# Written by feeder (module network): changes made here are undone.\n\
                    127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n\n"
        .to_owned();
    for node in site.cluster.nodes() {
        text.push_str(&format!("{} {}\n", node.address, node.name));
    }
    text
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let cluster = site.cluster;
    let wanted = format!("{}/{}", cluster.master.address, cluster.network.subnet.prefix_len());
    let digest = crate::part::digest(&network_file(site));
    let probe = format!(
        "addresses=$(ip -4 -o addr show scope global | awk '{{ print $4 }}' | tr '\\n' ' ')\n\
         managers=$(systemctl is-active {MANAGERS}; systemctl is-enabled {MANAGERS} 2>/dev/null)\n\
         case \" $(echo $managers) \" in\n\
         *\" active \"*|*\" enabled \"*) addresses=\"$addresses(another manager)\" ;;\n\
         esac\n\
         kept=$(sha256sum /etc/systemd/network/{FILE} 2>/dev/null | cut -c1-64)\n\
         case \" $addresses\" in\n\
         *\" {wanted} \"*) if [ \"$kept\" = {digest} ]; then echo {wanted}; else echo \"$addresses(not kept)\"; fi ;;\n\
         *) echo \"${{addresses:-absent}}\" ;;\n\
         esac"
    );
    let address = Task::new("address", format!("address {wanted}"))
        .probe(probe)
        .wanted(&wanted)
        .apply(switch_script(site));
    let mut step = Step::new(NAME)
        .title("address and name")
        .with(address)
        .with(Hostname::new(cluster.master.name.as_str()))
        .with(File::new("/etc/hosts", hosts_file(site)));
    step = if site.survey.resolved {
        let again = Notify::restart("systemd-resolved.service").when([RESOLVED]);
        step.with(File::new(RESOLVED, include_str!("resolved.conf"))).notify(again)
    } else {
        step.with(File::new("/etc/resolv.conf", resolver_file(site)))
    };
    Part { steps: vec![step], ..Part::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::tests::{shell_accepts, with_site};

    #[test]
    fn texts() {
        with_site(|site| {
            insta::assert_snapshot!("network_file", network_file(site));
            insta::assert_snapshot!("hosts_file", hosts_file(site));
            insta::assert_snapshot!("resolver_file", resolver_file(site));
            insta::assert_snapshot!("switch", switch_script(site));
            insta::assert_snapshot!("confirm", confirm_script());
            shell_accepts(&switch_script(site));
            shell_accepts(&confirm_script());
            // What is tried is, byte for byte, what the probe expects to find kept.
            assert!(switch_script(site).contains(&format!("{}NETWORK\n", network_file(site))));
        });
    }
}
