//! Master and workers form a swarm, which runs services on all of them and heals by itself.

use feeder_scenario::{Fault, Lab, Node, Probability, Scenario, Secret, Steps, Verdict};

use crate::netboot::netbooted;

/// In the table of scenarios.
pub const SWARM: Scenario<Lab> = Scenario {
    name: "swarm",
    about: "master and workers form a swarm that runs services, loses nodes and heals by itself",
    run: swarm,
};

/// Behind the sample's last worker. Guests are slower than boards by far, and later when their host has more to do. No scenario
/// has the internet: what the master's cache fetches is in its own registry.
const SECTIONS: &str = "labels = [\"disk=none\"]\n[swarm]\nheartbeat = 10\n\
                        [registry]\nupstream = \"https://cluster00:5000\"\n";
/// How images of Docker's own registry are called there.
const IMAGE: &str = "cluster00:5000/library/web:1";

/// Every node as the managers see it.
pub(crate) const NODES: &str =
    "docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}}' | sort";
pub(crate) const ALL_READY: &str =
    "cluster00 Ready Active\ncluster01 Ready Active\ncluster02 Ready Active";
const ONE_DOWN: &str = "cluster00 Ready Active\ncluster01 Down Active\ncluster02 Ready Active";

/// On how many nodes the service's tasks run.
const SPREAD: &str = "docker service ps web --filter desired-state=running --format '{{.Node}} {{.CurrentState}}' \
                      | sed -n 's/ Running.*//p' | sort -u | wc -l";
/// How many tasks run where there is power.
const WITHOUT_ONE: &str = "docker service ps web --filter desired-state=running --format '{{.Node}} {{.CurrentState}}' \
                           | grep -v '^cluster01 ' | grep -c ' Running'";

/// Asks for the page at every node's address.
const ANSWERS: &str = "for address in 192.168.10.100 192.168.10.101 192.168.10.102; do \
                       curl --silent --max-time 20 http://$address:8080/; done";
const ANSWERED: &str =
    "a page out of a container\na page out of a container\na page out of a container";

/// From within the container of this node: every container of the service by its own address on the overlay network.
const EACH_OTHER: &str = "c=$(docker ps --quiet --filter name=web | head -n 1)
    for address in $(docker exec $c nslookup tasks.web 127.0.0.11 | sed -n '/^Name:/,$s/^Address[ 0-9]*: *//p'); do
      docker exec $c wget -q -T 20 -O - http://$address/cgi-bin/host
    done | sort -u | wc -l";

/// The engine stores on overlayfs over the worker's own image.
const STORAGE: &str =
    "docker info --format '{{.Driver}} {{index .DriverStatus 0 1}} {{.MemoryLimit}}'";

/// A join token (swarmkit, `ca/certificates.go`): the digest of the swarm's certificate follows, and then what lets a node in.
pub(crate) const TOKEN: Secret = Secret { prefix: "SWMTKN-1-", digits: 50 };

fn swarm(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision the master from nothing", |lab| {
        lab.provision().with(SECTIONS).applies_changes()
    })?;
    lab.step("provision again", |lab| lab.provision().with(SECTIONS).finds_nothing_to_do())?;
    let workers = [lab.node("cluster01")?, lab.node("cluster02")?];
    lab.step("the workers netboot", |lab| netboot_all(lab, &workers))?;
    lab.step("provision joins them, and all are ready", |lab| {
        lab.provision().with(SECTIONS).applies_changes()?;
        until(lab, ALL_READY, NODES)?;
        lab.master().says("docker node inspect --format '{{.Spec.Labels.disk}}' cluster02", "none")
    })?;
    lab.step("provision a third time", |lab| lab.provision().with(SECTIONS).finds_nothing_to_do())?;
    lab.step("a worker fetches an image of the registry through the cache", |lab| {
        fetches_through_the_cache(lab, &workers[0])
    })?;
    lab.step("a service is spread and answers at every node's address", starts_the_service)?;
    lab.step("its containers reach each other over the overlay network", |lab| {
        until(lab, "3", EACH_OTHER)
    })?;
    lab.step("a worker loses its power, and its task moves", |lab| {
        workers[0].cut_power()?;
        until(lab, ONE_DOWN, NODES)?;
        until(lab, "3", WITHOUT_ONE)
    })?;
    lab.step("it comes back by itself", |lab| {
        workers[0].power_on()?.until_ssh()?;
        is_whole(lab)
    })?;
    lab.step("the master restarts, and all is well without provisioning", |lab| {
        lab.master().cut_power()?.power_on()?.until_ssh()?;
        is_whole(lab)
    })?;
    lab.step("the LAN loses 5 % of its frames for a minute, and nothing is lost", loses_frames)?;
    lab.step("provision a last time", |lab| lab.provision().with(SECTIONS).finds_nothing_to_do())?;
    lab.step("no join token is in the evidence", |lab| lab.evidence_lacks(TOKEN))
}

/// For an engine to start, and for the swarm to do something, in vCPU seconds of all its nodes.
pub(crate) const START: u64 = 240;
const SETTLES: u64 = 400;

/// Asks the master until it says so.
pub(crate) fn until(lab: &Lab, wanted: &str, script: &str) -> Verdict {
    let workers = [lab.node("cluster01")?, lab.node("cluster02")?];
    lab.master().until_says(wanted, script, &[&workers[0], &workers[1]], SETTLES)
}

/// All nodes are ready, and the service answers everywhere.
fn is_whole(lab: &Lab) -> Verdict {
    until(lab, ALL_READY, NODES)?;
    until(lab, ANSWERED, ANSWERS)
}

/// One fetches its files while the other's kernel starts.
fn netboot_all(lab: &mut Lab, workers: &[Node]) -> Verdict {
    for worker in workers {
        worker.power_on()?;
    }
    for worker in workers {
        netbooted(lab, worker)?;
        worker.until_says("overlay2 extfs true", STORAGE, &[&lab.master()], START)?;
    }
    Ok(())
}

fn fetches_through_the_cache(lab: &mut Lab, worker: &Node) -> Verdict {
    let master = lab.master();
    lab.load_container_image(&master)?;
    master.run(&format!(
        "docker tag {} {IMAGE} && docker push --quiet {IMAGE}",
        lab.container_image()
    ))?;
    // By the name that an image of Docker's own registry has.
    worker.run("docker pull --quiet web:1 && docker rmi web:1")?;
    master.says("ls /srv/feeder/registry/cache/docker/registry/v2/repositories/library", "web")
}

fn starts_the_service(lab: &mut Lab) -> Verdict {
    let master = lab.master();
    master.run("docker network create --driver overlay between >/dev/null")?;
    master.run(&format!(
        "docker service create --quiet --detach --name web --network between --replicas 3 \
         --publish published=8080,target=80 {IMAGE}"
    ))?;
    until(lab, "3", SPREAD)?;
    until(lab, ANSWERED, ANSWERS)
}

fn loses_frames(lab: &mut Lab) -> Verdict {
    let tasks = "docker service ps web --filter desired-state=running --quiet | sort";
    let before = lab.master().run(tasks)?;
    let nodes = ["cluster00", "cluster01", "cluster02"];
    let faults = nodes.map(|node| lab.inject(Fault::loss(node, Probability::percent(5))));
    lab.master().run(
        "end=$(($(date +%s) + 60))
         while [ $(date +%s) -lt $end ]; do
           curl --silent --show-error --fail --retry 3 --max-time 60 --output /dev/null http://192.168.10.101:8080/
         done",
    )?;
    for fault in faults {
        lab.clear(fault?)?;
    }
    is_whole(lab)?;
    lab.master().says(tasks, &before)
}
