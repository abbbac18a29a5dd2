//! Nothing outlives us: not a child, not its children, not even when we are killed.
//!
//! The tests about our own death start this test binary again, as the process that dies.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, too")]

use std::{
    io::{BufRead, BufReader},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use feeder_process::{Cmd, ProcessError, interrupt};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

const SOON: Duration = Duration::from_secs(20);

/// A handle on a process that stays true when its number is used again.
fn watch(pid: &str) -> OwnedFd {
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

fn ends_within(process: &OwnedFd, limit: Duration) -> bool {
    let limit = Timespec { tv_sec: limit.as_secs().try_into().unwrap(), tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

/// A named pipe: reading a line from it waits for somebody to write one.
fn fifo(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    Cmd::new("mkfifo").arg(&path).run().unwrap();
    path
}

fn line(fifo: &Path) -> String {
    let mut line = String::new();
    BufReader::new(std::fs::File::open(fifo).unwrap()).read_line(&mut line).unwrap();
    line
}

/// A shell that starts a grandchild, tells its number and waits for it.
fn with_grandchild(fifo: &Path) -> Cmd {
    Cmd::new("sh").args(["-c", r#"sleep 1000 & echo $! > "$1"; wait"#, "sh"]).arg(fifo)
}

/// This binary again, running only `test` with `variable` set.
fn this_test_as(test: &str, variable: &str, value: &Path) -> Cmd {
    Cmd::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(variable, value)
}

#[test]
fn a_grandchild_is_killed_with_the_group() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = fifo(dir.path(), "pid");
    let child = with_grandchild(&fifo).spawn().unwrap();
    let grandchild = watch(&line(&fifo));
    assert_eq!(child.try_wait(), None);
    assert_eq!(child.kill().signal, Some(9));
    assert!(ends_within(&grandchild, SOON));
}

#[test]
fn dropping_is_killing() {
    let child = Cmd::new("sleep").arg("1000").spawn().unwrap();
    let process = watch(&child.pid().to_string());
    drop(child);
    assert!(ends_within(&process, Duration::ZERO));
}

#[test]
fn what_a_program_leaves_in_its_group_ends_with_it() {
    let grandchild = Cmd::new("sh").args(["-c", "sleep 1000 & echo $!"]).run().unwrap();
    let pid = grandchild.stdout_text();
    let gone = || !Path::new("/proc").join(pid.trim()).exists();
    assert!(gone() || ends_within(&watch(&pid), SOON));
}

#[test]
fn terminate_asks_first_and_insists_later() {
    let dir = tempfile::tempdir().unwrap();
    let ready = fifo(dir.path(), "ready");
    let trapping = |trap: &str| {
        let script = format!("trap '{trap}' TERM; echo > \"$1\"; while :; do sleep 0.1; done");
        let child = Cmd::new("sh").args(["-c", &script, "sh"]).arg(&ready).spawn().unwrap();
        line(&ready);
        child
    };
    assert_eq!(trapping("echo bye >&2; exit 5").terminate(SOON).code, Some(5));
    let child = trapping("echo bye >&2; exit 5");
    child.terminate(SOON);
    assert_eq!(child.stderr_tail().lines().last(), Some("bye"));
    assert_eq!(trapping(":").terminate(Duration::from_millis(300)).signal, Some(9));
}

#[test]
fn kill_nine_of_the_owner_leaves_no_child() {
    const AS_OWNER: &str = "FEEDER_TEST_OWNER";
    if let Some(fifo) = std::env::var_os(AS_OWNER) {
        // Started from a thread that ends at once: the child must live on nevertheless.
        let spawn = || Cmd::new("sleep").arg("1000").spawn().unwrap();
        let child = std::thread::spawn(spawn).join().unwrap();
        std::fs::write(fifo, format!("{} {}\n", std::process::id(), child.pid())).unwrap();
        child.wait();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let fifo = fifo(dir.path(), "pids");
    let owner = this_test_as("kill_nine_of_the_owner_leaves_no_child", AS_OWNER, &fifo);
    let _owner = owner.spawn().unwrap();
    let line = line(&fifo);
    let (owner, child) = line.split_once(' ').unwrap();
    let child = watch(child);
    assert!(!ends_within(&child, Duration::from_secs(1)), "died with the thread that asked for it");
    // The owner alone, not its group: the group would not reach the child, which leads its own, but make it plain.
    kill_process(Pid::from_raw(owner.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    assert!(ends_within(&child, SOON));
}

#[test]
fn a_signal_ends_the_wait_and_the_group() {
    const AS_WAITER: &str = "FEEDER_TEST_WAITER";
    if let Some(fifo) = std::env::var_os(AS_WAITER) {
        interrupt::install();
        let err = with_grandchild(fifo.as_ref()).run().unwrap_err();
        assert!(matches!(err, ProcessError::Interrupted { .. }), "{err}");
        assert!(interrupt::requested() && interrupt::wait_timeout(SOON));
        let err = Cmd::new("true").run().unwrap_err();
        assert!(matches!(err, ProcessError::Interrupted { .. }), "{err}");
        Cmd::new("true").even_if_interrupted().run().unwrap();
        std::process::exit(42);
    }
    let dir = tempfile::tempdir().unwrap();
    let fifo = fifo(dir.path(), "pid");
    let waiter =
        this_test_as("a_signal_ends_the_wait_and_the_group", AS_WAITER, &fifo).spawn().unwrap();
    let grandchild = watch(&line(&fifo));
    let pid = Pid::from_raw(waiter.pid().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(
        waiter.wait_timeout(SOON).and_then(|s| s.code),
        Some(42),
        "{}",
        waiter.stderr_tail()
    );
    assert!(ends_within(&grandchild, SOON));
}

#[test]
fn the_second_signal_exits_at_once() {
    const AS_STUBBORN: &str = "FEEDER_TEST_STUBBORN";
    if let Some(fifo) = std::env::var_os(AS_STUBBORN) {
        interrupt::install();
        let child = with_grandchild(fifo.as_ref()).spawn().unwrap();
        if interrupt::wait_timeout(SOON) {
            std::fs::write(Path::new(&fifo).with_extension("asked"), "asked\n").unwrap();
            child.wait(); // does not end by itself
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Two pipes: whoever opens one again may still meet its first writer, and then its end.
    let (fifo, asked) = (fifo(dir.path(), "pid"), fifo(dir.path(), "pid.asked"));
    let stubborn =
        this_test_as("the_second_signal_exits_at_once", AS_STUBBORN, &fifo).spawn().unwrap();
    let grandchild = watch(&line(&fifo));
    let pid = Pid::from_raw(stubborn.pid().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(line(&asked), "asked\n");
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(stubborn.wait_timeout(SOON).and_then(|s| s.code), Some(130));
    assert!(ends_within(&grandchild, SOON));
}

#[test]
#[cfg(target_os = "linux")]
fn a_batch_job_is_scheduled_as_one() {
    // proc(5): `policy`, of which 3 is SCHED_BATCH (sched.h).
    let policy = |cmd: fn(Cmd) -> Cmd| {
        let guard = tempfile::tempdir().unwrap();
        let file = guard.path().join("policy");
        let script = "cut -d ' ' -f 41 /proc/self/stat >\"$1\"";
        let child = cmd(Cmd::new("sh").args(["-c", script, "sh"]).arg(&file)).spawn().unwrap();
        assert_eq!(child.wait().code, Some(0));
        std::fs::read_to_string(file).unwrap()
    };
    assert_eq!(policy(Cmd::batch), "3\n");
    assert_eq!(policy(|cmd| cmd), "0\n");
}
