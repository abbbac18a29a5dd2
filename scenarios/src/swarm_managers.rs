//! A swarm that comes later: it has three managers, loses one, and is locked.

use feeder_scenario::{Lab, Node, Scenario, Secret, Steps, Verdict};
use serde_json::json;

use crate::swarm::{ALL_READY, NODES, START, TOKEN, until};

/// In the table of scenarios.
pub const SWARM_MANAGERS: Scenario<Lab> = Scenario {
    name: "swarm-managers",
    about: "a swarm comes later, has three managers, loses one, and is locked and unlocked by provisioning",
    run: swarm_managers,
};

/// Behind the sample's last worker.
pub(crate) const THREE: &str = "[swarm]\nmanagers = 3\n";
/// The generation that has Docker.
const SECOND: u32 = 2;
const ACTIVE: &str = "tail -n 1 /srv/feeder/generations/active";

/// Every node's part as the managers see it, without who leads.
pub(crate) const ROLES: &str = "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}' | sed 's/Leader/Reachable/; s/ *$//' | sort";
const ALL_MANAGE: &str = "cluster00 Reachable\ncluster01 Reachable\ncluster02 Reachable";
/// Of nodes that are there, and of those that are gone.
const ENTRIES: &str = "docker node ls --quiet | wc -l";

/// How many tasks run on nodes that have power.
pub(crate) const TASKS: &str = "docker service ps web --filter desired-state=running --format '{{.Node}} {{.CurrentState}}' \
                     | grep -v \"^${without:-nobody} \" | grep -c ' Running'";

/// What lets workers in at one moment; it stays on the master's disk.
const KEEP_TOKEN: &str = "umask 077; docker swarm join-token --quiet worker >/root/token";
/// Whether it is another one now.
const TOKEN_IS_NEW: &str =
    "docker swarm join-token --quiet worker | cmp -s - /root/token && echo old || echo new";

/// How the managers' disks are locked (swarmkit, `manager/encryption`): 32 bytes in base64 follow.
const UNLOCK_KEY: Secret = Secret { prefix: "SWMKEY-1-", digits: 43 };
/// An engine's own word of its part in a swarm.
pub(crate) const LOCAL: &str = "docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null";

fn swarm_managers(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision the master without Docker", |lab| lab.provision().applies_changes())?;
    lab.step("a swarm is wanted, and workers get another generation", |lab| {
        lab.provision().with(THREE).applies_changes()?;
        lab.master().says(ACTIVE, "2")
    })?;
    let workers = [lab.node("cluster01")?, lab.node("cluster02")?];
    three_managers(lab, &workers, SECOND)?;
    lab.step("provision again", |lab| lab.provision().with(THREE).finds_nothing_to_do())?;
    lab.step("a service runs, and watch shows the swarm", |lab| {
        starts_the_service(lab, &workers)?;
        watch_shows_it(lab, &workers)
    })?;
    let [first, second] = &workers;
    lab.step("a manager loses its power, and the swarm takes orders", |lab| {
        second.cut_power()?;
        // When it led, the others first have to agree on another one.
        let scale = "docker service scale --detach web=4 >/dev/null 2>&1";
        until(lab, "4", &format!("{scale}; without=cluster02; {TASKS}"))
    })?;
    lab.step("it comes back by itself", |lab| {
        second.power_on()?.until_ssh()?;
        is_whole(lab)?;
        lab.provision().with(THREE).finds_nothing_to_do()
    })?;
    lab.step("managers that are locked go on when provision has unlocked them", |lab| {
        are_locked(lab, first)
    })?;
    lab.step("no token and no key is in the evidence", |lab| {
        lab.evidence_lacks(TOKEN)?;
        lab.evidence_lacks(UNLOCK_KEY)
    })
}

/// Workers that boot this generation join the master's swarm, and all of them manage it.
pub(crate) fn three_managers(lab: &mut Lab, workers: &[Node], generation: u32) -> Verdict {
    lab.step("the workers boot", |lab| {
        lab.master().run(KEEP_TOKEN)?;
        boot_all(lab, workers, generation)
    })?;
    lab.step("provision joins them, and all three manage", |lab| {
        lab.provision().with(THREE).applies_changes()?;
        until(lab, ALL_READY, NODES)?;
        until(lab, ALL_MANAGE, ROLES)?;
        lab.master().says(TOKEN_IS_NEW, "new")
    })
}

/// One fetches its files while the other's kernel starts.
fn boot_all(lab: &mut Lab, workers: &[Node], generation: u32) -> Verdict {
    for worker in workers {
        worker.power_on()?;
    }
    for worker in workers {
        worker.until_ssh()?;
        worker.fetched_generation(lab, generation)?;
        worker.runs_from_generation(generation)?;
        worker.until_says("active", "systemctl is-active docker", &[&lab.master()], START)?;
    }
    Ok(())
}

/// All are there, and all manage.
pub(crate) fn is_whole(lab: &Lab) -> Verdict {
    until(lab, ALL_READY, NODES)?;
    until(lab, ALL_MANAGE, ROLES)?;
    lab.master().says(ENTRIES, "3")
}

/// No scenario has the internet. The image's name here leads nowhere, at once.
pub(crate) fn give_image(lab: &mut Lab, node: &Node) -> Verdict {
    lab.load_container_image(node)?;
    node.run(&format!("docker tag {} localhost:1/web:1", lab.container_image())).map(drop)
}

/// Every node has the image, and runs it.
pub(crate) fn starts_the_service(lab: &mut Lab, workers: &[Node]) -> Verdict {
    let master = lab.master();
    for node in [&master, &workers[0], &workers[1]] {
        give_image(lab, node)?;
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
    lab.provision().with(THREE).autolocks().finds_nothing_to_do()
}
