//! A swarm whose cluster changes: nodes lose their state and their room, leave the file, and come from another swarm.

use feeder_scenario::{Cluster, Lab, Node, Provision, Scenario, Steps, Verdict};
use serde_json::json;

use crate::{
    swarm::{NODES, START, TOKEN, until},
    swarm_managers::{
        LOCAL, ROLES, TASKS, THREE, give_image, is_whole, starts_the_service, three_managers,
    },
};

/// In the table of scenarios.
pub const SWARM_CHANGES: Scenario<Lab> = Scenario {
    name: "swarm-changes",
    about: "a swarm loses state, room and nodes, gets strangers, and is mended by provisioning",
    run: swarm_changes,
};

/// Behind the sample's last worker.
const ONE: &str = "[swarm]\n";
/// The generation that the master begins with.
const FIRST: u32 = 1;

const SECOND_IS_DOWN: &str =
    "cluster00 Ready Active\ncluster01 Ready Active\ncluster02 Down Active";

/// An engine is told to join, and says why it cannot.
const JOINS: &str = "curl --silent --unix-socket /run/docker.sock --header 'Content-Type: application/json' \
                     --data-binary @/run/join.json http://engine/swarm/join | grep -c 'valid join token'";
/// Takes all room of a worker's state image at once: nothing is written, so that nothing comes over the LAN.
const FILL: &str = "set -e; cd /var/tmp
for kib in 1048576 65536 4096 256 16 4; do
  n=0; while fallocate -l ${kib}K fill.$kib.$n 2>/dev/null; do n=$((n + 1)); done
done
df --output=avail / | tail -n 1 | tr -d ' '";
/// In GiB, of the worker's root.
const ROOM: &str = "echo $((($(df --block-size=1M --output=size / | tail -n 1) + 512) / 1024))";

fn swarm_changes(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision the master from nothing", |lab| {
        lab.provision().with(THREE).applies_changes()
    })?;
    let workers = [lab.node("cluster01")?, lab.node("cluster02")?];
    three_managers(lab, &workers, FIRST)?;
    lab.step("a service runs", |lab| starts_the_service(lab, &workers))?;
    let [first, second] = &workers;
    lab.step("a manager whose state is lost joins anew, and its old entry goes", |lab| {
        loses_its_state(lab, second)
    })?;
    lab.step("a full state image is told", |lab| is_full(lab, first))?;
    lab.step("it grows, and does not shrink", |lab| grows(lab, first))?;
    lab.step("a worker that is taken out of the file is drained and removed", |lab| {
        lab.provision().with(ONE).changing(without_the_second).applies_changes()?;
        until(lab, "cluster00 Reachable\ncluster01", ROLES)?;
        until(lab, "3", TASKS)?;
        // Whoever takes it out of the file takes it away: nothing is served to it any more.
        second.cut_power()?;
        lab.provision().with(ONE).changing(without_the_second).finds_nothing_to_do()
    })?;
    lab.step("a node of another swarm is refused and left there", |lab| {
        grown(lab).applies_changes()?;
        second.power_on()?.until_ssh()?;
        second.run("docker swarm leave --force && docker swarm init --advertise-addr 192.168.10.102 >/dev/null")?;
        let words = ["cluster02 is in another swarm, managed from 192.168.10.102:2377"];
        grown(lab).fails(&words)?;
        second.says(LOCAL, "active")
    })?;
    lab.step("an old token lets nobody in, and provision does", |lab| {
        second.run("docker swarm leave --force")?;
        is_not_let_in(lab, second)?;
        grown(lab).applies_changes()?;
        is_whole(lab)
    })?;
    lab.step("no token is in the evidence", |lab| lab.evidence_lacks(TOKEN))
}

/// Provisioning with the image that has grown.
fn grown(lab: &mut Lab) -> Provision<'_> {
    lab.provision().with(THREE).changing(larger)
}

fn without_the_second(cluster: &mut Cluster) {
    larger(cluster);
    cluster.workers.retain(|worker| worker.name.as_str() != "cluster02");
}

fn loses_its_state(lab: &mut Lab, worker: &Node) -> Verdict {
    worker.cut_power()?;
    until(lab, SECOND_IS_DOWN, NODES)?;
    lab.master().run("rm /srv/feeder/state/cluster02/state.img")?;
    lab.provision().with(THREE).applies_changes()?;
    worker.power_on()?.until_ssh()?;
    lab.provision().with(THREE).applies_changes()?;
    is_whole(lab)?;
    // What it had of images went with its state.
    give_image(lab, worker)?;
    lab.provision().with(THREE).finds_nothing_to_do()
}

fn is_full(lab: &mut Lab, worker: &Node) -> Verdict {
    worker.says(FILL, "0")?;
    lab.watch_says(
        THREE,
        worker,
        &[
            ("/stage", json!("up")),
            ("/text", json!("state image full")),
            ("/well", json!(false)),
            ("/room/full", json!(true)),
        ],
    )?;
    // It starts all the same, and says so again.
    worker.cut_power()?.power_on()?.until_ssh()?;
    lab.watch_says(THREE, worker, &[("/text", json!("state image full"))])
}

fn grows(lab: &mut Lab, worker: &Node) -> Verdict {
    grown(lab).applies_changes()?;
    grown(lab).finds_nothing_to_do()?;
    worker.says(ROOM, "8")?;
    worker.cut_power()?.power_on()?.until_ssh()?;
    worker.says(ROOM, "10")?;
    is_whole(lab)?;
    worker.until_says("running", "systemctl is-system-running || :", &[&lab.master()], START)?;
    lab.watch_says(
        THREE,
        worker,
        &[("/text", json!("up")), ("/well", json!(true)), ("/room/full", json!(false))],
    )?;
    // The sample says 8 GiB.
    let words = ["the state image of cluster01 has 10GiB", "an image is not made smaller"];
    lab.provision().with(THREE).fails(&words)?;
    worker.run("rm /var/tmp/fill.*").map(drop)
}

fn larger(cluster: &mut Cluster) {
    if let (Ok(size), Some(worker)) = ("10GiB".parse(), cluster.workers.first_mut()) {
        worker.state_size = size;
    }
}

/// The token goes from the master to the worker's engine as provisioning would bring it.
fn is_not_let_in(lab: &Lab, worker: &Node) -> Verdict {
    let order = json!({
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": "192.168.10.102",
        "RemoteAddrs": ["192.168.10.100:2377"],
        "JoinToken": lab.master().run("cat /root/token")?,
    });
    worker.put("/run/join.json", order.to_string().as_bytes())?;
    worker.says(JOINS, "1")?;
    worker.says(LOCAL, "inactive")
}
