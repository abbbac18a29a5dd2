//! The scripts of generations, on systems shaped like those of boards.

use std::{fs, os::unix::fs::PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_remote::{Host, Local};

use super::{Script, Source, script};
use crate::{
    Generations, Layout, Site,
    part::tests::{shell_accepts, with_site},
};

const BOOKWORM: &str = "6.6.74+rpt-rpi-v8";
const TRIXIE: &str = "6.12.47+rpt-rpi-v8";

/// apt that has nothing to do, and what only root may do.
const FAKES: &[(&str, &str)] = &[
    ("apt-get", "exit 0"),
    ("mount", "exit 0"),
    // Its options end where the program begins.
    (
        "unshare",
        "while [ \"${1#--}\" != \"$1\" ] || [ \"$1\" = private ]; do shift; done; exec \"$@\"",
    ),
    (
        "chroot",
        "echo \"$@\" >>\"$TOLD\"; case \"$*\" in *full-upgrade*) eval \"${UPGRADE:-true}\" ;; esac",
    ),
    ("ss", "printf '0 0 [::ffff:192.168.10.100]:2049 [::ffff:192.168.10.101]:812\\n'"),
];

/// A master's folders, with a system to clone in them.
struct Bench {
    _guard: tempfile::TempDir,
    dir: Utf8PathBuf,
    layout: Layout,
    script: Script,
    host: Local,
}

impl Bench {
    fn new(system: &str) -> Self {
        let guard = tempfile::tempdir().expect("a folder");
        let dir = Utf8PathBuf::from_path_buf(guard.path().to_owned()).expect("UTF-8");
        let layout = Layout::at(dir.join("srv/feeder"));
        fs::create_dir_all(layout.generations()).expect("a folder");
        fs::create_dir(dir.join("bin")).expect("a folder");
        for (name, body) in FAKES {
            let path = dir.join("bin").join(name);
            fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a program");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        }
        let from = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/systems");
        let path = std::env::var("PATH").expect("a PATH");
        let host = Local::new("cluster00")
            .env("PATH", format!("{dir}/bin:{path}"))
            .env("TOLD", dir.join("told"));
        host.run(&format!("cp -a {from}/{system} {dir}/system")).expect("a copy");
        let script = Script {
            system: dir.join("system/root").into_string(),
            firmware: dir.join("system/firmware").into_string(),
            rmtab: dir.join("rmtab").into_string(),
            wanted: "w1".into(),
            packages: vec!["nfs-common".into()],
            prepare: vec!["echo Europe/Berlin >\"$root/etc/timezone\"".into()],
            dns: vec!["192.168.10.1".into(), "9.9.9.9".into()],
            boards: vec!["3-b-plus"],
            ..Script::asking(&layout)
        };
        Self { _guard: guard, dir, layout, script, host }
    }

    fn sh(&self, script: &str) -> Result<String, String> {
        let said = self.host.run(&format!("cd {}\n{script}", self.dir));
        said.map(|output| output.stdout_text()).map_err(|error| error.to_string())
    }

    fn told(&self, script: &str) -> String {
        self.sh(script).expect("the script works")
    }

    fn clone(&self, number: u32) -> Result<String, String> {
        self.sh(&self.script.create(number, Source::Master, "provision"))
    }

    fn catalog(&self) -> Generations {
        let text = self.told(&self.script.survey());
        Generations::parse(&text.lines().filter_map(|line| line.split_once('=')).collect())
    }

    fn active(&self) -> Option<u32> {
        self.catalog().active().map(|generation| generation.number)
    }

    /// The kernel of a generation becomes another one, and nothing else of it.
    fn changes_kernel(&self, number: u32) {
        let boot = self.layout.generation_boot(number);
        self.told(&format!("sed -i 's/Linux version 6/Linux version 7/' {boot}/kernel8.img"));
    }
}

#[test]
fn both_releases_of_raspberry_pi_os_become_systems_for_workers() {
    for (system, kernel) in [("bookworm", BOOKWORM), ("trixie", TRIXIE)] {
        let bench = Bench::new(system);
        bench.clone(1).expect("it is cloned");
        let made = bench.catalog();
        let made = made.newest().expect("a generation");
        assert_eq!((made.number, made.kernel.as_str()), (1, kernel));
        assert!(made.nfs_root_built_in, "the kernel's configuration says so");
        let generation = bench.layout.generation(1);
        // Every file of it, with what was made for workers; units that are masked are many.
        let listing = bench.told(&format!(
            "cd {generation}\nfind . -not -path './root/etc/systemd/*' \\( -type f -o -type l \\) | sort\ncd root/etc\nfor file in fstab resolv.conf machine-id timezone default/* rpi/swap.conf.d/* cloud/cloud-init.disabled; do [ ! -f $file ] || sed \"s,^,$file: ,\" $file; done"
        ));
        insta::assert_snapshot!(system, listing);
        assert_eq!(bench.told(&format!("ls -A {}", bench.layout.generations())), "1\n");
    }
}

#[test]
fn no_secret_of_the_image_is_in_a_generation() {
    for system in ["bookworm", "trixie"] {
        let bench = Bench::new(system);
        bench.told("mkdir -p system/root/root/.docker system/root/home/pi/.docker; for home in root home/pi; do echo '{\"auth\": \"secret\"}' >system/root/$home/.docker/config.json; done");
        bench.told("echo 'psk=secret' >system/firmware/firstrun.sh; echo 'pi:$6$x' >system/firmware/userconf.txt");
        bench.clone(1).expect("it is cloned");
        let found = bench.told(&format!(
            "grep -rlE 'secret|a private key|a host key|\\$6\\$|\\$y\\$' {} || :",
            bench.layout.generation(1)
        ));
        assert_eq!(found, "");
    }
}

#[test]
fn what_engines_store_is_not_copied_and_room_is_looked_at_before() {
    let bench = Bench::new("trixie");
    let has_left = |mib: u32| {
        let free = mib * 1024;
        bench.told(&format!(
            "printf '#!/bin/sh\\necho head\\necho disk 0 0 {free} 0 /\\n' >bin/df; chmod 755 bin/df"
        ));
    };
    bench.told(
        "cd system/root/var; chmod 750 lib; mkdir -p lib/docker lib/containerd .kept lib/.kept\n\
         for store in docker containerd; do head -c 40000000 /dev/zero >lib/$store/layer; done",
    );
    has_left(30);
    bench.clone(1).expect("it takes far less than the engines do");
    let root = bench.layout.generation_root(1);
    let made = bench.told(&format!("cd {root}/var; ls -A . lib; stat -c %a lib"));
    assert_eq!(made, ".:\n.kept\nlib\n\nlib:\n.kept\ndpkg\nsystemd\n750\n");

    has_left(0);
    let said = bench.clone(2).expect_err("there is no room");
    assert!(said.contains("and the master has 0 MiB left: make room"), "{said}");
    let said = bench.sh(&bench.script.create(2, Source::Upgrade(1), "provision"));
    assert!(said.is_err_and(|said| said.contains("0 MiB left")));
    assert_eq!(bench.told(&format!("ls -A {}", bench.layout.generations())), "1\n");
}

#[test]
fn first_boot_work_swap_and_what_manages_networks_are_masked() {
    let bench = Bench::new("trixie");
    bench.clone(1).expect("it is cloned");
    let units = bench.told(&format!("ls {}/etc/systemd/system", bench.layout.generation_root(1)));
    for unit in [
        "userconfig.service",
        "rpi-resize.service",
        "regenerate_ssh_host_keys.service",
        "dphys-swapfile.service",
        "NetworkManager.service",
    ] {
        assert!(units.lines().any(|line| line == unit), "{unit} is missing of {units}");
    }
}

#[test]
fn a_generation_says_what_it_was_made_of() {
    let bench = Bench::new("trixie");
    bench.clone(1).expect("it is cloned");
    let of = |number: u32| {
        let catalog = bench.catalog();
        let found = catalog.all.iter().find(|it| it.number == number).expect("it is there").clone();
        (found.key, found.wanted)
    };
    assert_eq!(of(1).1, "w1");
    assert_eq!(of(1).0.len(), 12);
    bench.clone(2).expect("it is cloned");
    assert_eq!(of(1), of(2), "nothing has changed");
    bench.told("sed -i 's/^Version: 13.1/Version: 13.2/' system/root/var/lib/dpkg/status");
    bench.clone(3).expect("it is cloned");
    assert_ne!(of(2).0, of(3).0, "a package has");
    let differ =
        bench.told(&format!("diff {0}/2/packages {0}/3/packages || :", bench.layout.generations()));
    assert_eq!(differ, "1c1\n< base-files:arm64 13.1\n---\n> base-files:arm64 13.2\n");
    let inputs = bench.told(&format!("cat {}/inputs", bench.layout.generation(3)));
    assert!(inputs.contains("\norigin=provision\ncreated=20"), "{inputs}");
}

#[test]
fn a_kernel_without_nfs_root_needs_an_initramfs_that_mounts_it() {
    let bench = Bench::new("trixie");
    bench.told(&format!("rm system/root/boot/config-{TRIXIE}"));
    bench.clone(1).expect("its initramfs knows NFS");
    assert!(!bench.catalog().all[0].nfs_root_built_in);
    // An initramfs for another kernel.
    bench.told("sed -i s/6.12.47/6.12.34/ system/firmware/initramfs8");
    let error = bench.clone(2).expect_err("this one does not");
    assert!(error.contains(&format!("initramfs8 lacks the NFS client for {TRIXIE}")), "{error}");
    // Packed ones are looked into.
    bench.told("sed -i s/6.12.34/6.12.47/ system/firmware/initramfs8; gzip -c system/firmware/initramfs8 >packed; mv packed system/firmware/initramfs8; gzip -c system/firmware/kernel8.img >packed; mv packed system/firmware/kernel8.img");
    bench.clone(2).expect("it is unpacked");
    assert_eq!(bench.catalog().all[1].kernel, TRIXIE);
    bench.told("rm system/firmware/initramfs8");
    let error = bench.clone(3).expect_err("there is none");
    assert!(error.contains("initramfs8 is missing"), "{error}");
    assert_eq!(bench.told(&format!("ls -A {}", bench.layout.generations())), "1\n2\n");
}

#[test]
fn a_kernel_without_its_modules_is_not_published() {
    let bench = Bench::new("trixie");
    // apt has installed another kernel, and its modules went to another place.
    bench.told(
        "sed -i 's/Linux version 6.12.47/Linux version 6.12.62/' system/firmware/kernel8.img",
    );
    let error = bench.clone(1).expect_err("it has no modules");
    assert!(error.contains("there are no modules of 6.12.62+rpt-rpi-v8"), "{error}");
    bench.told("rm system/firmware/kernel8.img");
    let error = bench.clone(1).expect_err("it has no kernel");
    assert!(error.contains("is the boot partition mounted"), "{error}");
    assert_eq!(bench.told(&format!("ls -A {}", bench.layout.generations())), "");
}

#[test]
fn what_does_not_belong_together_is_not_activated() {
    let bench = Bench::new("trixie");
    bench.clone(1).expect("it is cloned");
    bench.clone(2).expect("it is cloned");
    bench.told(&bench.script.activate(1));
    assert_eq!(bench.active(), Some(1));
    let root = bench.layout.generation_root(2);
    let boot = bench.layout.generation_boot(2);
    let broken = [
        bench.sh(&format!("rm {boot}/bcm2710-rpi-3-b-plus.dtb")).map(|_| "no device tree"),
        bench
            .sh(&format!("mv {root}/usr/lib/modules/{TRIXIE} {root}/usr/lib/modules/other"))
            .map(|_| "modules"),
        bench.sh(&format!("chmod a-x {root}/usr/lib/feeder/worker-init")).map(|_| "init"),
    ];
    assert!(broken.iter().all(Result::is_ok), "{broken:?}");
    bench.changes_kernel(2);
    let error = bench.sh(&bench.script.activate(2)).expect_err("it is refused");
    insta::assert_snapshot!("mismatches", error);
    assert_eq!(bench.sh(&bench.script.check(2)).expect_err("so says the check"), error);
    assert_eq!(bench.active(), Some(1));
    let error = bench.sh(&bench.script.activate(7)).expect_err("there is none");
    assert!(error.contains("there is no generation 7"), "{error}");
}

#[test]
fn the_way_back_is_what_was_active_before() {
    let bench = Bench::new("bookworm");
    for number in [1, 2, 3] {
        bench.clone(number).expect("it is cloned");
        bench.told(&bench.script.activate(number));
    }
    let previous = || bench.catalog().previous().map(|it| it.number);
    assert_eq!((bench.active(), previous()), (Some(3), Some(2)));
    bench.told(&bench.script.activate(2));
    assert_eq!((bench.active(), previous()), (Some(2), Some(3)));
    // What was removed is no way back any more.
    bench.told(&bench.script.remove(&[3]));
    assert_eq!((bench.active(), previous()), (Some(2), Some(1)));
    for _ in 0..30 {
        bench.told(&bench.script.activate(1));
        bench.told(&bench.script.activate(2));
    }
    assert_eq!(bench.told(&format!("wc -l <{}", bench.layout.active())).trim(), "20");
    bench.told(&bench.script.sweep());
    assert_eq!(bench.told(&format!("ls -A {}", bench.layout.generations())), "1\n2\nactive\n");
}

#[test]
fn copies_that_workers_have_go_with_their_generation() {
    let bench = Bench::new("bookworm");
    for number in [1, 2] {
        bench.clone(number).expect("it is cloned");
    }
    let own = bench.layout.copies().join("cluster01/generations");
    // The ninth generation is not there any more.
    bench.told(&format!("mkdir -p {own}/1/root {own}/2/root {own}/9/root {own}/.3.partial/root"));
    assert_eq!(bench.catalog().copies, [("cluster01".to_owned(), vec![1, 2, 9])].into());
    bench.told(&bench.script.remove(&[1]));
    assert_eq!(bench.catalog().copies, [("cluster01".to_owned(), vec![2, 9])].into());
    bench.told(&bench.script.sweep());
    assert_eq!(bench.told(&format!("ls -A {own}")), "2\n");
    bench.told(&bench.script.remove(&[2]));
    assert_eq!(bench.catalog().copies, [("cluster01".to_owned(), vec![])].into());
}

#[test]
fn an_upgrade_is_made_in_a_copy_with_its_kernel_and_without_what_hooks_leave() {
    let bench = Bench::new("trixie");
    bench.clone(1).expect("it is cloned");
    // What a new kernel's package and its hooks do, in a chroot of which $root is the system.
    let upgrade = "sed -i 's/^Version: 13.1/Version: 13.2/' $root/var/lib/dpkg/status
        mkdir $root/usr/lib/modules/6.12.62+rpt-rpi-v8
        echo >$root/usr/lib/modules/6.12.62+rpt-rpi-v8/modules.dep
        cp $root/../../../../../system/root/boot/config-6.12.47+rpt-rpi-v8 $root/boot/config-6.12.62+rpt-rpi-v8
        echo 'Linux version 6.12.62+rpt-rpi-v8 (x)' >$partial/boot/kernel8.img
        echo 'root=ROOT' >$partial/boot/cmdline.txt; echo kernel >$partial/boot/vmlinuz-6.12.62+rpt-rpi-v8";
    let host = bench.host.clone().env("UPGRADE", upgrade);
    let script = bench.script.create(2, Source::Upgrade(1), "create");
    host.run(&script).expect("it is upgraded");
    let catalog = bench.catalog();
    let made = catalog.newest().expect("a generation");
    assert_eq!((made.number, made.kernel.as_str()), (2, "6.12.62+rpt-rpi-v8"));
    assert_eq!(made.origin, "upgrade of 1");
    assert!(made.nfs_root_built_in);
    let old = &catalog.all[0];
    assert_eq!((old.kernel.as_str(), old.key == made.key), (TRIXIE, false));
    let files = bench.told(&format!("ls {}", bench.layout.generation_boot(2)));
    assert!(!files.contains("cmdline.txt") && !files.contains("vmlinuz"), "{files}");
    bench.told(&bench.script.activate(2));
    // In this order, in the copy, and nothing else.
    let told = bench.told("sed 's,.*apt-get ,,' told");
    insta::assert_snapshot!("upgrade", told);
    let left = bench.told(&format!("ls {}/usr/sbin", bench.layout.generation_root(2)));
    assert_eq!(left, "nologin\n", "nothing forbids services to start on a worker");
}

#[test]
fn an_upgrade_that_changes_nothing_makes_nothing() {
    let bench = Bench::new("bookworm");
    bench.clone(1).expect("it is cloned");
    let said = bench.told(&bench.script.create(2, Source::Upgrade(1), "create"));
    assert_eq!(said, "feeder-same-as 1\n");
    assert_eq!(bench.told(&format!("ls -A {}", bench.layout.generations())), "1\n");
    let error = bench.sh(&bench.script.create(2, Source::Upgrade(5), "create"));
    assert!(error.expect_err("there is none").contains("there is no generation 5"));
}

#[test]
fn an_upgrade_that_fails_leaves_nothing() {
    let bench = Bench::new("bookworm");
    bench.clone(1).expect("it is cloned");
    let host =
        bench.host.clone().env("UPGRADE", "echo 'E: Unable to fetch some archives' >&2; exit 100");
    let error = host.run(&bench.script.create(2, Source::Upgrade(1), "create"));
    let error = error.expect_err("apt fails").to_string();
    assert!(error.contains("Unable to fetch"), "{error}");
    assert_eq!(bench.told(&format!("ls -A {}", bench.layout.generations())), "1\n");
}

#[test]
fn the_master_tells_who_may_run_from_what() {
    let bench = Bench::new("trixie");
    bench.clone(1).expect("it is cloned");
    let (generations, copies) = (bench.layout.generations(), bench.layout.copies());
    bench.told(&format!(
        "mkdir -p srv/feeder/tftp/9f404536 srv/feeder/tftp/other
         ln -s {generations}/1/boot/kernel8.img srv/feeder/tftp/9f404536/
         printf '%s\\n' 192.168.10.101:{generations}/1/root:0x00000002 192.168.10.101:/srv/feeder/state/cluster01:0x1 \
           192.168.10.102:{copies}/cluster02/generations/1/root:0x1 >rmtab"
    ));
    let told = bench.told(&bench.script.uses());
    assert_eq!(
        told,
        "tree 9f404536 1\nmounted 192.168.10.101 1\nmounted 192.168.10.102 1\nconnected 192.168.10.101\n"
    );
}

#[test]
fn scripts_are_valid_shell() {
    with_site(|site| {
        let script = Script::on_master(site);
        shell_accepts(&script.create(1, Source::Master, "provision"));
        shell_accepts(&script.create(2, Source::Upgrade(1), "create"));
        for text in [
            script.survey(),
            script.uses(),
            script.check(1),
            script.activate(1),
            script.remove(&[1, 2]),
            script.sweep(),
        ] {
            shell_accepts(&text);
        }
        shell_accepts(include_str!("worker-init.sh"));
    });
}

#[test]
fn an_engine_has_its_store_whoever_made_its_package() {
    let init = include_str!("worker-init.sh");
    let condition = init.lines().find(|line| line.contains("dockerd")).expect("it looks for one");
    let has_store = |engine: &str| {
        let guard = tempfile::tempdir().expect("a folder");
        let root = guard.path().display();
        let script = format!(
            "root={root}\nmkdir -p $root/usr/bin $root/usr/sbin\nif [ -n '{engine}' ]; then install -m 755 /dev/null $root/usr/{engine}; fi\n{condition} echo yes; else echo no; fi"
        );
        let host = Local::new("cluster01");
        let output = host.run(&script).map_err(|error| error.to_string());
        output.expect("it works").stdout_text().trim() == "yes"
    };
    // Debian's, Docker's own, and none.
    assert_eq!(["sbin/dockerd", "bin/dockerd", ""].map(has_store), [true, true, false]);
}

#[test]
fn what_modules_want_has_one_digest_whatever_the_number() {
    with_site(|site| {
        let wanted = script::wanted(site);
        assert_eq!(wanted, site.wanted);
        let other = site.booting(crate::Boots { number: 7, nfs_root_built_in: Some(true) });
        assert_eq!(script::wanted(&other), wanted);
        let mut cluster = site.cluster.clone();
        cluster.network.dns.push([9, 9, 9, 9].into());
        assert_ne!(
            Site::new(&cluster, site.secrets, site.survey, site.layout, site.modules).wanted,
            wanted
        );
        let fewer = &site.modules[..0];
        assert_ne!(
            Site::new(site.cluster, site.secrets, site.survey, site.layout, fewer).wanted,
            wanted
        );
    });
}
