//! Runs that went wrong in known ways, and whether the explanation names the right thing. Each is made of a run that passed:
//! what goes wrong, what follows from it, and the chance that makes two runs differ.

use super::{testing::*, *};
use crate::{Class, Dhcp, PowerEnd, UnitState};

/// A way in which a run goes wrong.
struct Fault {
    name: &'static str,
    plant: fn(&mut Log),
    /// The machine that must be named, and words that the line must have.
    names: (&'static str, &'static str),
}

const NETBOOTS: &str = "the worker netboots";
const POWER_CUT: &str = "what it writes survives a power cut";
const PROVISION: &str = "provision the master from nothing";

fn no_login(log: &mut Log, step: &str, node: &str) {
    log.push(node, wait_in_vain("an SSH login"));
    log.fail(
        step,
        Failure::product(format!(
            "waited for an SSH login on {node} in step 4, \"{step}\": it did not come within 240 s of vCPU time"
        ))
        .on(node),
    );
}

fn no_boot(log: &mut Log, why: &str) {
    log.push("cluster01", Event::Firmware(Firmware::GaveUp { why: why.into() }));
    log.push("cluster01", power_cut(Some("cluster01 does not boot")));
    log.fail(NETBOOTS, Failure::product(format!("cluster01 does not boot: {why}")).on("cluster01"));
}

fn without_offer_of_the_master(log: &mut Log) {
    log.cut_before(NETBOOTS, "cluster00 sent bootcode.bin");
    log.remove(NETBOOTS, "cluster00 → cluster01   OFFER");
    log.remove(NETBOOTS, "hears the OFFER of 192.168.10.100");
    for attempt in 2..=5 {
        log.push("cluster01", Event::Firmware(Firmware::Discover { attempt }));
    }
    no_boot(log, "no OFFER carried option 43");
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "dnsmasq is silent",
        plant: without_offer_of_the_master,
        names: ("cluster01", "cluster00 → cluster01   OFFER"),
    },
    Fault {
        name: "dnsmasq failed when it was started",
        plant: |log| {
            log.cut_before(PROVISION, "unit dnsmasq.service");
            log.push(
                "cluster00",
                provisioned("boot-server", "unit dnsmasq.service", "restart: failed"),
            );
            log.fail(
                PROVISION,
                Failure::product("provisioning failed: unit dnsmasq.service").on("cluster00"),
            );
        },
        names: ("cluster00", "unit dnsmasq.service: restart: failed"),
    },
    Fault {
        name: "option 43 without its blanks",
        plant: |log| {
            log.replace(NETBOOTS, "cluster00 → cluster01   OFFER", |event| {
                *event = offer("cluster00", "cluster01", Some("Raspberry Pi Boot"));
            });
            log.replace(NETBOOTS, "hears the OFFER of 192.168.10.100", |event| {
                *event = heard(
                    "192.168.10.100",
                    Some("52 61 73"),
                    false,
                    "option 43 has no \"Raspberry Pi Boot   \"",
                );
            });
            log.cut_before(NETBOOTS, "cluster00 sent bootcode.bin");
            no_boot(log, "no OFFER carried option 43");
        },
        names: ("cluster01", "\"Raspberry Pi Boot\""),
    },
    Fault {
        name: "an OFFER without option 43",
        plant: |log| {
            log.replace(NETBOOTS, "cluster00 → cluster01   OFFER", |event| {
                *event = offer("cluster00", "cluster01", None);
            });
            log.replace(NETBOOTS, "hears the OFFER of 192.168.10.100", |event| {
                *event = heard("192.168.10.100", None, false, "no option 43");
            });
            log.cut_before(NETBOOTS, "cluster00 sent bootcode.bin");
            no_boot(log, "no OFFER carried option 43");
        },
        names: ("cluster01", "cluster00 → cluster01   OFFER   without option 43"),
    },
    Fault {
        name: "a second DHCP server",
        plant: |log| {
            log.insert_before(
                NETBOOTS,
                "cluster00 → cluster01   OFFER",
                "cluster01",
                offer("rogue", "cluster01", None),
            );
            log.cut_before(NETBOOTS, "milestone kernel");
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "rogue → cluster01   OFFER"),
    },
    Fault {
        name: "no lease from the router",
        plant: |log| {
            log.remove("power on a bare master", "router → cluster00");
            log.cut_before("power on a bare master", "milestone address");
            log.push("cluster00", wait_in_vain("an address from the router"));
            log.fail(
                "power on a bare master",
                Failure::product(
                    "waited for an address from the router on cluster00: it did not come",
                )
                .on("cluster00"),
            );
        },
        names: ("cluster00", "router → cluster00   OFFER"),
    },
    Fault {
        name: "the router refuses a lease",
        plant: |log| {
            log.replace(NETBOOTS, "router → cluster01   ACK", |event| {
                *event = dhcp(Dhcp::Nak, "router", "cluster01")
            });
            log.cut_before(NETBOOTS, "lets it mount /srv/feeder/generations");
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "NAK"),
    },
    Fault {
        name: "a file is missing",
        plant: |log| {
            let file = "9f404536/start.elf";
            log.cut_before(NETBOOTS, "fetched 9f404536/start.elf");
            log.push(
                "cluster01",
                tftp_error(file, 1, "file /srv/feeder/tftp/9f404536/start.elf not found"),
            );
            log.push("cluster01", Event::Firmware(Firmware::Missing { file: file.into() }));
            no_boot(log, "start.elf is missing");
        },
        names: ("cluster01", "9f404536/start.elf"),
    },
    Fault {
        name: "TFTP may not read a file",
        plant: |log| {
            log.cut_before(NETBOOTS, "fetched 9f404536/kernel8.img");
            log.push(
                "cluster01",
                tftp_error("9f404536/kernel8.img", 0, "cannot access: Permission denied"),
            );
            no_boot(log, "kernel8.img did not come");
        },
        names: ("cluster01", "cluster00 refused 9f404536/kernel8.img"),
    },
    Fault {
        name: "TFTP falls silent in a file",
        plant: |log| {
            log.cut_before(NETBOOTS, "cluster00 sent 9f404536/kernel8.img");
            for times in [1, 2, 4] {
                let file = "9f404536/kernel8.img".into();
                log.push(
                    "cluster01",
                    Event::Wire(crate::Wire::TftpUnanswered {
                        file,
                        server: "cluster00".into(),
                        times,
                    }),
                );
            }
            no_boot(log, "kernel8.img: the server fell silent");
        },
        names: ("cluster01", "9f404536/kernel8.img"),
    },
    Fault {
        name: "a kernel of other bytes",
        plant: |log| {
            log.replace(NETBOOTS, "cluster00 sent 9f404536/kernel8.img", |event| {
                *event = sent("9f404536/kernel8.img", 9_000_000)
            });
            log.replace(NETBOOTS, "fetched 9f404536/kernel8.img", |event| {
                *event = fetched("9f404536/kernel8.img", 9_000_000)
            });
            log.cut_before(NETBOOTS, "milestone kernel");
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "9f404536/kernel8.img, 9000000 bytes"),
    },
    Fault {
        name: "a kernel of as many other bytes",
        plant: |log| {
            log.cut_before(NETBOOTS, "milestone kernel");
            log.fail(NETBOOTS, Failure::product("cluster01 fetched kernel8.img with SHA-256 aa…, but generation 1 holds it with bb…").on("cluster01"));
        },
        names: ("cluster01", "fetched kernel8.img with SHA-256"),
    },
    Fault {
        name: "a command line of another worker",
        plant: |log| {
            log.replace(NETBOOTS, "starts 9f404536/kernel8.img", |event| {
                *event = starts("9f404536/kernel8.img", "feeder.node=cluster02")
            });
            log.cut_before(NETBOOTS, "cluster00 lets it mount /srv/feeder/state");
            log.push("cluster01", mount("/srv/feeder/state/cluster02", "permission denied"));
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "feeder.node=cluster02"),
    },
    Fault {
        name: "the generation is not exported",
        plant: |log| {
            log.replace(NETBOOTS, "lets it mount /srv/feeder/generations", |event| {
                *event = mount("/srv/feeder/generations/1/root", "permission denied")
            });
            log.cut_before(NETBOOTS, "took its NFS connection");
            log.push("cluster01", Event::DeadEnd { words: "may not mount its root: the server has no export for it (nfsmount: server replied: Permission denied)".into() });
            log.fail(
                NETBOOTS,
                Failure::product(
                    "waited for an SSH login on cluster01: cluster01 may not mount its root",
                )
                .on("cluster01"),
            );
        },
        names: ("cluster01", "refused to let it mount /srv/feeder/generations/1/root"),
    },
    Fault {
        name: "the state is not exported",
        plant: |log| {
            log.replace(NETBOOTS, "lets it mount /srv/feeder/state", |event| {
                *event = mount("/srv/feeder/state/cluster01", "permission denied")
            });
            log.cut_before(NETBOOTS, "root is an overlay");
            for _ in 0..3 {
                log.push("cluster01", worker_init("cluster01: cannot mount its state: access denied by server; trying again in 5 s"));
            }
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "refused to let it mount /srv/feeder/state/cluster01"),
    },
    Fault {
        name: "no mountd on the master",
        plant: |log| {
            log.cut_before(NETBOOTS, "lets it mount /srv/feeder/generations");
            log.push(
                "cluster01",
                Event::Wire(crate::Wire::Unregistered {
                    program: "mountd".into(),
                    server: "cluster00".into(),
                    times: 1,
                }),
            );
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "cluster00 runs no mountd"),
    },
    Fault {
        name: "no NFS server on the master",
        plant: |log| {
            log.replace(NETBOOTS, "took its NFS connection", |event| {
                *event = nfs(crate::Answer::Refused)
            });
            log.cut_before(NETBOOTS, "lets it mount /srv/feeder/state");
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "cluster00 refused its NFS connection"),
    },
    Fault {
        name: "a first process that is not executable",
        plant: |log| {
            log.cut_before(NETBOOTS, "lets it mount /srv/feeder/state");
            log.push(
                "cluster01",
                milestone("run-init", Some("/usr/lib/feeder/worker-init: Permission denied")),
            );
            // The initramfs finds another, which brings up a system without a state.
            log.push("cluster01", milestone("systemd", None));
            no_login(log, NETBOOTS, "cluster01");
        },
        names: (
            "cluster01",
            "cannot start its first process: /usr/lib/feeder/worker-init: Permission denied",
        ),
    },
    Fault {
        name: "a state image that cannot be repaired",
        plant: |log| {
            log.cut_before(NETBOOTS, "root is an overlay");
            log.push("cluster01", worker_init("cluster01: cannot repair its state image: Bad magic number in super-block; trying again in 5 s"));
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "cannot repair its state image"),
    },
    Fault {
        name: "a unit failed on the worker",
        plant: |log| {
            log.replace(NETBOOTS, "ssh.service started", |event| {
                *event = unit("ssh.service", UnitState::Failed)
            });
            log.remove(NETBOOTS, "cluster01: ssh answers");
            log.cut_after(NETBOOTS, "multi-user.target started");
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "ssh.service failed"),
    },
    Fault {
        name: "a unit failed on the master, and one hangs on it",
        plant: |log| {
            log.replace("power on a bare master", "systemd-networkd.service started", |event| {
                *event = unit("systemd-networkd.service", UnitState::Failed);
            });
            log.replace("power on a bare master", "network-online.target started", |event| {
                *event = unit("network-online.target", UnitState::Dependency);
            });
            log.cut_before("power on a bare master", "milestone address");
            no_login(log, "power on a bare master", "cluster00");
        },
        names: ("cluster00", "systemd-networkd.service failed"),
    },
    Fault {
        name: "the kernel panics",
        plant: |log| {
            log.cut_before(NETBOOTS, "milestone systemd");
            log.push(
                "cluster01",
                Event::DeadEnd {
                    words:
                        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100"
                            .into(),
                },
            );
            log.fail(
                NETBOOTS,
                Failure::product("waited for an SSH login on cluster01: cluster01 panicked")
                    .on("cluster01"),
            );
        },
        names: ("cluster01", "Kernel panic"),
    },
    Fault {
        name: "a resource is not provisioned",
        plant: |log| {
            log.remove(PROVISION, "file /etc/exports.d/feeder.exports");
            log.replace(NETBOOTS, "lets it mount /srv/feeder/generations", |event| {
                *event = mount("/srv/feeder/generations/1/root", "permission denied")
            });
            log.cut_before(NETBOOTS, "took its NFS connection");
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster00", "file /etc/exports.d/feeder.exports"),
    },
    Fault {
        name: "provisioning is not done when it is done",
        plant: |log| {
            log.insert_before(
                "provision again",
                "",
                "cluster00",
                provisioned("network", "file /etc/hosts", "written: done"),
            );
            log.cut_after("provision again", "file /etc/hosts");
            log.fail(
                "provision again",
                Failure::product(
                    "provision should have nothing to do on cluster00 but changed 1 resource",
                )
                .on("cluster00"),
            );
        },
        names: ("cluster00", "file /etc/hosts"),
    },
    Fault {
        name: "the worker shows another host key",
        plant: |log| {
            log.remove(NETBOOTS, "cluster01: ssh answers");
            log.cut_after(NETBOOTS, "multi-user.target started");
            log.fail(
                NETBOOTS,
                Failure::product(
                    "cannot log in: the host key of cluster01 is not the one that is known",
                )
                .on("cluster01"),
            );
        },
        names: ("cluster01", "host key"),
    },
    Fault {
        name: "power is cut in the middle of a boot",
        plant: |log| {
            log.cut_before(NETBOOTS, "root is an overlay");
            log.push("cluster01", power_cut(None));
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster01", "power cut"),
    },
    Fault {
        name: "the emulator died",
        plant: |log| {
            log.cut_before(NETBOOTS, "lets it mount /srv/feeder/state");
            log.push(
                "cluster00",
                Event::PowerOff { end: PowerEnd::Died, why: Some("SIGSEGV".into()) },
            );
            no_login(log, NETBOOTS, "cluster01");
        },
        names: ("cluster00", "its process died: SIGSEGV"),
    },
    Fault {
        name: "the worker hangs after systemd began",
        plant: |log| {
            log.cut_before(POWER_CUT, "ssh.service started");
            no_login(log, POWER_CUT, "cluster01");
        },
        names: ("cluster01", "ssh"),
    },
    Fault {
        name: "what was written is gone",
        plant: |log| {
            log.cut_after(POWER_CUT, "multi-user.target started");
            log.push("cluster01", Event::Ready { name: "ssh".into() });
            log.fail(
                POWER_CUT,
                Failure::product(
                    "cluster01: /home/pi/note should read \"still here\" but there is no such file",
                )
                .on("cluster01"),
            );
        },
        names: ("cluster01", "/home/pi/note"),
    },
    Fault {
        name: "this machine's disk is full",
        plant: |log| {
            log.cut_before(NETBOOTS, "milestone kernel");
            log.fail(NETBOOTS, Failure::new(Class::Host, "cannot hand over what the firmware loaded: No space left on device (os error 28)").on("cluster01"));
        },
        names: ("cluster01", "No space left on device"),
    },
];

#[test]
fn the_first_line_names_the_fault() {
    let green = green().records(1);
    let mut right = 0;
    let mut table = String::new();
    for (seed, Fault { name, plant, names: (node, words) }) in (7u64..).zip(FAULTS) {
        let mut log = super::testing::green();
        plant(&mut log);
        let difference = first_difference(&log.records(seed), &[&green]);
        let named = difference.as_ref().is_some_and(|difference| {
            let line = difference.now.as_deref().or(difference.then.as_deref()).unwrap_or_default();
            difference.node.as_deref() == Some(*node) && line.contains(words)
        });
        right += usize::from(named);
        let said = difference.map_or_else(
            || "(none)".to_owned(),
            |difference| {
                format!(
                    "{} {}\n{difference}",
                    difference.node.as_deref().unwrap_or("-"),
                    difference.kind.name()
                )
            },
        );
        let mark = if named { "right" } else { "WRONG" };
        table.push_str(&format!("{mark}  {name}: {}\n", said.replace('\n', "\n         ")));
    }
    table.push_str(&format!("{right} of {} are right", FAULTS.len()));
    insta::assert_snapshot!("faults", table);
    assert!(FAULTS.len() >= 20 && right * 20 >= FAULTS.len() * 16, "{table}");
}
