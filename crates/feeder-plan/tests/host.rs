//! The engine against this machine: real files, fake systemd and apt.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use feeder_plan::{
    Absent, Directory, Mode, Notify, Outcome, Phase, Resource, RunError, Step, Symlink, Task, Unit,
    apply, gather, run, verify,
};
use feeder_ui::Exit;
use support::{Machine, me};

/// What the module that serves boot files looks like, in short.
fn boot_server(machine: &Machine) -> [Step; 2] {
    let (user, group) = me();
    let config = machine.path("etc/dnsmasq.d/feeder.conf");
    [
        Step::new("boot-server")
            .title("dnsmasq")
            .packages(["dnsmasq", "rsync"])
            .with(Directory::new(machine.path("srv/tftp")).mode(0o750).owner(&user, &group))
            .with(machine.file(
                "etc/dnsmasq.d/feeder.conf",
                "port=0\npxe-service=0,\"Raspberry Pi Boot   \"\n",
            ))
            .with(Symlink::new(machine.path("srv/tftp/current"), "../boot/1"))
            .with(Absent::new(machine.path("etc/dnsmasq.d/old.conf")))
            .with(Unit::new("dnsmasq.service").enabled().active())
            .notify(Notify::restart("dnsmasq.service").when([config.as_str()])),
        Step::new("workers")
            .with(
                Task::new("state-cluster01", "worker cluster01: state image")
                    .probe(format!(
                        "if [ -s {0} ]; then echo present; else echo absent; fi",
                        machine.path("srv/state")
                    ))
                    .apply(format!("echo image >{}", machine.path("srv/state"))),
            )
            .with(machine.file("etc/token", "hunter2").secret())
            .after("boot-server"),
    ]
}

#[test]
fn from_nothing_to_as_wanted_and_then_nothing_to_do() {
    let machine = Machine::new();
    machine.write("fake/mirror", "dnsmasq\nrsync\n");
    machine.write("etc/dnsmasq.d/old.conf", "x");
    let steps = boot_server(&machine);

    let report = run(&machine.host, &steps, Mode::Plan, &mut |_| {}).unwrap();
    assert_eq!(report.exit(), Exit::NotAsWanted);
    insta::assert_snapshot!(
        "plan_from_nothing",
        machine.shown(report.plan.about("master, 192.168.10.100"))
    );
    assert!(!machine.path("srv").exists() && machine.log().is_empty(), "a plan changes nothing");

    let mut events = Vec::new();
    let report = run(&machine.host, &steps, Mode::Apply, &mut |event| {
        if !matches!(event.phase, Phase::Begin) {
            events.push(format!(
                "{} {} {:?}",
                event.step,
                machine.shown(&event.change.id),
                event.phase
            ));
        }
    })
    .unwrap();
    assert_eq!(report.exit(), Exit::Ok);
    insta::assert_snapshot!("events", events.join("\n"));
    insta::assert_snapshot!("asked_of_the_system", machine.log().join("\n"));
    assert_eq!(machine.read("etc/token"), "hunter2");
    assert_eq!(machine.path("etc/token").metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(machine.path("srv/tftp").metadata().unwrap().mode() & 0o7777, 0o750);
    assert!(!machine.path("etc/dnsmasq.d/old.conf").exists());

    let again = machine.apply(&steps).unwrap();
    assert!(again.plan.is_empty(), "{}", again.plan);
    assert_eq!(again.plan.as_wanted, 9);
    assert!(machine.log().is_empty(), "nothing to do, nothing asked");
}

#[test]
fn a_changed_file_is_shown_and_its_daemon_restarted_once() {
    let machine = Machine::new();
    machine.write("fake/mirror", "dnsmasq\nrsync\n");
    let steps = boot_server(&machine);
    machine.apply(&steps).unwrap();
    machine.log();
    machine.write("etc/dnsmasq.d/feeder.conf", "port=0\npxe-service=0,\"Raspberry Pi Boot\"\n");
    let plan = machine.plan(&steps);
    insta::assert_snapshot!("plan_with_a_difference", machine.shown(&plan));
    insta::assert_snapshot!(
        "plan_as_json",
        machine.shown(serde_json::to_string_pretty(&plan).unwrap())
    );
    machine.apply(&steps).unwrap();
    assert_eq!(machine.log(), ["systemctl restart dnsmasq.service"]);
    verify(&machine.host, &steps).unwrap();
}

#[test]
fn a_daemon_that_starts_now_is_not_restarted() {
    let machine = Machine::new();
    machine.unit("dnsmasq.service", "disabled", "inactive");
    machine.write("fake/packages/dnsmasq", "ii\n");
    machine.write("fake/packages/rsync", "ii\n");
    let steps = boot_server(&machine);
    machine.apply(&steps).unwrap();
    assert_eq!(
        machine.log(),
        [
            "systemctl is-enabled -q dnsmasq.service",
            "systemctl enable dnsmasq.service",
            "systemctl start dnsmasq.service"
        ]
    );
}

#[test]
fn modes_owners_and_kinds() {
    let machine = Machine::new();
    let (user, group) = me();
    machine.write("mode", "same");
    machine.write("was-file", "x");
    machine.write("was-link-target", "untouched");
    symlink("was-link-target", machine.path("was-link")).unwrap();
    symlink("elsewhere", machine.path("link")).unwrap();
    std::fs::create_dir(machine.path("folder")).unwrap();
    let steps = [Step::new("kinds")
        .with(machine.file("mode", "same").mode(0o4711))
        .with(machine.file("was-link", "a file now"))
        .with(machine.file("new/deep/file", [0u8, 255, 10, 13]))
        .with(Symlink::new(machine.path("was-file"), "/a b"))
        .with(Symlink::new(machine.path("link"), "here"))
        .with(Directory::new(machine.path("folder")).mode(0o700).owner(user, group))];
    insta::assert_snapshot!(
        "plan_of_kinds",
        machine.shown(machine.plan(&steps)).replace(&format!("{}:{}", me().0, me().1), "ME")
    );
    machine.apply(&steps).unwrap();
    verify(&machine.host, &steps).unwrap();
    assert_eq!(machine.read("was-link-target"), "untouched");
    assert_eq!(machine.path("mode").metadata().unwrap().permissions().mode() & 0o7777, 0o4711);
    assert_eq!(std::fs::read(machine.path("new/deep/file")).unwrap(), [0, 255, 10, 13]);
    assert_eq!(machine.names("new/deep"), ["file"]);
}

#[test]
fn what_is_in_the_way_is_left_alone() {
    let machine = Machine::new();
    machine.write("folder/precious", "x");
    let steps = [
        Step::new("a").with(machine.file("folder", "text")),
        Step::new("b").with(Absent::new(machine.path("folder/precious/none"))),
        Step::new("c").with(Absent::tree(machine.path("gone"))),
    ];
    machine.write("gone/with/all", "x");
    let Err(RunError::Apply(error)) = machine.apply(&steps) else { panic!("it must fail") };
    insta::assert_snapshot!("something_in_the_way", machine.shown(&error));
    assert_eq!(machine.read("folder/precious"), "x");
    assert!(!machine.path("gone").exists(), "the other steps go on");
}

#[test]
fn a_failure_stops_its_step_and_those_after_it_and_no_others() {
    let machine = Machine::new();
    machine.write("fake/mirror", "dnsmasq\nrsync\n");
    machine.write("fake/units/dnsmasq.service.broken", "");
    machine.write("fake/packages/dnsmasq", "ii\n");
    let mut steps = boot_server(&machine).to_vec();
    steps.push(Step::new("after-that").with(machine.file("x", "x")).after("workers"));
    steps.push(Step::new("alone").with(machine.file("y", "y")));
    let Err(RunError::Apply(error)) = machine.apply(&steps) else { panic!("it must fail") };
    insta::assert_snapshot!("a_failed_step", machine.shown(&error));
    assert!(!machine.path("x").exists() && machine.path("y").exists());
    let outcome = |name: &str| {
        error.applied.steps.iter().find(|step| step.step == name).unwrap().outcome.clone()
    };
    assert_eq!(outcome("alone"), Outcome::Changed { count: 1 });
    assert_eq!(outcome("after-that"), Outcome::Skipped { because: "workers".into() });

    // Mended, the next run goes on from there.
    std::fs::remove_file(machine.path("fake/units/dnsmasq.service.broken")).unwrap();
    machine.apply(&steps).unwrap();
    verify(&machine.host, &steps).unwrap();
}

#[test]
fn what_is_owed_is_done_by_the_next_run() {
    let machine = Machine::new();
    machine.unit("dnsmasq.service", "enabled", "active");
    machine.write("fake/packages/dnsmasq", "ii\n");
    machine.write("fake/packages/rsync", "ii\n");
    let steps = boot_server(&machine);
    machine.write("fake/units/dnsmasq.service.broken", "");
    machine.apply(&steps).unwrap_err();
    std::fs::remove_file(machine.path("fake/units/dnsmasq.service.broken")).unwrap();
    // The daemon is up again by other means; the restart is owed all the same.
    machine.unit("dnsmasq.service", "enabled", "active");
    machine.log();
    let plan = machine.plan(&steps[..1]);
    insta::assert_snapshot!("plan_of_what_is_owed", machine.shown(plan));
    machine.apply(&steps).unwrap();
    assert_eq!(machine.log(), ["systemctl restart dnsmasq.service"]);
}

#[test]
fn units_are_read_again_before_they_are_used_and_only_once() {
    let machine = Machine::new();
    machine.write("run/pending/daemon-reload", "");
    machine.unit("a.service", "disabled", "inactive");
    let steps = [Step::new("a").with(Unit::new("a.service").enabled().active())];
    machine.apply(&steps).unwrap();
    assert_eq!(
        machine.log(),
        [
            "systemctl daemon-reload",
            "systemctl is-enabled -q a.service",
            "systemctl enable a.service",
            "systemctl start a.service"
        ]
    );
    // Owed by a run that was cut off, and nothing else to do.
    machine.write("run/pending/daemon-reload", "");
    insta::assert_snapshot!("plan_of_a_reload", machine.plan(&steps));
    machine.apply(&steps).unwrap();
    assert_eq!(machine.log(), ["systemctl daemon-reload"]);
    verify(&machine.host, &steps).unwrap();
}

#[test]
fn every_state_of_a_unit() {
    let machine = Machine::new();
    for (name, enabled, active) in [
        ("masked.service", "masked", "inactive"),
        ("static.service", "static", "active"),
        ("running.service", "enabled", "active"),
        ("failed.service", "enabled", "failed"),
    ] {
        machine.unit(name, enabled, active);
    }
    let steps = [Step::new("units")
        .with(Unit::new("masked.service").enabled().active())
        .with(Unit::new("static.service").enabled().active())
        .with(Unit::new("running.service").disabled().inactive())
        .with(Unit::new("failed.service").active())
        .with(Unit::new("none.service").disabled().inactive())
        .with(Unit::new("old.service").masked())];
    insta::assert_snapshot!("plan_of_units", machine.plan(&steps));
    machine.apply(&steps).unwrap();
    verify(&machine.host, &steps).unwrap();
    assert!(machine.apply(&steps).unwrap().plan.is_empty());
}

#[test]
fn a_package_that_nobody_has_fails_with_apts_words() {
    let machine = Machine::new();
    machine.write("fake/mirror", "rsync\n");
    machine.write("fake/packages/half", "iF\n");
    let steps = [Step::new("packages").packages(["rsync", "nonsense", "half"])];
    insta::assert_snapshot!("plan_of_packages", machine.plan(&steps));
    let Err(RunError::Apply(error)) = machine.apply(&steps) else { panic!("it must fail") };
    insta::assert_snapshot!("no_such_package", error);
}

#[test]
fn scripts_of_tasks_cannot_harm_each_other() {
    let machine = Machine::new();
    let steps = [
        Step::new("syntax").with(Task::new("a", "broken").probe("if then").apply("done")),
        Step::new("exit").with(Task::new("b", "leaves").probe("exit 4").apply("exit 5")),
        Step::new("stdin")
            .with(Task::new("c", "eats its input").probe("cat").wanted("").apply("cat")),
        Step::new("false").with(Task::new("d", "fails midway").apply("false\necho not reached")),
        Step::new("fine").with(
            Task::new("e", "works")
                .probe(format!("cat {} 2>/dev/null", machine.path("e")))
                .wanted("it's \"done\" $HOME")
                .apply(format!("cat >{} <<'E'\nit's \"done\" $HOME\nE", machine.path("e"))),
        ),
    ];
    let Err(RunError::Apply(error)) = machine.apply(&steps) else { panic!("it must fail") };
    let outcomes: Vec<String> = error
        .applied
        .steps
        .iter()
        .map(|step| match &step.outcome {
            Outcome::Failed { why, .. } => format!("{}: {why}", step.step),
            other => format!("{}: {other:?}", step.step),
        })
        .collect();
    insta::assert_snapshot!("tasks", outcomes.join("\n"));
    assert_eq!(machine.read("e"), "it's \"done\" $HOME\n");
}

#[test]
fn a_long_task_says_how_far_it_is() {
    let machine = Machine::new();
    let done = machine.path("done");
    let script = format!(
        "echo feeder-progress 10 30\necho copying\necho feeder-progress 30 30\necho feeder-progress much 3\n: >{done}"
    );
    let steps = [Step::new("copy").with(
        Task::new("copy", "a copy").probe(format!("[ ! -e {done} ] || echo present")).apply(script),
    )];
    let mut events = Vec::new();
    run(&machine.host, &steps, Mode::Apply, &mut |event| events.push(format!("{:?}", event.phase)))
        .unwrap();
    assert_eq!(
        events,
        [
            "Begin",
            "Moved(10, 30)",
            "Output(\"copying\")",
            "Moved(30, 30)",
            "Output(\"feeder-progress much 3\")",
            "Done"
        ]
    );
}

#[test]
fn a_task_that_never_gets_there_is_named() {
    let machine = Machine::new();
    let steps =
        [Step::new("swap").with(Task::new("swap", "no swap").probe("echo on").wanted("off"))];
    let error = machine.apply(&steps).unwrap_err();
    assert!(matches!(error, RunError::NotAsWanted(_)));
    insta::assert_snapshot!("never_as_wanted", error);
}

#[test]
fn a_change_that_calls_for_another_is_followed() {
    let machine = Machine::new();
    machine.write("second", "done");
    let second = machine.path("second");
    let steps = [
        Step::new("first").with(
            Task::new("one", "undoes the second")
                .probe(format!("cat {} 2>/dev/null", machine.path("first")))
                .wanted("done")
                .apply(format!("rm {second}; echo done >{}", machine.path("first"))),
        ),
        Step::new("second").with(
            Task::new("two", "the second")
                .probe(format!("cat {second} 2>/dev/null"))
                .wanted("done")
                .apply(format!("echo done >{second}")),
        ),
    ];
    let report = machine.apply(&steps).unwrap();
    assert_eq!((report.plan.to_change(), report.applied.len(), report.changed()), (1, 2, 2));
}

#[test]
fn a_script_is_run_when_what_it_waits_for_changed() {
    let machine = Machine::new();
    let exported = machine.path("exported");
    let steps = |content: &str| {
        [
            Step::new("exports").with(machine.file("etc/exports", content)),
            Step::new("nfs").notify(
                Notify::run("exportfs", "export again", format!("echo again >>{exported}"))
                    .when([format!("file:{}", machine.path("etc/exports"))]),
            ),
        ]
    };
    insta::assert_snapshot!("plan_of_a_script", machine.shown(machine.plan(&steps("a\n"))));
    for content in ["a\n", "a\n", "b\n"] {
        machine.apply(&steps(content)).unwrap();
    }
    assert_eq!(machine.read("exported"), "again\nagain\n");
}

#[test]
fn one_applies_at_a_time() {
    let machine = Machine::new();
    let steps = [Step::new("a").with(machine.file("x", "x"))];
    let plan = machine.plan(&steps);
    machine.write("run/lock", "");
    // Waiting for the lock takes time; a flock that gives up at once takes none.
    machine.program("flock", "#!/bin/sh\nexit 1\n");
    let error = apply(&machine.host, &plan, &mut |_| {}).unwrap_err();
    insta::assert_snapshot!("somebody_else", machine.shown(&error));
    assert!(!machine.path("x").exists());
}

#[test]
fn secrets_are_shown_nowhere() {
    let machine = Machine::new();
    machine.write("old", "old-hunter2");
    let secret = "new-hunter2";
    let steps = [Step::new("a")
        .with(machine.file("new", secret).secret())
        .with(machine.file("old", secret).secret())
        .with(Resource::Task(
            Task::new("t", "token").probe("echo absent #hunter2").apply("true hunter2"),
        ))];
    let facts = gather(&machine.host, &steps).unwrap();
    let plan = machine.plan(&steps);
    let mut said = format!(
        "{steps:?}{steps:#?}{facts:?}{plan}{plan:?}{}",
        serde_json::to_string(&plan).unwrap()
    );
    let error =
        run(&machine.host, &steps, Mode::Apply, &mut |event| said.push_str(&format!("{event:?}")))
            .unwrap_err();
    said.push_str(&format!("{error}{error:?}"));
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(machine.read("old"), secret);
}
