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
             mkdir -p root/etc/sudoers.d root/etc/ssh
             printf 'root:*:20000:0:99999:7:::\\npi:!:20000:0:99999:7:::\\n' >root/etc/shadow
             # Each tells of all that others could see of it.
             cat >bin/chpasswd <<'CHPASSWD'\n#!/bin/sh
             { echo \"chpasswd $*\"; env; } >>\"${0%/*}/../told\"
             IFS=: read -r user hash
             [ \"$1 $2\" = '--encrypted --root' ] && sed -i \"s,^$user:[^:]*:,$user:$hash:,\" \"$3/etc/shadow\"\nCHPASSWD
             cat >bin/visudo <<'VISUDO'\n#!/bin/sh
             { echo \"visudo $1 ${2##*/}\"; env; } >>\"${0%/*}/../told\"
             ! grep -q 'pi ALL=(ALL:ALL) .*: none' \"$2\"\nVISUDO
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
        let here = |verb: &str| {
            format!("cd {0}\nroot={0}/root\n{1}{2}", self.dir, one.on_master, one.text(verb))
        };
        Task::new(one.id, &one.summary).probe(here("probe")).wanted(one.wanted).apply(here("apply"))
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
        let both = done_on_both(site);
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
        let both = done_on_both(site);
        let script = format!("root={}/root\n{}", root.dir, both[0].text("apply"));
        let output = Cmd::new("sh").stdin(script).output().expect("sh");
        assert!(!output.status.success());
        assert!(output.stderr.contains("no time zone Europe/Atlantis"), "{}", output.stderr);
    });
}

#[test]
fn the_master_has_it_before_it_is_cloned() {
    with_cluster(&format!("{LAB}{SYSTEM}"), |site| {
        let plan = feeder_plan::plan(&crate::steps(site), &feeder_plan::Facts::default())
            .expect("they make sense");
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

/// `hunter2`, with salts of their own.
const HASH: &str = "$y$j9T$7x.m/e9rqFSRFCKM5Dbqn.$PHBZZltBUMqsiHm8M2zSWLybcgQQapszqRXW30mYeZ3";
const OTHER: &str = "$6$a8Sz5Gk1$CKvLn/S/CwFOrYhtmpRLLMp/Mo7iQ4Ym.L1TpiVOvIf.hlCs6uCM7mcvU68sMr9Wrdod6Ls0fRQ..1tqqC9.s0";

/// Runs with a cluster whose user has that hash, whose sudo asks for that password, and which refuses passwords over SSH.
fn with_login(hash: &str, password: &str, run: impl FnOnce(&Site<'_>)) {
    let guard = tempfile::tempdir().expect("a folder");
    let reference = |name: &str, value: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = guard.path().join(name);
        fs_err::write(&path, value).expect("a file");
        let mode = std::fs::Permissions::from_mode(0o600);
        fs_err::set_permissions(&path, mode).expect("its mode");
        format!("\"file:{}\"", path.display())
    };
    let sudo = format!("[master]\nsudo-password = {}", reference("password", password));
    let system = format!(
        "[system]\npassword = {}\nsudo = \"with-password\"\npassword-login = false\n",
        reference("hash", hash)
    );
    let text = format!("{}{system}", LAB.replace("[master]", &sudo));
    with_cluster(&text, run);
}

/// Changes what is not so, or says why it cannot.
fn apply(root: &Root, both: &[Both]) -> Result<usize, String> {
    let steps = [Step::new("base").with_all(both.iter().map(|one| root.task(one)))];
    let report = run(&root.host, &steps, Mode::Apply, &mut |_| {});
    report.map(|report| report.changed()).map_err(|error| error.to_string())
}

#[test]
fn the_user_logs_in_and_becomes_root_as_is_said() {
    with_login(HASH, "hunter2", |site| {
        let root = Root::new();
        let both = done_on_both(site);
        assert_eq!(apply(&root, &both), Ok(3));
        assert_eq!(apply(&root, &both), Ok(0));
        insta::assert_snapshot!(
            "login",
            root.sh("cd root/etc; for file in shadow sudoers.d/* ssh/sshd_config.d/*; do stat -c '%n (%a):' $file; cat $file; done; ls -A sudoers.d")
        );
        let told = root.sh("cat told");
        assert!(told.contains("chpasswd --encrypted") && told.contains("visudo -cf"), "{told}");
        assert!(!told.contains("hunter2") && !told.contains("$y$"), "{told}");
    });
}

#[test]
fn a_password_that_is_another_is_told_by_plans_and_never_shown() {
    with_login(OTHER, "hunter2", |site| {
        let root = Root::new();
        let step = || [Step::new(NAME).with(root.task(&done_on_both(site)[0]))];
        let planned = || {
            let facts = feeder_plan::gather(&root.host, &step()).expect("it answers");
            let plan = feeder_plan::plan(&step(), &facts).expect("it makes sense");
            let json = serde_json::to_string(&plan).expect("JSON");
            let shown = format!("{plan} {plan:?} {json} {:?} {:?}", part(site), site);
            for secret in ["hunter2", OTHER, HASH, "$6$"] {
                assert!(!shown.contains(secret), "{shown}");
            }
            let texts: Vec<String> =
                plan.changes().map(|(_, change)| change.text.clone()).collect();
            texts.join("\n")
        };
        assert_eq!(planned(), "password of pi: none → as given");
        root.sh(&format!("sed -i 's,^pi:!,pi:{HASH},' root/etc/shadow"));
        assert_eq!(planned(), "password of pi: another → as given");
        root.sh(&format!("sed -i 's,{HASH},{OTHER},' root/etc/shadow"));
        assert_eq!(planned(), "");
    });
}

#[test]
fn sudo_asks_for_no_password_that_whoever_provisions_does_not_know() {
    with_login(HASH, "hunter3", |site| {
        let root = Root::new();
        let refused = apply(&root, &done_on_both(site)).expect_err("it is another");
        assert!(refused.contains("is not the password of pi here"), "{refused}");
        assert!(!refused.contains("hunter"), "{refused}");
        assert_eq!(root.sh("ls -A root/etc/sudoers.d"), "");
    });
    // An account whose password is locked has none.
    with_login(HASH, "!", |site| {
        let root = Root::new();
        let sudo = [rule("pi", Sudo::WithPassword, site.secrets.sudo_password.as_ref())];
        assert!(apply(&root, &sudo).is_err());
    });
}

#[test]
fn a_rule_that_visudo_refuses_is_not_heard() {
    let root = Root::new();
    let mut wrong = rule("pi", Sudo::WithoutPassword, None);
    wrong.head = wrong.head.replace(": ALL", ": none");
    let refused = apply(&root, &[wrong]).expect_err("visudo says no");
    assert!(refused.contains("visudo does not take the rule"), "{refused}");
    assert_eq!(root.sh("ls -A root/etc/sudoers.d"), "");
}

#[test]
fn sudo_and_ssh_hear_what_is_said_whatever_else_the_image_has() {
    let root = Root::new();
    root.sh("echo 'pi ALL=(ALL) NOPASSWD: ALL' >root/etc/sudoers.d/010_pi-nopasswd; mkdir root/etc/ssh/sshd_config.d; echo 'PasswordAuthentication yes' >root/etc/ssh/sshd_config.d/50-cloud-init.conf");
    let both = [
        rule("pi", Sudo::WithoutPassword, None),
        password_login("pi", PasswordLogin::Allowed),
        password_login("pi", PasswordLogin::Refused),
    ];
    for one in both {
        assert_eq!(apply(&root, &[one]), Ok(1));
    }
    let order = root.sh("cd root/etc; LC_ALL=C ls sudoers.d | tail -n 1; LC_ALL=C ls ssh/sshd_config.d | head -n 1; grep -h '^P' ssh/sshd_config.d/00-feeder.conf; grep -h ALL sudoers.d/zz-feeder");
    insta::assert_snapshot!("heard", order);
}

#[test]
fn a_generation_has_the_hash_and_never_the_password() {
    with_login(HASH, "hunter2", |site| {
        let root = Root::new();
        let part = part(site);
        let all = part.in_generation.join("\n)\n(\n");
        assert!(all.contains(HASH) && !all.contains("hunter2"));
        let script = format!("set -u\nroot={}/root\n(\n{all}\n)", root.dir);
        root.sh(&script);
        let shadow = || root.sh("cat root/etc/shadow root/etc/sudoers.d/zz-feeder");
        let once = shadow();
        assert!(once.contains(&format!("pi:{HASH}:")) && once.contains(" PASSWD: ALL"), "{once}");
        root.sh(&script);
        assert_eq!(shadow(), once);
        let wanted = site.wanted;
        with_login(OTHER, "hunter2", |site| assert_ne!(site.wanted, wanted));
    });
}
