//! What must hold whatever is wanted, whatever is found, and wherever it is cut off.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::os::unix::fs::symlink;

use camino::Utf8Path;
use feeder_plan::{
    Absent, Directory, Mode, Notify, Resource, RunError, Sign, Step, Symlink, Unit, apply, gather,
    plan, run, verify,
};
use proptest::prelude::*;
use support::{Machine, me};

/// What is at a path before.
#[derive(Debug, Clone)]
enum Found {
    Nothing,
    File(Vec<u8>),
    Folder { with_a_file: bool },
    Link(String),
}

/// What is wanted there.
#[derive(Debug, Clone)]
enum Wanted {
    File { content: Vec<u8>, mode: u32, secret: bool },
    Folder { mode: u32 },
    Link(String),
    Nothing { tree: bool },
}

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![
        Just(Found::Nothing),
        prop_oneof![Just(b"same\n".to_vec()), any::<Vec<u8>>()].prop_map(Found::File),
        any::<bool>().prop_map(|with_a_file| Found::Folder { with_a_file }),
        "[a-z /]{1,8}".prop_map(Found::Link),
    ]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let content = prop_oneof![Just(b"same\n".to_vec()), any::<Vec<u8>>()];
    prop_oneof![
        (content, 0u32..0o10000, any::<bool>()).prop_map(|(content, mode, secret)| Wanted::File {
            content,
            mode,
            secret
        }),
        // A folder nobody may enter cannot be looked into by who is not root.
        (0o700u32..0o2000).prop_map(|mode| Wanted::Folder { mode: mode | 0o700 }),
        "[a-z '\"$]{1,8}".prop_map(Wanted::Link),
        any::<bool>().prop_map(|tree| Wanted::Nothing { tree }),
    ]
}

/// Names that shells, stat and sha256sum have their own ideas about.
fn name() -> impl Strategy<Value = String> {
    "[a-z~#-][ '\"$*?\\\\\u{e4}{}!;&|()-]{0,3}[a-z]"
}

fn prepare(machine: &Machine, path: &Utf8Path, found: &Found) {
    match found {
        Found::Nothing => {}
        Found::File(content) => std::fs::write(path, content).unwrap(),
        Found::Link(target) => symlink(target, path).unwrap(),
        Found::Folder { with_a_file } => {
            std::fs::create_dir(path).unwrap();
            if *with_a_file {
                std::fs::write(path.join("inside"), "x").unwrap();
            }
        }
    }
    assert!(path.starts_with(&machine.root));
}

fn resource(machine: &Machine, name: &str, wanted: &Wanted) -> Resource {
    let path = machine.path("t").join(name);
    let (user, group) = me();
    match wanted {
        Wanted::File { content, mode, secret } => {
            let file = machine.file(&format!("t/{name}"), content.clone());
            if *secret { file.secret().mode(*mode) } else { file.mode(*mode) }.into()
        }
        Wanted::Folder { mode } => Directory::new(path).mode(*mode).owner(user, group).into(),
        Wanted::Link(target) => Symlink::new(path, target).into(),
        Wanted::Nothing { tree: true } => Absent::tree(path).into(),
        Wanted::Nothing { tree: false } => Absent::new(path).into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_that_was_applied_is_empty(
        paths in proptest::collection::btree_map(name(), (found(), wanted()), 1..6)
    ) {
        let machine = Machine::new();
        std::fs::create_dir(machine.path("t")).unwrap();
        let mut step = Step::new("all");
        for (name, (found, wanted)) in &paths {
            prepare(&machine, &machine.path("t").join(name), found);
            step = step.with(resource(&machine, name, wanted));
        }
        let steps = [step];
        let first = plan(&steps, &gather(&machine.host, &steps).unwrap()).unwrap();
        let full = paths.values().any(|(found, wanted)| {
            matches!((found, wanted), (Found::Folder { with_a_file: true }, Wanted::Nothing { tree: false }))
        });
        let blocked = first.changes().any(|(_, change)| change.sign == Sign::Blocked);
        let result = run(&machine.host, &steps, Mode::Apply, &mut |_| {});
        if full || blocked {
            prop_assert!(matches!(result, Err(RunError::Apply(_))));
        } else {
            prop_assert!(result.is_ok(), "{}\n{}", first, result.unwrap_err());
            let second = plan(&steps, &gather(&machine.host, &steps).unwrap()).unwrap();
            prop_assert!(second.is_empty(), "{}", second);
            let left: Vec<String> =
                machine.names("t").into_iter().filter(|name| name.contains("feeder-new")).collect();
            prop_assert!(left.is_empty(), "{:?}", left);
        }
    }
}

/// Tools whose every call is a moment at which we can be killed.
const TOOLS: [&str; 12] = [
    "mv",
    "rm",
    "chmod",
    "chown",
    "base64",
    "sync",
    "ln",
    "mkdir",
    "install",
    "systemctl",
    "apt-get",
    "rmdir",
];

/// A tool in front of the real one that kills its whole process group when its turn comes.
fn deadly(machine: &Machine) {
    for tool in TOOLS {
        let fake = machine.path("bin").join(tool);
        let real = if fake.exists() {
            let real = machine.path("bin").join(format!("real-{tool}"));
            std::fs::rename(&fake, &real).unwrap();
            real.to_string()
        } else {
            feeder_process::find_program(tool).unwrap().to_str().unwrap().to_owned()
        };
        machine.program(
            tool,
            &format!(
                "#!/bin/sh\n\
                 tick() {{ read -r n <\"$FAKE/life\"; [ \"$n\" != 0 ] || kill -9 0; echo $((n - 1)) >\"$FAKE/life\"; }}\n\
                 tick\nexec {real} \"$@\"\n"
            ),
        );
    }
}

#[test]
fn killed_anywhere_nothing_is_half_written_and_the_next_run_goes_on() {
    let old = "old\n";
    let new = "new ".repeat(3000);
    let mut kills = 0;
    for life in 0.. {
        let machine = Machine::new();
        machine.write("etc/app.conf", old);
        machine.write("etc/app.token", old);
        machine.write("etc/stale", old);
        machine.write("fake/mirror", "rsync\n");
        machine.unit("app.service", "enabled", "active");
        machine.write("fake/app.service.config", machine.path("etc/app.conf").as_str());
        machine.write("fake/units/app.service.read", old);
        symlink("one", machine.path("etc/link")).unwrap();
        let (user, group) = me();
        let steps = [
            Step::new("app")
                .packages(["rsync"])
                .with(Directory::new(machine.path("etc/deep/er")).mode(0o750).owner(user, group))
                .with(machine.file("etc/app.conf", new.as_str()))
                .with(machine.file("etc/app.token", "hunter2").secret())
                .with(machine.file("etc/deep/er/file", new.as_str()))
                .with(Symlink::new(machine.path("etc/link"), "two"))
                .with(Absent::new(machine.path("etc/stale")))
                .with(Unit::new("app.service").enabled().active())
                .notify(
                    Notify::restart("app.service").when([machine.path("etc/app.conf").as_str()]),
                ),
            Step::new("after").with(machine.file("etc/after", "x")).after("app"),
        ];
        let plan = machine.plan(&steps);
        deadly(&machine);
        machine.write("fake/life", &format!("{life}\n"));
        let survived = apply(&machine.host, &plan, &mut |_| {}).is_ok();

        let whole = |name: &str, states: [Option<&str>; 2]| {
            let found = std::fs::read_to_string(machine.path(name)).ok();
            assert!(states.contains(&found.as_deref()), "{name} after {life} moments: {found:?}");
        };
        whole("etc/app.conf", [Some(old), Some(&new)]);
        whole("etc/app.token", [Some(old), Some("hunter2")]);
        whole("etc/deep/er/file", [None, Some(&new)]);
        whole("etc/after", [None, Some("x")]);
        let target = std::fs::read_link(machine.path("etc/link")).unwrap();
        assert!(["one", "two"].contains(&target.to_str().unwrap()));
        assert_secret(&machine);

        machine.write("fake/life", "-1\n");
        run(&machine.host, &steps, Mode::Apply, &mut |_| {}).unwrap();
        verify(&machine.host, &steps).unwrap();
        assert_eq!(
            machine.read("fake/units/app.service.read"),
            new,
            "the daemon has read it, after {life} moments"
        );
        assert_eq!(machine.names("etc"), ["after", "app.conf", "app.token", "deep", "link"]);
        if survived {
            break;
        }
        kills += 1;
    }
    assert!(kills > 25, "{kills} moments are too few for all these changes");
}

/// Nobody else can read a secret, whatever name it has at the moment.
fn assert_secret(machine: &Machine) {
    use std::os::unix::fs::MetadataExt;
    for name in machine.names("etc") {
        let path = machine.path("etc").join(name);
        if std::fs::read(&path).is_ok_and(|content| content.starts_with(b"hunter")) {
            assert_eq!(path.metadata().unwrap().mode() & 0o077, 0, "{path}");
        }
    }
}
