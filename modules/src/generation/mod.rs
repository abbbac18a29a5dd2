//! What workers run: a clone of the master's own system, published as one folder.

use feeder_plan::{Directory, Step, Task};
use minijinja::context;

use crate::{Part, Site, template::render};

pub(crate) const NAME: &str = "generation";

/// The first process of a worker, as the kernel command line names it.
pub(crate) const INIT: &str = "/usr/lib/feeder/worker-init";
pub(crate) const KERNEL: &str = "kernel8.img";
pub(crate) const INITRAMFS: &str = "initramfs8";

/// Units that have no place on a worker: the master's services, first-boot work, swap, timers with which all workers would
/// load the master's one disk at the same moment, and whatever manages networks: a worker's address is set by the kernel and
/// carries its root, and its name servers are written down.
const MASKED: &[&str] = &[
    "NetworkManager.service",
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dhcpcd.service",
    "dnsmasq.service",
    crate::registry::UNIT,
    "dphys-swapfile.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    crate::registry::CACHE_UNIT,
    "fsidd.service",
    "fstrim.timer",
    "man-db.timer",
    "networking.service",
    "nfs-blkmap.service",
    "nfs-server.service",
    "nfsdcld.service",
    "regenerate_ssh_host_keys.service",
    "resize2fs_once.service",
    "rpc-statd-notify.service",
    "rpcbind.service",
    "rpcbind.socket",
    "rpi-resize.service",
    "rpi-setup-loop@.service",
    "sshd-keygen.service",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-resolved.service",
    "userconfig.service",
];

fn clone_script(site: &Site<'_>) -> String {
    let dns: Vec<String> = site.cluster.network.dns.iter().map(ToString::to_string).collect();
    let values = context! {
        base => site.layout.generations().into_string(),
        number => site.layout.generation_number(),
        kernel => KERNEL,
        initramfs => (!site.survey.nfs_root_built_in).then_some(INITRAMFS),
        init => INIT,
        worker_init => include_str!("worker-init.sh"),
        masked => MASKED.to_vec(),
        dns,
    };
    render(include_str!("clone.sh.j2"), &values)
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let number = site.layout.generation_number();
    let generation = site.layout.generation();
    // A generation never changes once it is published, also when the master's own kernel moves on.
    let probe =
        format!("if [ -f {generation}/kernel-release ]; then echo complete; else echo absent; fi");
    let task = Task::new(
        format!("generation-{number}"),
        format!(
            "generation {number}: a clone of this system ({}, kernel {})",
            site.survey.system, site.survey.kernel
        ),
    )
    .probe(probe)
    .wanted("complete")
    .apply(clone_script(site));
    let step = Step::new(NAME)
        .title("what workers run")
        .with(Directory::new(site.layout.generations()))
        .with(task);
    Part { packages: vec!["nfs-common"], steps: vec![step], ..Part::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::tests::with_site;

    #[test]
    fn clone_of_a_debian_system() {
        with_site(|site| insta::assert_snapshot!("clone", clone_script(site)));
    }

    #[test]
    fn a_kernel_with_nfs_root_built_in_takes_no_initramfs() {
        with_site(|site| {
            let survey = crate::Survey { nfs_root_built_in: true, ..site.survey.clone() };
            let text = clone_script(&Site { survey: &survey, ..*site });
            assert!(!text.contains("nfsv3"), "{text}");
        });
    }

    #[test]
    fn scripts_are_valid_shell() {
        with_site(|site| {
            crate::part::tests::shell_accepts(&clone_script(site));
            crate::part::tests::shell_accepts(include_str!("worker-init.sh"));
        });
    }
}
