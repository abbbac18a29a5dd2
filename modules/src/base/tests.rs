//! The scripts, on a system in a folder.

use camino::Utf8PathBuf;
use feeder_plan::{Mode, run};
use feeder_process::Cmd;
use feeder_remote::{Host, Local};

use super::*;
use crate::part::tests::{shell_accepts, with_cluster, with_site};

const LAB: &str = include_str!("../../../fixtures/clusters/lab.toml");
const SYSTEM: &str = r#"
[system]
packages = ["vim"]
time-zone = "Europe/Berlin"
locale = "de_DE.UTF-8"
journal = "persistent"
groups = ["video", "gpio"]
authorized-keys = ["ssh-ed25519 AAAAC3Nz me@here", "ssh-ed25519 AAAAB4Na"]
"#;

/// A system with a user, and the programs that change one as far as they are not the scripts' own.
struct Root {
    _guard: tempfile::TempDir,
    dir: Utf8PathBuf,
    host: Local,
}

impl Root {
    fn new() -> Self {
        let guard = tempfile::tempdir().expect("a folder");
        let dir = Utf8PathBuf::from_path_buf(guard.path().to_owned()).expect("UTF-8");
        let path = std::env::var("PATH").expect("a PATH");
        let host = Local::new("cluster00")
            .env("PATH", format!("{dir}/bin:{path}"))
            .env("FEEDER_RUN", dir.join("run"));
        let this = Self { _guard: guard, dir, host };
        this.sh(
            "mkdir -p bin root/etc/default root/usr/share/zoneinfo/Europe root/usr/lib/locale root/home/pi/.ssh
             echo zone >root/usr/share/zoneinfo/Europe/Berlin
             printf 'pi:x:1000:1000::/home/pi:/bin/bash\\n' >root/etc/passwd
             printf 'video:x:44:other,pi2\\npi:x:1000:\\nvideo2:x:45:pi\\n' >root/etc/group
             printf 'ssh-ed25519 AAAAC3Nz by-hand' >root/home/pi/.ssh/authorized_keys
             # What they do to the file, and no more.
             printf '#!/bin/sh\\nshift; echo \"$2:x:999:\" >>\"$1/etc/group\"\\n' | sed 's/\\$2/$2/; s/\\$1/$1/' >bin/groupadd
             printf '#!/bin/sh\\n[ \"$1\" = --root ]; sed -i \"s/^$5:.*[^:]\\$/&,$6/; s/^$5:.*:\\$/&$6/\" \"$2/etc/group\"\\n' >bin/usermod
             printf '#!/bin/sh\\n: >\"$1/usr/lib/locale/locale-archive\"; echo $2 >>told\\n' >bin/chroot
             printf '#!/bin/sh\\n' >bin/mount
             printf '#!/bin/sh\\nshift 3; exec \"$@\"\\n' >bin/unshare
             chmod +x bin/*",
        );
        this
    }

    fn sh(&self, script: &str) -> String {
        let output = self.host.run(&format!("set -e\ncd {}\n{script}", self.dir));
        output.unwrap_or_else(|error| panic!("{error}")).stdout_text()
    }

    /// A task as on the master, but on the system in the folder.
    fn task(&self, one: &Both) -> Task {
        let here = |verb: &str| format!("cd {0}\nroot={0}/root\n{1}", self.dir, one.text(verb));
        Task::new(one.id, &one.summary).probe(here("probe")).apply(here("apply"))
    }
}

#[test]
fn nothing_is_wanted_that_is_not_said() {
    with_site(|site| {
        let part = part(site);
        assert!(part.steps.is_empty() && part.packages.is_empty() && part.in_generation.is_empty());
    });
}

#[test]
fn what_is_said_is_so_afterwards_and_the_second_run_changes_nothing() {
    with_cluster(&format!("{LAB}{SYSTEM}"), |site| {
        let root = Root::new();
        let both = done_on_both(&site.cluster.system, "pi");
        let steps = || [Step::new("base").with_all(both.iter().map(|one| root.task(one)))];
        let changed = || {
            let report = run(&root.host, &steps(), Mode::Apply, &mut |_| {});
            report.unwrap_or_else(|error| panic!("{error}")).changed()
        };
        assert_eq!(changed(), 4);
        assert_eq!(changed(), 0);
        insta::assert_snapshot!(
            "after",
            root.sh("cd root; readlink etc/localtime; for file in etc/timezone etc/locale.gen etc/locale.conf etc/default/locale etc/group home/pi/.ssh/authorized_keys; do echo \"$file:\"; cat $file; done; stat -c %a home/pi/.ssh/authorized_keys")
        );
    });
}

#[test]
fn a_generation_gets_the_same_whatever_it_is_a_copy_of() {
    with_cluster(&format!("{LAB}{SYSTEM}"), |site| {
        let root = Root::new();
        let part = part(site);
        assert_eq!(part.packages, ["vim", "locales", "tzdata"]);
        // As the script of a generation runs them: `$root` is set, and what fails ends all.
        for script in &part.in_generation {
            shell_accepts(script);
        }
        let all = part.in_generation.join("\n)\n(\n");
        let script = format!("root={}/root\n(\n{all}\n)", root.dir);
        root.sh(&script);
        let once = root.sh("cd root; find . -type f -o -type l | sort | xargs cat 2>/dev/null");
        root.sh(&script);
        assert_eq!(
            root.sh("cd root; find . -type f -o -type l | sort | xargs cat 2>/dev/null"),
            once
        );
        let journald = root.sh("cat root/etc/systemd/journald.conf.d/90-feeder.conf");
        assert!(journald.contains("\nStorage=persistent\n"), "{journald}");
        assert!(once.contains("video:x:44:other,pi2,pi\n"), "{once}");
    });
}

#[test]
fn a_time_zone_that_there_is_not_is_named() {
    let text = format!("{LAB}\n[system]\ntime-zone = \"Europe/Atlantis\"\n");
    with_cluster(&text, |site| {
        let root = Root::new();
        let both = done_on_both(&site.cluster.system, "pi");
        let script = format!("root={}/root\n{}", root.dir, both[0].text("apply"));
        let output = Cmd::new("sh").stdin(script).output().expect("sh");
        assert!(!output.status.success());
        assert!(output.stderr.contains("no time zone Europe/Atlantis"), "{}", output.stderr);
    });
}

#[test]
fn the_master_has_it_before_it_is_cloned() {
    with_cluster(&format!("{LAB}{SYSTEM}"), |site| {
        let plan = feeder_plan::plan(&crate::steps(site), &feeder_plan::Facts::default());
        let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
        let at = |name: &str| names.iter().position(|found| *found == name);
        assert!(at(NAME) < at(crate::generation::NAME) && at(NAME).is_some(), "{names:?}");
    });
}

#[test]
fn it_makes_another_generation() {
    with_site(|site| {
        let wanted = site.wanted;
        with_cluster(&format!("{LAB}{SYSTEM}"), |site| assert_ne!(site.wanted, wanted));
    });
}
