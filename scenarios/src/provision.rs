//! From a bare board to a cluster, however often provisioning is killed on the way.

use std::collections::BTreeSet;

use feeder_scenario::{Lab, Scenario, Service, Steps, Verdict};

use crate::{generations::COMMON, netboot::netboots};

/// In the table of scenarios.
pub const PROVISION: Scenario<Lab> = Scenario {
    name: "provision",
    about: "provisioning that is killed at every turn goes on and loses nothing",
    run: provision,
};

/// What the docs say that a master answers to.
const PORTS: &str = include_str!("../../docs/ports.md");

fn provision(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision is killed at every turn", |lab| {
        lab.provision().with(COMMON).is_killed_at_every_turn()
    })?;
    lab.step("provision again", |lab| lab.provision().with(COMMON).finds_nothing_to_do())?;
    let worker = lab.node("cluster01")?;
    lab.step("a worker netboots", |lab| netboots(lab, &worker))?;
    lab.step("a stranger finds no other open port than the docs say", |lab| {
        lab.stranger_finds(&lab.master(), &documented(PORTS))?;
        lab.stranger_finds(&worker, &[Service::Tcp(22)].into())
    })?;
    lab.step("after a power cut of both all is as it was", |lab| {
        worker.cut_power()?;
        lab.master().cut_power()?.power_on()?.until_ssh()?;
        netboots(lab, &worker)?;
        lab.provision().with(COMMON).finds_nothing_to_do()
    })
}

/// The services in the first column of a table.
fn documented(text: &str) -> BTreeSet<Service> {
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    cells
        .filter_map(|cell| match cell.split_once('/')? {
            (port, "tcp") => port.parse().ok().map(Service::Tcp),
            (port, "udp") => port.parse().ok().map(Service::Udp),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_name_ports() {
        let ports = documented(PORTS);
        assert!(
            ports.contains(&Service::Tcp(22)) && ports.contains(&Service::Udp(69)),
            "{ports:?}"
        );
        assert_eq!(
            documented("| port | for |\n|---|---|\n| 7/tcp | echo |\n"),
            [Service::Tcp(7)].into()
        );
    }
}
