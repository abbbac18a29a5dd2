//! What each worker has of its own: state, identity, boot tree.

use camino::Utf8Path;
use feeder_cluster::{Root, Worker};
use feeder_plan::{Directory, File, Step, Task};
use minijinja::context;
use sha2::{Digest, Sha256};

use crate::{
    Part, Site,
    generation::{INIT, INITRAMFS, KERNEL},
    template::render,
};

pub(crate) const NAME: &str = "workers";

/// How to mount what does not change (nfs(5)): by default the server is asked again, at every opening of a file and some seconds
/// after each answer, whether it has. In the words that Debian's initramfs knows, which has no `actimeo=`.
const UNCHANGING: &str = ",nocto,acregmin=3600,acregmax=3600,acdirmin=3600,acdirmax=3600";

/// The one line of a worker's `cmdline.txt`.
///
/// `root` and `nfsroot` are understood by a kernel with NFS root built in (Documentation/admin-guide/nfs/nfsroot.rst) and by
/// Debian's initramfs alike; its mount program knows NFS 3 only, and neither `proto=` nor 4.x.
fn command_line(site: &Site<'_>, worker: &Worker) -> String {
    let (cluster, layout) = (site.cluster, site.layout);
    let (name, master) = (&worker.name, cluster.master.address);
    let (root, access, caching) = match worker.root {
        Root::Shared => (layout.generation_root(site.boots.number), "ro", UNCHANGING),
        Root::Copy => (layout.copy_root(worker, site.boots.number), "rw", ""),
    };
    let mut words = vec![
        // The last one is /dev/console: a worker has no screen, and what its first processes say must reach the serial line.
        "console=tty1".to_owned(),
        "console=serial0,115200".to_owned(),
        "root=/dev/nfs".to_owned(),
        format!("nfsroot={master}:{root},vers=3,tcp,nolock{caching}"),
        access.to_owned(),
        format!(
            "ip={}:{master}:{}:{}:{name}:eth0:off",
            worker.address,
            cluster.network.gateway,
            cluster.network.subnet.netmask()
        ),
        "rootwait".to_owned(),
        // The address stands on eth0: the name must not change on the way.
        "net.ifnames=0".to_owned(),
        // Raspberry Pi's firmware switches the memory controller off, which containers need.
        "cgroup_enable=memory".to_owned(),
        // A worker that cannot mount its root tries again from the start instead of standing still.
        "panic=10".to_owned(),
        format!("init={INIT}"),
        format!("feeder.node={name}"),
        format!("feeder.state={master}:{}", layout.state(worker)),
    ];
    if worker.root == Root::Copy {
        words.push("feeder.root=copy".to_owned());
    }
    words.join(" ") + "\n"
}

/// A worker's `config.txt`. Everything that has a default is said: defaults differ between firmware releases.
fn config_txt(site: &Site<'_>) -> String {
    let initramfs = if site.nfs_root_built_in() {
        String::new()
    } else {
        format!("initramfs {INITRAMFS} followkernel\n")
    };
    format!(
        "# Written by feeder (module workers): changes made here are undone.\n\
         arm_64bit=1\nkernel={KERNEL}\nauto_initramfs=0\n{initramfs}enable_uart=1\nupstream_kernel={}\n\
         # Headless: the cut-down start_cd.elf, a quarter of the size, and the memory it leaves.\n\
         gpu_mem=16\n",
        u8::from(!site.nfs_root_built_in()),
    )
}

/// The same for the same worker of the same cluster, so that a worker that is made again is still the same machine.
fn machine_id(site: &Site<'_>, worker: &Worker) -> String {
    let text = format!("feeder machine-id {} {} {}", site.cluster.name, worker.name, worker.mac);
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>()
        + "\n"
}

fn hosts_file(site: &Site<'_>, worker: &Worker) -> String {
    let mut text = format!(
        "127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost ip6-localhost ip6-loopback\n\n",
        worker.name
    );
    for node in site.cluster.nodes().filter(|node| node.name != &worker.name) {
        text.push_str(&format!("{} {}\n", node.address, node.name));
    }
    text
}

fn enrolment(site: &Site<'_>, worker: &Worker) -> Task {
    let (name, state, key) =
        (&worker.name, site.layout.state(worker), site.layout.host_key(worker));
    let values = context! {
        name => name.as_str(),
        state => state.as_str(),
        made => site.layout.states().join(format!(".{name}.made")).as_str(),
        key => key.as_str(),
        size => worker.state_size.as_bytes(),
    };
    // An image that is larger is refused before anything is applied.
    Task::new(format!("state-{name}"), format!("worker {name}: state image {} (sparse), host key", worker.state_size))
        .probe(format!(
            "if [ ! -f {state}/state.img ]; then echo absent; elif [ ! -s {key} ] || [ ! -s {key}.pub ]; then echo 'no host key'; \
             elif [ $(stat -c %s {state}/state.img) -lt {size} ]; then echo smaller; else echo present; fi",
            size = worker.state_size.as_bytes()
        ))
        .apply(render(include_str!("enrol.sh.j2"), &values))
}

/// Why state images cannot become what the cluster says, and what can be done: none is made smaller.
pub(crate) fn refusal(site: &Site<'_>) -> Option<(String, String)> {
    let too_large = |worker: &&Worker| {
        let is = site.survey.state_images.get(worker.name.as_str());
        is.is_some_and(|is| *is > worker.state_size)
    };
    let worker = site.cluster.workers.iter().find(too_large)?;
    let (name, wanted) = (&worker.name, worker.state_size);
    let is = site.survey.state_images.get(name.as_str())?;
    Some((
        format!(
            "the state image of {name} has {is}, cluster.toml says {wanted}, and an image is not made smaller"
        ),
        format!(
            "write state = \"{is}\" for {name}, it takes only the room that is filled; or give up what it holds: switch {name} off, \
             remove {}/state.img on the master, and provision again",
            site.layout.state(worker)
        ),
    ))
}

fn boot_tree(site: &Site<'_>, worker: &Worker) -> Task {
    let (name, generation) = (&worker.name, site.boots.number);
    let values = context! {
        name => name.as_str(),
        generation,
        tree => site.layout.boot_tree(worker).into_string(),
        boot => site.layout.generation_boot(generation).into_string(),
    };
    Task::new(format!("boot-tree-{name}"), format!("worker {name}: boots generation {generation}"))
        .probe(render(include_str!("boot-tree-probe.sh.j2"), &values))
        .wanted(format!("generation {generation}"))
        .apply(render(include_str!("boot-tree.sh.j2"), &values))
}

/// The copy that a worker of the site boots, if it has one of its own: before it is exported.
pub(crate) fn copy(site: &Site<'_>, worker: &Worker) -> Option<Step> {
    if worker.root == Root::Shared {
        return None;
    }
    let (name, number) = (&worker.name, site.boots.number);
    let copy = site.layout.copy_root(worker, number);
    let values = context! {
        name => name.as_str(),
        generation => number,
        from => site.layout.generation_root(number).as_str(),
        generations => copy.ancestors().nth(2).map(Utf8Path::as_str),
    };
    let text = format!("worker {name}: its own copy of generation {number}");
    let task = Task::new(format!("copy-{name}"), text)
        .probe(format!("[ ! -d {copy} ] && echo absent || echo present"))
        .apply(render(include_str!("copy.sh.j2"), &values));
    let title = format!("root of {name}");
    Some(Step::new(NAME).named(copy_step_name(worker)).title(&title).with(task))
}

/// Has a worker boot the generation of the site: what its firmware finds, by name.
pub(crate) fn boots(site: &Site<'_>, worker: &Worker) -> Step {
    let tree = site.layout.boot_tree(worker);
    Step::new(NAME)
        .named(step_name(worker))
        .title(worker.name.as_str())
        .with(Directory::new(&tree))
        .with(File::new(tree.join("config.txt"), config_txt(site)))
        .with(File::new(tree.join("cmdline.txt"), command_line(site, worker)))
        .with(boot_tree(site, worker))
}

pub(crate) fn step_name(worker: &Worker) -> String {
    format!("{NAME}-{}", worker.name)
}

/// What comes before all exports.
pub(crate) fn copy_step_name(worker: &Worker) -> String {
    format!("copy-{}", worker.name)
}

fn step(site: &Site<'_>, worker: &Worker) -> Step {
    let identity = site.layout.identity(worker);
    Step::new(NAME)
        .named(step_name(worker))
        .title(worker.name.as_str())
        .after(crate::generation::NAME)
        .after(crate::nfs::NAME)
        .with(Directory::new(&identity))
        .with(Directory::new(identity.join("etc")))
        .with(Directory::new(identity.join("etc/ssh")))
        .with(File::new(identity.join("etc/hostname"), format!("{}\n", worker.name)))
        .with(File::new(identity.join("etc/hosts"), hosts_file(site, worker)))
        .with(File::new(identity.join("etc/machine-id"), machine_id(site, worker)).mode(0o444))
        .with(enrolment(site, worker))
        .with_all(boots(site, worker).resources)
}

pub(crate) fn part(site: &Site<'_>) -> Part {
    let mut steps: Vec<Step> =
        site.cluster.workers.iter().map(|worker| step(site, worker)).collect();
    // What comes after the workers waits for all of them through one name.
    let mut all = Step::new(NAME).title("all workers");
    for one in &steps {
        all = all.after(&one.name);
    }
    steps.push(all);
    let copies = site.cluster.workers.iter().filter_map(|worker| copy(site, worker));
    steps.extend(copies.map(|step| step.after(crate::generation::NAME)));
    Part { steps, ..Part::default() }
}

#[cfg(test)]
mod tests {
    use feeder_cluster::ByteSize;

    use super::*;
    use crate::part::tests::{with_cluster, with_site};

    #[test]
    fn texts_of_a_worker() {
        with_site(|site| {
            let worker = &site.cluster.workers[0];
            insta::assert_snapshot!("cmdline", command_line(site, worker));
            insta::assert_snapshot!("config", config_txt(site));
            insta::assert_snapshot!("hosts", hosts_file(site, worker));
        });
    }

    #[test]
    fn the_command_line_is_one_line_that_the_firmware_accepts() {
        with_site(|site| {
            let line = command_line(site, &site.cluster.workers[0]);
            assert_eq!(line.lines().count(), 1);
            for line in config_txt(site).lines() {
                assert!(line.len() <= 98, "the firmware cuts lines at 98 characters: {line}");
            }
        });
    }

    /// This machine as a master that has all of its own in one folder, which goes with the first of these.
    fn master() -> (tempfile::TempDir, crate::Layout, feeder_remote::Local) {
        let guard = tempfile::tempdir().expect("a folder");
        let dir = Utf8Path::from_path(guard.path()).expect("UTF-8");
        let layout = crate::Layout::at(dir.join("srv"));
        let host = feeder_remote::Local::new("cluster00").env("FEEDER_RUN", dir.join("run"));
        (guard, layout, host)
    }

    /// Applies a task by itself; how many changes that were.
    fn changed(host: &dyn feeder_remote::Host, task: Task) -> usize {
        let step = [Step::new(NAME).with(task)];
        let report = feeder_plan::run(host, &step, feeder_plan::Mode::Apply, &mut |_| {});
        report.map_err(|error| error.to_string()).expect("it runs").changed()
    }

    #[test]
    fn a_state_image_grows_and_never_shrinks() {
        use std::os::unix::fs::MetadataExt;

        use feeder_remote::Host;

        let (_guard, layout, host) = master();
        let sized = |size: &str| {
            let text = crate::part::tests::LAB.replace("8GiB", size);
            let changes = std::cell::Cell::new(0);
            with_cluster(&text, |site| {
                let site = Site { layout: &layout, ..*site };
                let worker = &site.cluster.workers[0];
                let state = layout.state(worker);
                fs_err::create_dir_all(layout.host_key(worker).parent().expect("a folder"))
                    .expect("a folder");
                changes.set(changed(&host, enrolment(&site, worker)));
                let image = fs_err::metadata(state.join("state.img")).expect("an image");
                assert_eq!(image.len(), worker.state_size.as_bytes());
                let takes = image.blocks() * 512;
                assert!(takes < 1 << 20, "a worker that has not yet booted takes {takes} bytes");
                // As a worker does, but for the kernel that grows what is mounted.
                let grown = format!(
                    "e2fsck -fp {0} && resize2fs {0} && e2fsck -fn {0}",
                    state.join("state.img")
                );
                host.run(&grown).expect("its file system grows");
            });
            changes.get()
        };
        assert_eq!((sized("8GiB"), sized("8GiB"), sized("9GiB"), sized("9GiB")), (1, 0, 1, 0));
        with_site(|site| {
            assert_eq!(refusal(site), None);
            let mut survey = site.survey.clone();
            for (name, size) in [("cluster01", 8), ("cluster02", 9), ("cluster07", 99)] {
                survey.state_images.insert(name.to_owned(), ByteSize::gib(size));
            }
            let (why, remedy) =
                refusal(&Site { survey: &survey, ..*site }).expect("it would shrink");
            insta::assert_snapshot!(format!("{why}\n→ {remedy}"));
        });
    }

    #[test]
    fn what_a_worker_plants_in_its_folder_leads_nowhere() {
        use fs_err::os::unix::fs::symlink;

        let (_guard, layout, host) = master();
        with_site(|site| {
            let site = Site { layout: &layout, ..*site };
            let worker = &site.cluster.workers[0];
            let (key, image) = (layout.host_key(worker), layout.state(worker).join("state.img"));
            fs_err::create_dir_all(key.parent().expect("a folder")).expect("a folder");
            let elsewhere = layout.base().with_file_name("elsewhere");
            fs_err::create_dir(&elsewhere).expect("a folder");
            for (name, path) in [
                ("image", image.clone()),
                ("image.partial", image.with_file_name(".state.img.partial")),
                ("key", key.clone()),
                ("key.pub", key.with_extension("pub")),
                ("key.partial", key.with_extension("partial")),
                ("key.partial.pub", key.with_extension("partial.pub")),
            ] {
                symlink(elsewhere.join(name), path).expect("a link");
            }
            assert_eq!(changed(&host, enrolment(&site, worker)), 1);
            assert_eq!(fs_err::read_dir(&elsewhere).expect("a folder").count(), 0);
            for file in [&image, &key, &key.with_extension("pub")] {
                assert!(fs_err::symlink_metadata(file).expect("a file").is_file(), "{file}");
            }
        });
    }

    #[test]
    fn a_boot_tree_links_what_its_generation_has_and_nothing_else() {
        let (_guard, layout, host) = master();
        with_site(|site| {
            let site = Site { layout: &layout, ..*site };
            let worker = &site.cluster.workers[0];
            let (boot, tree) =
                (layout.generation_boot(site.boots.number), layout.boot_tree(worker));
            for folder in [boot.join("overlays"), tree.join("start.elf"), tree.join("gone")] {
                fs_err::create_dir_all(folder).expect("a folder");
            }
            for file in [
                boot.join("start.elf"),
                boot.join("kernel 8.img"),
                tree.join("config.txt"),
                tree.join("cmdline.txt"),
                tree.join("start.elf/of somebody"),
                tree.join(".cut off"),
            ] {
                fs_err::write(file, "").expect("a file");
            }
            fs_err::os::unix::fs::symlink("/none", tree.join("overlays")).expect("a link");
            let twice = || {
                (changed(&host, boot_tree(&site, worker)), changed(&host, boot_tree(&site, worker)))
            };
            assert_eq!(twice(), (1, 0));
            let mut names: Vec<String> = fs_err::read_dir(&tree)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
                .collect();
            names.sort();
            assert_eq!(
                names,
                ["cmdline.txt", "config.txt", "kernel 8.img", "overlays", "start.elf"]
            );
            for name in &names[2..] {
                let to = fs_err::read_link(tree.join(name)).expect("a link");
                assert_eq!(to, boot.join(name));
            }
            // Each kind of what may be wrong is seen.
            fs_err::write(tree.join("more"), "").expect("a file");
            assert_eq!(twice(), (1, 0));
            fs_err::remove_file(tree.join("overlays")).expect("it was there");
            assert_eq!(twice(), (1, 0));
        });
    }

    /// The lab, whose first worker has a root of its own.
    fn with_a_copy(of: impl FnOnce(&Site<'_>)) {
        let text = crate::part::tests::LAB.replacen("[[worker]]", "[[worker]]\nroot = \"copy\"", 1);
        with_cluster(&text, of);
    }

    #[test]
    fn a_worker_with_a_root_of_its_own_mounts_and_changes_it() {
        with_a_copy(|site| {
            let line = command_line(site, &site.cluster.workers[0]);
            for word in [
                "nfsroot=192.168.10.100:/srv/feeder/copies/cluster01/generations/1/root,vers=3,tcp,nolock",
                "rw",
                "feeder.root=copy",
            ] {
                assert!(line.split_whitespace().any(|it| it == word), "{word}: {line}");
            }
            let other = command_line(site, &site.cluster.workers[1]);
            assert!(!other.contains("copies") && !other.contains("feeder.root"), "{other}");
        });
    }

    #[test]
    fn a_copy_is_made_once_for_each_generation_and_stays_as_the_worker_leaves_it() {
        let (_guard, layout, host) = master();
        with_a_copy(|site| {
            let copied = |number: u32| {
                let site =
                    Site { layout: &layout, ..site.booting(crate::Boots { number, ..site.boots }) };
                assert!(copy(&site, &site.cluster.workers[1]).is_none());
                let step = copy(&site, &site.cluster.workers[0]).expect("it has a copy");
                let report =
                    feeder_plan::run(&host, &[step], feeder_plan::Mode::Apply, &mut |_| {});
                report.map_err(|error| error.to_string()).map(|report| report.changed())
            };
            for number in [1, 2] {
                let root = layout.generation_root(number);
                fs_err::create_dir_all(root.join("etc")).expect("a folder");
                fs_err::write(root.join("etc/issue"), format!("{number}")).expect("a file");
            }
            let own = |number: u32| layout.copy_root(&site.cluster.workers[0], number);
            assert_eq!(copied(1), Ok(1));
            fs_err::write(own(1).join("etc/issue"), "changed").expect("a file");
            // What a run that was cut off has left.
            fs_err::create_dir_all(
                own(2).parent().expect("a folder").with_file_name(".2.partial/root/old"),
            )
            .expect("a folder");
            assert_eq!((copied(1), copied(2), copied(2), copied(1)), (Ok(0), Ok(1), Ok(0), Ok(0)));
            let read = |path: camino::Utf8PathBuf| fs_err::read_to_string(path).expect("a file");
            assert_eq!(read(own(1).join("etc/issue")), "changed");
            assert_eq!(read(own(2).join("etc/issue")), "2");
            assert!(!own(2).join("old").exists());
            assert_eq!(read(layout.generation_root(1).join("etc/issue")), "1");
            // Half a copy is none, and takes no room.
            let said = copied(3).expect_err("there is no such generation");
            assert!(said.contains("own copy of generation 3"), "{said}");
            let names = |path: &camino::Utf8Path| {
                let entries = fs_err::read_dir(path).expect("a folder");
                let mut names: Vec<_> =
                    entries.map(|entry| entry.expect("an entry").file_name()).collect();
                names.sort();
                names
            };
            assert_eq!(names(&layout.copies().join("cluster01/generations")), ["1", "2"]);
        });
    }

    #[test]
    fn machine_ids_are_distinct_and_well_formed() {
        with_site(|site| {
            let ids: Vec<String> =
                site.cluster.workers.iter().map(|worker| machine_id(site, worker)).collect();
            assert_ne!(ids[0], ids[1]);
            for id in ids {
                assert_eq!(id.trim_end().len(), 32);
                assert!(id.trim_end().chars().all(|c| c.is_ascii_hexdigit()));
            }
        });
    }
}
