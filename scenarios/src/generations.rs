//! Workers move to another system and back, one first, and nothing that is in use goes away.

use feeder_scenario::{Lab, Scenario, Steps, Verdict};

use crate::netboot::{FIRST, netboots};

/// In the table of scenarios.
pub const GENERATIONS: Scenario<Lab> = Scenario {
    name: "generations",
    about: "workers move to another system and back, one first, and nothing in use goes away",
    run: generations,
};

const SECOND: u32 = 2;
const THIRD: u32 = 3;

/// A third generation like the second one, but for a unit that fails.
const FAILING: &str = "set -e
cd /srv/feeder/generations
cp -a 2 .3.partial
cat >.3.partial/root/etc/systemd/system/broken.service <<'UNIT'
[Service]
Type=oneshot
ExecStart=/bin/false
[Install]
WantedBy=multi-user.target
UNIT
ln -s ../broken.service .3.partial/root/etc/systemd/system/multi-user.target.wants/
mv .3.partial 3";
/// Behind the sample's last worker: what all nodes are to have in common from then on.
pub(crate) const COMMON: &str = "[system]
packages = [\"less\"]
time-zone = \"Europe/Berlin\"
locale = \"C.UTF-8\"
journal = \"persistent\"
groups = [\"video\", \"lab\"]
authorized-keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlOVLmDiCJHTEhTFkUUlMYQPQ9FQwQyDn0VI0zVdVvL second\"]
password = \"cmd:echo '$6$feederlab$kjxfCCQZ5QnY6KzxS6UlReQqqifSCjEoZsOxsxntErrxCJe8thxdN4aJmuOEoLVlEZs0Lo/OdBEw2vAj2hiRE0'\"
password-login = false
[share]
";
/// The same on every node.
const HAVE: &str = "cat /etc/timezone; readlink /etc/localtime; cat /etc/locale.conf
id -nG pi | tr ' ' '\\n' | grep -c -x -e video -e lab
grep -c second /home/pi/.ssh/authorized_keys
getent shadow pi | cut -d : -f 2 | cut -c 1-13
sshd -T | grep -x 'passwordauthentication .*'
systemctl show -p ActiveState --value systemd-journald.service
ls -d /var/log/journal/*/ | wc -l";
const HAD: &str = "Europe/Berlin\n/usr/share/zoneinfo/Europe/Berlin\nLANG=C.UTF-8\n2\n1\n$6$feederlab$\npasswordauthentication no\nactive\n1";
const ACTIVE: &str = "tail -n 1 /srv/feeder/generations/active";

fn generations(lab: &mut Lab) -> Verdict {
    lab.step("power on a bare master", |lab| lab.power_on_bare_master().map(drop))?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    let worker = lab.node("cluster01")?;
    lab.step("a worker netboots", |lab| {
        netboots(lab, &worker)?;
        worker.runs_from_generation(FIRST)
    })?;
    lab.step("the master sees how far the worker is", |lab| {
        lab.watch_says_it_is_up(&worker, FIRST)?;
        lab.discover_says_what_it_lacks()
    })?;
    lab.step("a second run is kept out", |lab| lab.generations().are_changed_by_one_at_a_time())?;
    lab.step("a second generation is made, and nobody moves", |lab| {
        lab.generations().create(SECOND)?;
        lab.master().says(ACTIVE, "1")?;
        worker.runs_from_generation(FIRST)
    })?;
    lab.step("provision has nothing against it", |lab| lab.provision().finds_nothing_to_do())?;
    lab.step("a canary moves to it", |lab| {
        lab.generations().move_canary(&worker, SECOND)?;
        lab.master().says(ACTIVE, "2")
    })?;
    lab.step("from one that fails, the canary goes back", |lab| {
        lab.master().run(FAILING)?;
        lab.generations().take_canary_back(&worker, THIRD, SECOND, "broken.service failed")?;
        lab.master().says(ACTIVE, "2")
    })?;
    lab.step("a rollback leaves alone what runs", |lab| {
        lab.generations().roll_back_to(FIRST)?;
        worker.runs_from_generation(SECOND)
    })?;
    lab.step("what is in use stays, what is not goes", |lab| {
        lab.generations().keep(SECOND, "run from it: cluster01")?;
        lab.generations().keep(FIRST, "it is the active one")?;
        lab.generations().remove(THIRD)?;
        worker.runs_from_generation(SECOND)
    })?;
    lab.step("after a power cut the worker is back on the first", |lab| {
        worker.cut_power()?.power_on()?.until_ssh()?;
        worker.fetched_generation(lab, FIRST)?;
        worker.runs_from_generation(FIRST)
    })?;
    lab.step("provision again", |lab| lab.provision().finds_nothing_to_do())?;
    lab.step("what all nodes have in common makes a new generation", |lab| {
        lab.provision().with(COMMON).applies_changes()?;
        lab.master().says(ACTIVE, "3")?;
        lab.master().says(HAVE, HAD)?;
        worker.runs_from_generation(FIRST)
    })?;
    lab.step("which a worker has after its next start, and the folder that all share", |lab| {
        worker.cut_power()?.power_on()?.until_ssh()?;
        worker.runs_from_generation(THIRD)?;
        worker.says(HAVE, HAD)?;
        worker
            .run("set -e; cd /srv/share; sudo -u pi sh -c 'umask 002; echo from a worker >note'")?;
        lab.master().says("cat /srv/share/note; stat -c %U /srv/share/note", "from a worker\npi")
    })?;
    lab.step("provision finds nothing to do then", |lab| {
        lab.provision().with(COMMON).finds_nothing_to_do()
    })
}
