//! What can be broken under `netboot`: each alone makes it fail, and its explanation should name it.

use std::{collections::BTreeMap, net::Ipv4Addr};

use feeder_scenario::{
    Class, Event, Failure, Fault, Firmware, Lab, Mishap, Mutation, Named, Probability,
    RogueDhcpConfig, Traffic, Verdict, When,
};

use crate::netboot::FIRST;

const PROVISION: &str = "provision the master from nothing";
const AGAIN: &str = "provision again";
const NETBOOTS: &str = "the worker netboots";
const POWER_CUT: &str = "what it writes survives a power cut";
const CONFINED: &str = "it may not write to its generation nor mount another's state";
const THIRD_TIME: &str = "provision a third time";
const MASTER: &str = "cluster00";
const WORKER: &str = "cluster01";
/// The master's offer, on the wire or as the firmware hears it.
const OFFER: &[&str] = &["cluster00 → cluster01   OFFER", "hears the OFFER of 192.168.10.100"];
/// How the second DHCP server is called on the LAN.
const INTRUDER: &str = "intruder";

const fn broken(
    name: &'static str,
    before: &'static str,
    plant: fn(&mut Lab) -> Verdict,
    (node, words): (&'static str, &'static [&'static str]),
) -> Mutation<Lab> {
    let class = Class::Product;
    Mutation { name, before, plant, names: Named { class, node, words } }
}

/// All of them, those of the master's own first, then along a worker's boot.
pub static NETBOOT: &[Mutation<Lab>] = &[
    broken(
        "package sources that name an unknown host",
        PROVISION,
        |lab| on_master(lab, "sed -i s/mirror[.]/absent./ /etc/apt/sources.list.d/*"),
        (MASTER, &["packages"]),
    ),
    broken(
        "a file where the master's folder should be",
        PROVISION,
        |lab| on_master(lab, "mkdir -p /srv && touch /srv/feeder"),
        (MASTER, &["/srv/feeder"]),
    ),
    broken(
        "a line of somebody's own in /etc/hosts",
        AGAIN,
        |lab| on_master(lab, "echo 10.9.8.7 somebody >> /etc/hosts"),
        (MASTER, &["/etc/hosts"]),
    ),
    broken(
        "an NFS server that is switched off",
        AGAIN,
        |lab| on_master(lab, "systemctl disable --now nfs-server"),
        (MASTER, &["nfs-server"]),
    ),
    broken(
        "dnsmasq does not run",
        NETBOOTS,
        |lab| on_master(lab, "systemctl stop dnsmasq"),
        (WORKER, OFFER),
    ),
    broken(
        "another text in option 43",
        NETBOOTS,
        |lab| dnsmasq(lab, "s/Raspberry Pi Boot/Raspberry Pi Foot/"),
        (WORKER, &["Raspberry Pi Foot"]),
    ),
    broken(
        "no boot menu in the offer",
        NETBOOTS,
        |lab| dnsmasq(lab, "/^pxe-service/d"),
        (WORKER, OFFER),
    ),
    broken(
        "the worker's MAC address is mistyped",
        NETBOOTS,
        |lab| dnsmasq(lab, "s/b8:27:eb:40:45:36/b8:27:eb:40:45:63/"),
        (WORKER, OFFER),
    ),
    broken(
        "a second boot server",
        NETBOOTS,
        |lab| lab.now(Mishap::DhcpServer(INTRUDER.to_owned(), intruder(lab))),
        (WORKER, &[INTRUDER, "the OFFER of 192.168.10.240"]),
    ),
    broken(
        "TFTP is not served",
        NETBOOTS,
        |lab| dnsmasq(lab, "/^enable-tftp/d"),
        (WORKER, &["bootcode.bin"]),
    ),
    broken(
        "no start file in the boot tree",
        NETBOOTS,
        |lab| on_master(lab, "rm TREE/start*.elf"),
        (WORKER, &["start"]),
    ),
    broken(
        "a kernel that TFTP may not read",
        NETBOOTS,
        |lab| own_copy(lab, "kernel8.img", "chmod 0600 kernel8.img"),
        (WORKER, &["kernel8.img"]),
    ),
    broken(
        "half a kernel",
        NETBOOTS,
        |lab| own_copy(lab, "kernel8.img", "truncate -s 3000000 kernel8.img"),
        (WORKER, &["kernel8.img"]),
    ),
    broken(
        "a kernel of as many other bytes",
        NETBOOTS,
        |lab| {
            let damage =
                "printf damaged | dd of=kernel8.img bs=1 seek=5000000 conv=notrunc status=none";
            own_copy(lab, "kernel8.img", damage)
        },
        (WORKER, &["kernel8.img with SHA-256"]),
    ),
    broken(
        "TFTP falls silent in the kernel",
        NETBOOTS,
        |lab| {
            let silent = Fault::loss(MASTER, Probability::ALWAYS).only(Traffic::Tftp);
            lab.at(asks_for("kernel8.img"), Mishap::Fault(silent));
            Ok(())
        },
        (WORKER, &["kernel8.img"]),
    ),
    broken(
        "the master loses power while it sends the kernel",
        NETBOOTS,
        |lab| {
            let master = lab.master();
            lab.at(asks_for("kernel8.img"), Mishap::PowerCut(master));
            Ok(())
        },
        (MASTER, &["power cut"]),
    ),
    broken(
        "no initramfs",
        NETBOOTS,
        |lab| on_master(lab, "sed -i /^initramfs/d TREE/config.txt"),
        (WORKER, &["config.txt", "initramfs"]),
    ),
    broken(
        "the command line of another worker",
        NETBOOTS,
        |lab| on_master(lab, "sed -i s/cluster01/cluster02/g TREE/cmdline.txt"),
        (WORKER, &["feeder.node=cluster02"]),
    ),
    broken(
        "a root that there is not",
        NETBOOTS,
        |lab| on_master(lab, "sed -i s,generations/1/,generations/9/, TREE/cmdline.txt"),
        (WORKER, &["generations/9/"]),
    ),
    broken(
        "a cable that is pulled as the kernel starts",
        NETBOOTS,
        |lab| {
            lab.at(When::comes_to(WORKER, "kernel"), Mishap::Fault(Fault::cut(WORKER)));
            Ok(())
        },
        (WORKER, &["/srv/feeder/generations/1/root", "NFS"]),
    ),
    broken(
        "no export of the generation",
        NETBOOTS,
        |lab| exports(lab, "s/ ADDRESS([^)]*)//"),
        (WORKER, &["/srv/feeder/generations/1/root"]),
    ),
    broken(
        "no export of its state",
        NETBOOTS,
        |lab| exports(lab, "/state.cluster01/d"),
        (WORKER, &["/srv/feeder/state/cluster01"]),
    ),
    broken(
        "no mount daemon",
        NETBOOTS,
        // By systemctl, the NFS server would go with it.
        |lab| on_master(lab, "pkill -x rpc.mountd"),
        (WORKER, &["mountd"]),
    ),
    broken(
        "no NFS server behind the mount daemon",
        NETBOOTS,
        |lab| on_master(lab, "rpc.nfsd 0"),
        (WORKER, &["NFS connection", "runs no nfs"]),
    ),
    broken(
        "a first process that is not executable",
        NETBOOTS,
        |lab| on_master(lab, "chmod a-x ROOT/usr/lib/feeder/worker-init"),
        (WORKER, &["worker-init"]),
    ),
    broken(
        "a state image that cannot be repaired",
        NETBOOTS,
        |lab| on_master(lab, "dd if=/dev/zero of=STATE/state.img bs=1M count=300 conv=notrunc"),
        (WORKER, &["cannot repair its state image"]),
    ),
    broken(
        "another name in its identity",
        NETBOOTS,
        |lab| on_master(lab, "echo cluster09 > STATE/identity/etc/hostname"),
        (WORKER, &["cluster09"]),
    ),
    broken(
        "another host key in its identity",
        NETBOOTS,
        |lab| {
            let key = "STATE/identity/etc/ssh/ssh_host_ed25519_key";
            on_master(lab, &format!("rm {key} && ssh-keygen -q -t ed25519 -N '' -f {key}"))
        },
        (WORKER, &["host key"]),
    ),
    broken(
        "the user's key is not accepted",
        NETBOOTS,
        |lab| on_master(lab, "rm ROOT/home/*/.ssh/authorized_keys"),
        (WORKER, &["key", "refuses"]),
    ),
    broken(
        "an SSH server that is masked",
        NETBOOTS,
        |lab| {
            on_master(
                lab,
                "for unit in ssh.service ssh.socket; do ln -sf /dev/null ROOT/etc/systemd/system/$unit; done",
            )
        },
        (WORKER, &["ssh.service"]),
    ),
    Mutation {
        name: "the worker's emulator dies as its system starts",
        before: NETBOOTS,
        plant: |lab| {
            let worker = lab.node(WORKER)?;
            lab.at(When::comes_to(WORKER, "systemd"), Mishap::Crash(worker));
            Ok(())
        },
        names: Named {
            class: Class::Harness,
            node: WORKER,
            words: &["QEMU ended (killed by SIGKILL)"],
        },
    },
    broken(
        "a home that is kept in memory",
        POWER_CUT,
        |lab| on_worker(lab, "mount -t tmpfs -o mode=0777 tmpfs /home/pi"),
        (WORKER, &["still here", "/home/pi/note"]),
    ),
    broken(
        "a generation that workers may write to",
        CONFINED,
        |lab| exports(lab, "s/(ro,/(rw,/"),
        (WORKER, &["can write to its generation"]),
    ),
    broken(
        "exports that others may not read",
        THIRD_TIME,
        |lab| on_master(lab, "chmod 0600 /etc/exports.d/feeder.exports"),
        (MASTER, &["feeder.exports"]),
    ),
];

/// Runs a script on the master. `TREE` stands for the first worker's boot tree, `STATE` for the folder of its state, `ADDRESS`
/// for its address, `ROOT` for the root of the generation.
pub(crate) fn on_master(lab: &mut Lab, script: &str) -> Verdict {
    let Some(worker) = lab.cluster().worker(WORKER) else {
        return Err(Failure::scenario(format!("the cluster has no {WORKER}")));
    };
    let layout = lab.layout();
    let script = script
        .replace("TREE", layout.boot_tree(worker).as_str())
        .replace("STATE", layout.state(worker).as_str())
        .replace("ADDRESS", &worker.address.to_string())
        .replace("ROOT", layout.generation_root(FIRST).as_str());
    lab.master().run(&script).map(drop)
}

fn on_worker(lab: &mut Lab, script: &str) -> Verdict {
    lab.node(WORKER)?.run(script).map(drop)
}

/// Edits the configuration of dnsmasq.
fn dnsmasq(lab: &mut Lab, edit: &str) -> Verdict {
    let script = format!("sed -i '{edit}' /etc/dnsmasq.d/feeder.conf && systemctl restart dnsmasq");
    on_master(lab, &script)
}

/// Edits the exports.
fn exports(lab: &mut Lab, edit: &str) -> Verdict {
    on_master(lab, &format!("sed -i '{edit}' /etc/exports.d/feeder.exports && exportfs -ra"))
}

/// Gives the worker's boot tree a copy of its own of a file, and changes that.
fn own_copy(lab: &mut Lab, file: &str, change: &str) -> Verdict {
    on_master(lab, &format!("cd TREE && cp -L {file} own && mv own {file} && {change}"))
}

/// The worker's firmware asks for a file of its tree.
fn asks_for(file: &'static str) -> When {
    When::Event(Box::new(move |record| {
        record.node.as_deref() == Some(WORKER)
            && matches!(&record.event, Event::Firmware(Firmware::Requested { file: asked }) if asked.ends_with(file))
    }))
}

/// A board that poses as boot server for all, and serves nothing.
fn intruder(lab: &Lab) -> RogueDhcpConfig {
    let network = &lab.cluster().network;
    let host = |last: u32| Ipv4Addr::from_bits(network.subnet.network().to_bits() + last);
    // As dnsmasq sends it: discovery control, and a menu with one entry.
    let text = b"Raspberry Pi Boot   ";
    let menu = [&[0_u8, 0, 0][..], &[text.len() as u8], text].concat();
    let option43 =
        [&[6, 1, 3, 10, 4, 0, b'P', b'X', b'E', 9, menu.len() as u8][..], &menu].concat();
    RogueDhcpConfig {
        mac: [0x02, 0, 0, 0, 0, 0x66],
        address: host(240),
        subnet: network.subnet,
        pool: host(241)..=host(250),
        next_server: Some(host(240)),
        options: BTreeMap::from([(43, option43), (60, b"PXEClient".to_vec())]),
    }
}
