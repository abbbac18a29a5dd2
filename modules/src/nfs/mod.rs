//! What workers mount, and nothing more.

use std::collections::BTreeSet;

use feeder_cluster::{Root, Worker};
use feeder_plan::{Directory, File, Notify, Step, Unit};
use minijinja::context;

use crate::{Part, Site, template::render, workers};

pub(crate) const NAME: &str = "nfs";

const EXPORTS: &str = "/etc/exports.d/feeder.exports";
const CONFIG: &str = "/etc/nfs.conf.d/feeder.conf";
const SERVER: &str = "nfs-server.service";
const SERVER_CONFIG: &str = "/etc/systemd/system/nfs-server.service.d/feeder.conf";
/// Options of the kernel's lock daemon. modprobe.d(5)
const LOCKD: &str = "/etc/modprobe.d/feeder-lockd.conf";
/// One port for it, in place of another one after every start, and below those that the kernel gives away by itself. Nobody needs
/// it, and nfsd cannot do without.
const LOCKD_OPTIONS: &str = "options lockd nlm_tcpport=4045 nlm_udpport=4045\n";
/// The same for one that was loaded when the server was installed.
const LOCKD_NOW: &str = "[ ! -e /proc/sys/fs/nfs/nlm_tcpport ] || \
                         sysctl -qw fs.nfs.nlm_tcpport=4045 fs.nfs.nlm_udpport=4045";
/// The daemon that helps it after a restart, on ports of its own: workers lock nothing over NFS 3.
const STATD: &str = "rpc-statd.service";

/// The lines of exports(5).
fn exports(site: &Site<'_>) -> String {
    let workers: Vec<_> = site
        .cluster
        .workers
        .iter()
        .map(|worker| {
            let copies = copies(site, worker);
            context! { copies, state => site.layout.state(worker).into_string(), address => worker.address.to_string() }
        })
        .collect();
    let addresses: Vec<String> =
        site.cluster.workers.iter().map(|worker| worker.address.to_string()).collect();
    let share = crate::share::export(site).filter(|(_, addresses)| !addresses.is_empty());
    let share = share.map(|(path, addresses)| context! { path, addresses });
    let generations = if addresses.is_empty() {
        vec![]
    } else {
        let exported = site.survey.generations.exported(site.boots).into_iter();
        let root = |number| site.layout.generation_root(number).into_string();
        exported.map(|number| context! { path => root(number), addresses => &addresses }).collect()
    };
    render(include_str!("exports.j2"), &context! { generations, share, workers })
}

/// The own copies of a worker: those that it has, whatever it boots next, and the one that it is to boot.
fn copies(site: &Site<'_>, worker: &Worker) -> Vec<String> {
    let had = site.survey.generations.copies.get(worker.name.as_str());
    let mut numbers: BTreeSet<u32> = had.into_iter().flatten().copied().collect();
    if worker.root == Root::Copy {
        numbers.insert(site.boots.number);
    }
    let root = |number| site.layout.copy_root(worker, number).into_string();
    numbers.into_iter().map(root).collect()
}

fn export_again() -> Notify {
    Notify::run("exportfs", "export again", "exportfs -ra").when([EXPORTS])
}

/// Nothing but what workers may mount.
pub(crate) fn exported(site: &Site<'_>) -> Step {
    Step::new(NAME).title("exports").with(File::new(EXPORTS, exports(site))).notify(export_again())
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let mut step = Step::new(NAME)
        .title("exports")
        .with(Directory::new(site.layout.base().join("state")).mode(0o711))
        .after(crate::generation::NAME);
    for worker in site.cluster.workers.iter().filter(|worker| worker.root == Root::Copy) {
        step = step.after(workers::copy_step_name(worker));
    }
    if site.cluster.share.is_some() {
        step = step.after(crate::share::NAME);
    }
    // exportfs warns about folders that are not there, so they come first.
    for worker in &site.cluster.workers {
        step = step.with(Directory::new(site.layout.state(worker)).mode(0o700));
    }
    let step = step
        .with_all(exported(site).resources)
        .with(File::new(CONFIG, include_str!("nfs.conf")))
        .with(File::new(LOCKD, LOCKD_OPTIONS))
        .with(File::new(SERVER_CONFIG, include_str!("server.conf")))
        .with(Unit::new(STATD).masked().inactive())
        .with(Unit::new(SERVER).enabled().active())
        .notify(export_again())
        .notify(Notify::run("lockd", "one port for the lock daemon", LOCKD_NOW).when([LOCKD]))
        .notify(Notify::restart(SERVER).when([CONFIG, LOCKD]));
    Part { packages: vec!["nfs-kernel-server".to_owned()], steps: vec![step], ..Part::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::tests::with_site;

    #[test]
    fn every_export_names_its_clients_one_by_one() {
        with_site(|site| {
            let text = exports(site);
            insta::assert_snapshot!("exports", text);
            for line in text.lines().filter(|line| line.starts_with('/')) {
                assert!(!line.contains('*') && !line.contains("192.168.10.0"), "{line}");
            }
        });
    }

    #[test]
    fn a_copy_is_for_its_worker_alone_and_stays_while_it_is_there() {
        let text = crate::part::tests::LAB.replacen("[[worker]]", "[[worker]]\nroot = \"copy\"", 1);
        crate::part::tests::with_cluster(&text, |site| {
            let mut survey = site.survey.clone();
            survey.generations.copies.insert("cluster02".to_owned(), vec![7]);
            let text = exports(&Site { survey: &survey, ..*site });
            let copies: Vec<_> = text.lines().filter(|line| line.contains("/copies/")).collect();
            insta::assert_snapshot!(copies.join("\n"), @r"
            /srv/feeder/copies/cluster01/generations/1/root 192.168.10.101(rw,sync,subtree_check,no_root_squash)
            /srv/feeder/copies/cluster02/generations/7/root 192.168.10.102(rw,sync,subtree_check,no_root_squash)
            ");
        });
    }
}
