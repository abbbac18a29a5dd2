//! The law of deadlines on real QEMU: a wedged guest is judged the same with and without busy loops beside it.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, too")]

use std::{io::Write, time::Duration};

use camino::Utf8Path;
use feeder_machine::{Accel, Machine, Profile, Spec};
use feeder_process::{Child, Cmd};
use feeder_scenario::{
    Budget, Clock, Deadline, Expiry, Progress, Reading, RunClock, STARVED_SHARE,
};

const BUDGET: Budget = Budget(Duration::from_millis(400));
/// Beside the guest on one processor, they leave it less than the quarter of the time that the law without starvation needs.
const BUSY_LOOPS: usize = 5;

/// The first processor that we may use. With everything on one, so many busy loops are a load on any host.
fn one_processor() -> String {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    allowed.trim().split([',', '-']).next().unwrap().to_owned()
}

fn busy_loop(processor: &str) -> Child {
    let args = ["-c", processor, "sh", "-c", "while :; do :; done"];
    Cmd::new("taskset").args(args).spawn().unwrap()
}

/// A guest of two instructions.
fn power_on(dir: &Utf8Path, name: &str, code: [u32; 2]) -> Machine {
    let kernel = dir.join(format!("{name}.img"));
    fs_err::write(&kernel, code.map(u32::to_le_bytes).concat()).unwrap();
    Machine::power_on(Spec {
        name: name.into(),
        profile: Profile { memory_mib: Some(64), processors: Some(1), ..Profile::virt() },
        kernel,
        initrd: None,
        dtb: None,
        command_line: String::new(),
        disks: Vec::new(),
        nic: None,
        dir: dir.join(name),
        sockets: dir.join("s"),
        accel: Accel::Tcg,
    })
    .unwrap()
}

/// How a wait for something that never comes ends, what it spent, and what had come by then.
fn judged(machine: &Machine) -> (Expiry, Duration, Progress) {
    let clock = RunClock::new();
    let look = || Progress {
        clocks: Reading { wall: clock.now(), guest: machine.cpu_time().unwrap() },
        starved: machine.starved(),
    };
    let start = look();
    let deadline = Deadline::new(start, BUDGET);
    loop {
        let now = look();
        if let Some(expiry) = deadline.expired(now) {
            return (expiry, deadline.spent(now), now.since(start));
        }
        clock.pause(clock.rung(), Duration::from_millis(10));
    }
}

#[test]
fn a_wedged_guest_is_judged_the_same_under_load() {
    if feeder_process::find_program("qemu-system-aarch64").is_none() {
        let why = b"skipped: qemu-system-aarch64 is not installed; `cargo xtask setup` does that\n";
        std::io::stderr().write_all(why).unwrap();
        return;
    }
    let processor = one_processor();
    let tmp = tempfile::Builder::new().prefix("fl").tempdir_in("/tmp").unwrap();
    let dir = Utf8Path::from_path(tmp.path()).unwrap();
    let mut loops: Vec<Child> = Vec::new();
    for load in [0, BUSY_LOOPS] {
        loops.extend((0..load).map(|_| busy_loop(&processor)));
        for (name, code, expected) in [
            ("spins", [0x1400_0000, 0x1400_0000], Expiry::Worked), // b .
            ("halted", [0xd503_207f, 0x17ff_ffff], Expiry::Idled), // wfi; b .-4
        ] {
            let machine = power_on(dir, &format!("{name}{load}"), code);
            let args = ["-a", "-c", "-p", &processor, &machine.pid().to_string()];
            Cmd::new("taskset").args(args).run().unwrap();
            let (expiry, spent, passed) = judged(&machine);
            let told =
                format!("{name} beside {load} loops: {expiry:?} after {spent:?}, {passed:?}\n");
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            let Reading { wall, guest } = passed.clocks;
            if expiry == Expiry::Starved {
                // Right on a host so busy with other things that nothing can be said about the guest.
                assert!(wall >= BUDGET.0 * STARVED_SHARE && guest < BUDGET.0, "{told}");
                continue;
            }
            assert_eq!(expiry, expected, "{told}");
            assert!(spent >= BUDGET.0, "{told}");
            if load > 0 && expected == Expiry::Worked {
                assert!(passed.starved > wall / 2, "the loops are no load: {told}");
                assert!(guest >= BUDGET.0, "{told}");
            }
        }
    }
    drop(loops);
}
