//! A swarm whose cluster changes: it comes later, has three managers, loses state, nodes and room, and is locked.

use feeder_scenario::{Cluster, Lab, Node, Provision, Scenario, Secret, Steps, Verdict};
use serde_json::json;

use crate::swarm::{ALL_READY, NODES, START, TOKEN, until};

/// In the table of scenarios.
pub const SWARM_CHANGES: Scenario<Lab> = Scenario {
    name: "swarm-changes",
    about: "a swarm comes later, has three managers, loses state, nodes and room, is locked, and is mended by provisioning",
    run: swarm_changes,
};

/// Behind the sample's last worker.
const THREE: &str = "[swarm]\nmanagers = 3\n";
const ONE: &str = "[swarm]\n";
/// The generation that has Docker.
const SECOND: u32 = 2;
const ACTIVE: &str = "tail -n 1 /srv/feeder/generations/active";

const SECOND_IS_DOWN: &str =
    "cluster00 Ready Active\ncluster01 Ready Active\ncluster02 Down Active";

/// Every node's part as the managers see it, without who leads.
const ROLES: &str = "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}' | sed 's/Leader/Reachable/; s/ *$//' | sort";
const ALL_MANAGE: &str = "cluster00 Reachable\ncluster01 Reachable\ncluster02 Reachable";
/// Of nodes that are there, and of those that are gone.
const ENTRIES: &str = "docker node ls --quiet | wc -l";

/// How many tasks run on nodes that have power.
const TASKS: &str = "docker service ps web --filter desired-state=running --format '{{.Node}} {{.CurrentState}}' \
                     | grep -v \"^${without:-nobody} \" | grep -c ' Running'";

/// What lets workers in at one moment; it stays on the master's disk.
const KEEP_TOKEN: &str = "umask 077; docker swarm join-token --quiet worker >/root/token";
/// Whether it is another one now.
const TOKEN_IS_NEW: &str =
    "docker swarm join-token --quiet worker | cmp -s - /root/token && echo old || echo new";

/// How the managers' disks are locked (swarmkit, `manager/encryption`): 32 bytes in base64 follow.
const UNLOCK_KEY: Secret = Secret { prefix: "SWMKEY-1-", digits: 43 };
/// An engine is told to join, and says why it cannot.
const JOINS: &str = "curl --silent --unix-socket /run/docker.sock --header 'Content-Type: application/json' \
                     --data-binary @/run/join.json http://engine/swarm/join | grep -c 'valid join token'";
/// An engine's own word of its part in a swarm.
const LOCAL: &str = "docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null";

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
    lab.step("provision the master without Docker", |lab| lab.provision().applies_changes())?;
    lab.step("a swarm is wanted, and workers get another generation", |lab| {
        lab.provision().with(THREE).applies_changes()?;
        lab.master().says(ACTIVE, "2")?;
        lab.master().run(KEEP_TOKEN).map(drop)
    })?;
    let workers = [lab.node("cluster01")?, lab.node("cluster02")?];
    lab.step("the workers boot it", |lab| boot_all(lab, &workers))?;
    lab.step("provision joins them, and all three manage", |lab| {
        lab.provision().with(THREE).applies_changes()?;
        until(lab, ALL_READY, NODES)?;
        until(lab, ALL_MANAGE, ROLES)?;
        lab.master().says(TOKEN_IS_NEW, "new")
    })?;
    lab.step("provision again", |lab| lab.provision().with(THREE).finds_nothing_to_do())?;
    lab.step("a service runs, and watch shows the swarm", |lab| {
        starts_the_service(lab, &workers)?;
        watch_shows_it(lab, &workers)
    })?;
    let [first, second] = &workers;
    lab.step("a manager loses its power, and the swarm takes orders", |lab| {
        second.cut_power()?;
        lab.master().run("docker service scale --detach web=4 >/dev/null")?;
        until(lab, "4", &format!("without=cluster02; {TASKS}"))
    })?;
    lab.step("it comes back by itself", |lab| {
        second.power_on()?.until_ssh()?;
        is_whole(lab)?;
        lab.provision().with(THREE).finds_nothing_to_do()
    })?;
    lab.step("managers that are locked go on when provision has unlocked them", |lab| {
        are_locked(lab, first)
    })?;
    lab.step("a manager whose state is lost joins anew, and its old entry goes", |lab| {
        loses_its_state(lab, second)
    })?;
    lab.step("a full state image is told", |lab| is_full(lab, first))?;
    lab.step("it grows, and does not shrink", |lab| grows(lab, first))?;
    lab.step("a worker that is taken out of the file is drained and removed", |lab| {
        lab.provision().with(ONE).changing(without_the_second).applies_changes()?;
        until(lab, "cluster00 Reachable\ncluster01", ROLES)?;
        until(lab, "4", TASKS)?;
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
    lab.step("no token and no key is in the evidence", |lab| {
        lab.evidence_lacks(TOKEN)?;
        lab.evidence_lacks(UNLOCK_KEY)
    })
}

/// Provisioning with the image that has grown.
fn grown(lab: &mut Lab) -> Provision<'_> {
    lab.provision().with(THREE).changing(larger)
}

fn without_the_second(cluster: &mut Cluster) {
    larger(cluster);
    cluster.workers.retain(|worker| worker.name.as_str() != "cluster02");
}

/// One fetches its files while the other's kernel starts.
fn boot_all(lab: &mut Lab, workers: &[Node]) -> Verdict {
    for worker in workers {
        worker.power_on()?;
    }
    for worker in workers {
        worker.until_ssh()?;
        worker.fetched_generation(lab, SECOND)?;
        worker.runs_from_generation(SECOND)?;
        worker.until_says("active", "systemctl is-active docker", &[&lab.master()], START)?;
    }
    Ok(())
}

/// All are there, and all manage.
fn is_whole(lab: &Lab) -> Verdict {
    until(lab, ALL_READY, NODES)?;
    until(lab, ALL_MANAGE, ROLES)?;
    lab.master().says(ENTRIES, "3")
}

/// No scenario has the internet, so that every node is given the image. Its name here leads nowhere, at once.
fn starts_the_service(lab: &mut Lab, workers: &[Node]) -> Verdict {
    let master = lab.master();
    for node in [&master, &workers[0], &workers[1]] {
        lab.load_container_image(node)?;
        node.run(&format!("docker tag {} localhost:1/web:1", lab.container_image()))?;
    }
    master.run("docker service create --quiet --detach --no-resolve-image --name web --replicas 3 localhost:1/web:1 >/dev/null")?;
    until(lab, "3", TASKS)
}

fn watch_shows_it(lab: &mut Lab, workers: &[Node]) -> Verdict {
    let master = lab.master();
    for node in [&master, &workers[0], &workers[1]] {
        // Who leads is for the managers to decide.
        let leads = format!(
            "docker node ls --format '{{{{.Hostname}}}} {{{{.ManagerStatus}}}}' | grep -c '^{} Leader' || :",
            node.name()
        );
        let role = if master.run(&leads)? == "1" { "leader" } else { "manager" };
        lab.watch_says(
            THREE,
            node,
            &[
                ("/well", json!(true)),
                ("/engine", json!("active")),
                ("/swarm/state", json!("ready")),
                ("/swarm/role", json!(role)),
                ("/swarm/availability", json!("active")),
                ("/swarm/tasks", json!(1)),
                ("/room/full", json!(false)),
            ],
        )?;
    }
    Ok(())
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
    lab.load_container_image(worker)?;
    worker.run(&format!("docker tag {} localhost:1/web:1", lab.container_image()))?;
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

/// Two of three managers lose their power: the swarm stands still until provisioning has given them their key.
fn are_locked(lab: &mut Lab, worker: &Node) -> Verdict {
    lab.provision().with(THREE).autolocks().applies_changes()?;
    lab.provision().with(THREE).autolocks().finds_nothing_to_do()?;
    worker.cut_power()?;
    lab.master().cut_power()?.power_on()?.until_ssh()?;
    worker.power_on()?.until_ssh()?;
    for node in [&lab.master(), worker] {
        node.until_says("locked", LOCAL, &[&lab.master()], START)?;
    }
    let words =
        ["cluster00 manages a locked swarm and waits for its key", "[swarm] does not say where"];
    lab.provision().with(THREE).fails(&words)?;
    lab.provision().with(THREE).autolocks().applies_changes()?;
    is_whole(lab)?;
    lab.provision().with(THREE).autolocks().finds_nothing_to_do()?;
    lab.master().run("docker swarm update --autolock=false >/dev/null").map(drop)
}
