//! Real QEMU: what a machine does from power-on to its end.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, too")]

mod bench;

use std::time::Duration;

use bench::{Bench, qemu};
use feeder_machine::{Machine, MachineError, Spec, State, StopReason, qapi};
use feeder_process::Cmd;
use feeder_ui::{Exit, Expected};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

/// Everything a machine does, on either kind of machine.
fn lives(spec: &Spec) {
    // By its own wish, off …
    let machine = Machine::power_on(spec.clone()).unwrap();
    let console = machine.console();
    console.expect("hi\n", &mut || true).unwrap();
    assert_eq!(machine.state(), State::Running);
    console.send("xyz").unwrap();
    console.expect("xyz", &mut || true).unwrap();
    // … after it has worked: it polls its console.
    let worked = || machine.cpu_time().unwrap();
    console.expect("never", &mut || worked() < Duration::from_millis(300)).unwrap_err();
    assert!(worked() >= Duration::from_millis(300));
    console.send("o").unwrap();
    assert_eq!(machine.wait_stopped(&mut || true), Some(StopReason::GuestShutdown));
    assert_eq!(machine.state(), State::Stopped(StopReason::GuestShutdown));
    assert!(worked() >= Duration::from_millis(300), "the time is not lost with the machine");
    assert_eq!(machine.cut(), StopReason::GuestShutdown);
    drop(machine);

    // A reset ends it, instead of booting behind the back of the firmware.
    let machine = Machine::power_on(spec.clone()).unwrap();
    machine.console().expect("hi\n", &mut || true).unwrap();
    machine.console().send("r").unwrap();
    assert_eq!(machine.wait_stopped(&mut || true), Some(StopReason::GuestReset));
    drop(machine);

    // A power cut.
    let machine = Machine::power_on(spec.clone()).unwrap();
    assert_eq!(machine.wait_stopped(&mut || false), None);
    let qemu = watch(machine.pid());
    assert_eq!(machine.cut(), StopReason::Killed);
    assert!(ends_within(&qemu, 0));

    let log = |name: &str| fs_err::read_to_string(spec.dir.join(name)).unwrap();
    assert_eq!(log("console.log").matches("hi\n").count(), 3, "one log goes on over three lives");
    assert!(log("qmp.jsonl").contains(r#""event": "SHUTDOWN""#));
    assert!(log("command.sh").starts_with("qemu-system-aarch64 "));
    let sockets: Vec<_> = fs_err::read_dir(&spec.sockets).unwrap().collect();
    assert!(sockets.is_empty(), "left behind: {sockets:?}");
}

fn watch(pid: u32) -> std::os::fd::OwnedFd {
    pidfd_open(Pid::from_raw(pid.try_into().unwrap()).unwrap(), PidfdFlags::empty()).unwrap()
}

fn ends_within(process: &std::os::fd::OwnedFd, seconds: i64) -> bool {
    let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

#[test]
fn a_virt_machine_lives() {
    if qemu() {
        lives(&Bench::new().virt());
    }
}

#[test]
fn a_raspi3b_lives() {
    if qemu() {
        lives(&Bench::new().raspi3b());
    }
}

#[test]
fn quitting_and_crashing_are_told_apart() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    let machine = Machine::power_on(bench.virt()).unwrap();
    machine.qmp().execute(qapi::qmp::quit {}).unwrap();
    assert_eq!(machine.wait_stopped(&mut || true), Some(StopReason::Killed));
    machine.power_off().unwrap_err();
    drop(machine);

    let machine = Machine::power_on(bench.virt()).unwrap();
    kill_process(Pid::from_raw(machine.pid().try_into().unwrap()).unwrap(), Signal::SEGV).unwrap();
    let err = machine.console().expect("never", &mut || true).unwrap_err();
    assert!(err.to_string().contains("the machine stopped"), "{err}");
    let Some(StopReason::Crashed { status, .. }) = machine.wait_stopped(&mut || true) else {
        panic!()
    };
    assert_eq!(status.signal, Some(11));
}

#[test]
fn what_qemu_does_not_like_it_says() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    let mut spec = bench.virt();
    spec.profile.processor = Some("z80".into());
    let err = Machine::power_on(spec).err().unwrap();
    assert!(matches!(&err, MachineError::Exited { stderr, .. } if stderr.contains("z80")), "{err}");
    assert!(err.hint().unwrap().starts_with("try it by hand: qemu-system-aarch64 "));
}

#[test]
fn a_host_without_qemu_is_told_what_to_do() {
    let bench = Bench::new();
    let mut spec = bench.virt();
    spec.profile.emulator = "qemu-system-not-there".into();
    let err = Machine::power_on(spec).err().unwrap();
    assert_eq!(err.exit(), Exit::Host);
    assert!(err.to_string().contains("`qemu-system-not-there` was not found"), "{err}");
    assert!(err.hint().unwrap().contains("cargo xtask setup"));
}

#[test]
fn kill_nine_of_the_owner_leaves_no_qemu() {
    const AS_OWNER: &str = "FEEDER_TEST_OWNER";
    if let Some(tell) = std::env::var_os(AS_OWNER) {
        let bench = Bench::new();
        // From a thread that ends: the machine must not end with it.
        let spec = bench.virt();
        let machine = std::thread::spawn(|| Machine::power_on(spec).unwrap()).join().unwrap();
        machine.console().expect("hi\n", &mut || true).unwrap();
        std::fs::write(tell, format!("{}\n{}\n", machine.pid(), bench.dir())).unwrap();
        machine.wait_stopped(&mut || true);
        return;
    }
    if !qemu() {
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let fifo = tmp.path().join("pid");
    Cmd::new("mkfifo").arg(&fifo).run().unwrap();
    let owner = Cmd::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill_nine_of_the_owner_leaves_no_qemu", "--nocapture"])
        .env(AS_OWNER, &fifo)
        .spawn()
        .unwrap();
    let told = std::fs::read_to_string(&fifo).unwrap();
    let (qemu, left) = told.trim().split_once('\n').unwrap();
    let qemu = watch(qemu.parse().unwrap());
    assert!(!ends_within(&qemu, 1), "it ended with the thread that powered it on");
    kill_process(Pid::from_raw(owner.pid().try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert!(ends_within(&qemu, 20));
    // What a killed owner could not tidy up.
    fs_err::remove_dir_all(left).unwrap();
}
