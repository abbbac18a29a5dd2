//! The scripts themselves: their text, what they cost, and the shells and tools that they run on.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod support;

use std::{collections::BTreeMap, os::unix::fs::symlink};

use feeder_plan::{
    Absent, Directory, File, Hostname, Mode, Notify, Resource, Step, Symlink, Task, Unit, apply,
    gather, gather_script, plan, run, verify,
};
use feeder_remote::{Host, Local, RemoteError};
use support::Machine;

/// A host that counts how often it is talked to.
struct Counting<'a>(&'a Machine, std::sync::atomic::AtomicUsize);

impl Host for Counting<'_> {
    fn name(&self) -> &str {
        self.0.host.name()
    }
    fn run(&self, script: &str) -> Result<feeder_process::Output, RemoteError> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.0.host.run(script)
    }
    fn stream(
        &self,
        script: &str,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<feeder_process::Output, RemoteError> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.0.host.stream(script, on_line)
    }
}

/// A host's worth of resources.
fn many(machine: &Machine) -> Vec<Step> {
    (0..10)
        .map(|n| {
            let mut step = Step::new(format!("step-{n}")).packages([format!("package-{n}")]);
            for m in 0..10 {
                step = step
                    .with(machine.file(&format!("many/{n}/{m}"), format!("{n} {m}\n")))
                    .with(Absent::new(machine.path(&format!("none/{n}/{m}"))));
            }
            step.with(Unit::new(format!("unit-{n}.service")).enabled().active())
        })
        .collect()
}

#[test]
fn a_host_as_wanted_costs_one_round_trip_and_four_processes() {
    let machine = Machine::new();
    let steps = many(&machine);
    let names: Vec<String> = (0..10).map(|n| format!("package-{n}\n")).collect();
    machine.write("fake/mirror", &names.concat());
    run(&machine.host, &steps, Mode::Apply, &mut |_| {}).unwrap();

    // Every program the script could start is one that leaves a trace.
    let tools = [
        "stat",
        "sha256sum",
        "base64",
        "readlink",
        "tr",
        "wc",
        "cat",
        "dpkg-query",
        "systemctl",
        "uname",
    ];
    for tool in tools {
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
            &format!("#!/bin/sh\necho {tool} >>\"$FAKE/started\"\nexec {real} \"$@\"\n"),
        );
    }
    let host = Counting(&machine, 0.into());
    let report = run(&host, &steps, Mode::Apply, &mut |_| {}).unwrap();
    assert!(report.plan.is_empty(), "{}", report.plan);
    assert_eq!(report.plan.as_wanted, 220);
    assert_eq!(host.1.into_inner(), 1);
    let started: Vec<String> = machine
        .read("fake/started")
        .lines()
        .filter(|tool| *tool != "cat")
        .map(str::to_owned)
        .collect();
    assert_eq!(started, ["stat", "sha256sum", "dpkg-query", "systemctl"]);
}

#[test]
fn the_scripts() {
    let steps = [Step::new("boot-server")
        .packages(["dnsmasq", "rsync"])
        .with(File::new("/etc/dnsmasq.d/feeder.conf", "port=0\n"))
        .with(File::new("/etc/it's", "token").secret().owner("root", "pi"))
        .with(Directory::new("/srv/tftp").mode(0o750))
        .with(Symlink::new("/etc/resolv.conf", "/run/x y"))
        .with(Absent::tree("/srv/old"))
        .with(File::new("/etc/systemd/system/dnsmasq.service.d/feeder.conf", "[Service]\n"))
        .with(Hostname::new("cluster00"))
        .with(Unit::new("dnsmasq.service").enabled().active())
        .with(Task::new("swap", "no swap").probe("swapon --show").wanted("").apply("swapoff -a"))
        .notify(Notify::restart("dnsmasq.service").when(["/etc/dnsmasq.d/feeder.conf"]))
        .notify(Notify::run("exportfs", "export again", "exportfs -ra").when(["package:rsync"]))];
    insta::assert_snapshot!("gather_script", gather_script(&steps));
    // A host with nothing on it, but a name and an odd unit.
    let facts = gather(&Answering(Default::default()), &steps).unwrap();
    let plan = plan(&steps, &facts).unwrap();
    insta::assert_snapshot!("plan_for_the_script", plan);
    let listening = Answering(Default::default());
    drop(apply(&listening, &plan, &mut |_| {}));
    insta::assert_snapshot!("apply_script", listening.0.lock().unwrap().join("\n"));
}

/// A host that answers a question with one fixed set of facts and keeps the scripts it is given.
struct Answering(std::sync::Mutex<Vec<String>>);

impl Host for Answering {
    fn name(&self) -> &str {
        "cluster00"
    }
    fn run(&self, _: &str) -> Result<feeder_process::Output, RemoteError> {
        let facts = "feeder-facts 1\nunits\nLoadState=masked\nActiveState=inactive\nSubState=dead\nUnitFileState=masked\nend\n\
            hostname\traspberrypi\traspberrypi\ntask\tswap\t0\t/swapfile\nfeeder-facts end\n";
        let status = feeder_process::Status { code: Some(0), signal: None };
        Ok(feeder_process::Output { status, stdout: facts.into(), stderr: String::new() })
    }
    fn stream(
        &self,
        script: &str,
        _: &mut dyn FnMut(&str),
    ) -> Result<feeder_process::Output, RemoteError> {
        self.0.lock().unwrap().push(script.to_owned());
        let status = feeder_process::Status { code: Some(0), signal: None };
        Ok(feeder_process::Output { status, stdout: Vec::new(), stderr: String::new() })
    }
}

#[test]
fn busybox_will_do() {
    let Some(busybox) = feeder_process::find_program("busybox") else {
        eprintln!("skipped busybox_will_do: no busybox on this machine");
        return;
    };
    let machine = Machine::new();
    let tools = "base64 cat chmod chown ln mkdir mv readlink rm rmdir sha256sum stat sync tr wc";
    for tool in tools.split(' ') {
        drop(std::fs::remove_file(machine.path("bin").join(tool)));
        symlink(&busybox, machine.path("bin").join(tool)).unwrap();
    }
    let mut machine = machine;
    machine.host = machine.host.clone().shell(["busybox", "sh"]);
    machine.write("t/was", "was\n");
    symlink("a", machine.path("t/link")).unwrap();
    let states: BTreeMap<&str, Resource> = BTreeMap::from([
        ("text", machine.file("t/text", "text\n").into()),
        ("bytes", machine.file("t/by\\x2dtes", vec![0u8, 1, 255]).mode(0o4755).into()),
        ("was", machine.file("t/was", "is\n").secret().into()),
        ("link", Symlink::new(machine.path("t/link"), "b").into()),
        (
            "task",
            Task::new("t", "task")
                .probe(format!("cat {} 2>/dev/null", machine.path("t/task")))
                .wanted("x")
                .apply(format!("echo x >{}", machine.path("t/task")))
                .into(),
        ),
    ]);
    let steps = [Step::new("all").with_all(states.into_values())];
    insta::assert_snapshot!("plan_with_busybox", machine.shown(machine.plan(&steps)));
    run(&machine.host, &steps, Mode::Apply, &mut |_| {}).unwrap();
    verify(&machine.host, &steps).unwrap();
}

#[test]
fn the_real_dpkg_is_understood() {
    if feeder_process::find_program("dpkg-query").is_none() {
        eprintln!("skipped the_real_dpkg_is_understood: no dpkg on this machine");
        return;
    }
    let steps = [Step::new("real").packages(["dpkg", "no-such-package"])];
    let facts = gather(&Local::new("here"), &steps).unwrap();
    let plan = plan(&steps, &facts).unwrap();
    let texts: Vec<&str> = plan.changes().map(|(_, change)| change.text.as_str()).collect();
    assert_eq!((plan.as_wanted, texts), (1, vec!["package no-such-package"]));
    assert!(facts.packages["dpkg"].version.starts_with(|c: char| c.is_ascii_digit()));
}

#[test]
fn a_host_without_dpkg_or_systemd_is_told_so() {
    let machine = Machine::new();
    machine.program(
        "systemctl",
        "#!/bin/sh\necho 'System has not been booted with systemd' >&2; exit 1\n",
    );
    let steps = [Step::new("a").with(Unit::new("ssh.service").active())];
    insta::assert_snapshot!("no_systemd", gather(&machine.host, &steps).unwrap_err());

    let bare = machine.path("bare");
    std::fs::create_dir(&bare).unwrap();
    for tool in ["sh", "head", "stat"] {
        symlink(feeder_process::find_program(tool).unwrap(), bare.join(tool)).unwrap();
    }
    let steps = [Step::new("a").packages(["rsync"])];
    let host = Local::new("router").env("PATH", bare.as_str());
    insta::assert_snapshot!("no_dpkg", gather(&host, &steps).unwrap_err());

    let steps = [Step::new("a").with(Task::new("t", "t").probe("echo one; echo two"))];
    insta::assert_snapshot!("two_lines", gather(&machine.host, &steps).unwrap_err());
}
