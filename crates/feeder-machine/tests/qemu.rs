//! Real QEMU, without an operating system: a guest of thirty instructions that prints `hi`, then echoes what is typed,
//! and resets on `r` or powers off on `o`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, too")]

use std::{io::Write, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_machine::{
    Accel, Disk, DiskFormat, Machine, MachineError, Nic, Profile, Spec, State, StopReason, qapi,
};
use feeder_process::Cmd;
use feeder_ui::{Exit, Expected};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

/// Reads and answers the PL011 at `uart` (Arm DDI0183); then `reset`, at most five instructions, and `off`.
fn guest(uart: u32, reset: &[u32], off: &[u32]) -> Vec<u8> {
    let mut code = vec![
        0xd2a0_0001 | uart >> 16 << 5,      // movz x1, #uart, lsl #16
        0xf280_0001 | (uart & 0xffff) << 5, // movk x1, #uart
        0x5280_0d00,                        // mov  w0, #'h'
        0xb900_0020,                        // str  w0, [x1]
        0x5280_0d20,                        // mov  w0, #'i'
        0xb900_0020,                        // str  w0, [x1]
        0x5280_0140,                        // mov  w0, #'\n'
        0xb900_0020,                        // str  w0, [x1]
        0xb940_1822,                        // wait: ldr w2, [x1, #UARTFR]
        0x3727_ffe2,                        // tbnz w2, #RXFE, wait
        0xb940_0023,                        // ldr  w3, [x1]
        0x7101_c87f,                        // cmp  w3, #'r'
        0x5400_00a0,                        // b.eq reset
        0x7101_bc7f,                        // cmp  w3, #'o'
        0x5400_0100,                        // b.eq off
        0xb900_0023,                        // str  w3, [x1]
        0x17ff_fff8,                        // b    wait
    ];
    code.extend(reset);
    code.resize(22, 0x1400_0000); // b .
    code.extend(off);
    code.push(0x1400_0000); // b .
    code.iter().flat_map(|instruction| instruction.to_le_bytes()).collect()
}

/// Off and reset by PSCI (Arm DEN0022), as a hypervisor offers it.
fn virt_guest() -> Vec<u8> {
    // mov w0, #function; movk w0, #0x8400, lsl #16; hvc #0
    let psci = |function: u32| [0x5280_0000 | function << 5, 0x72b0_8000, 0xd400_0002];
    guest(0x0900_0000, &psci(9), &psci(8))
}

/// Off and reset by the board's watchdog, as the kernel's bcm2835_wdt does it.
fn pi_guest() -> Vec<u8> {
    const BASE: u32 = 0xd2a7_e204; // movz x4, #0x3f10, lsl #16
    const PASSWORD: u32 = 0x52ab_4005; // movz w5, #0x5a00, lsl #16
    const FULL_RESET: u32 = 0x7280_0405; // movk w5, #0x20
    const HALT: u32 = 0x7280_aaa5; // movk w5, #0x555
    const TO_RSTC: u32 = 0xb900_1c85; // str w5, [x4, #0x1c]
    const TO_RSTS: u32 = 0xb900_2085; // str w5, [x4, #0x20]
    let reset = [BASE, PASSWORD, FULL_RESET, TO_RSTC];
    guest(0x3f20_1000, &reset, &[BASE, PASSWORD, HALT, TO_RSTS, FULL_RESET, TO_RSTC])
}

/// The smallest device tree that QEMU will add memory and a command line to (Devicetree specification, chapter 5).
fn device_tree() -> Vec<u8> {
    const STRINGS: &[u8] = b"#address-cells\0#size-cells\0";
    let structure = [1, 0, 3, 4, 0, 2, 3, 4, 15, 1, 2, 9u32];
    let (strings_at, total) = (56 + structure.len() * 4, 56 + structure.len() * 4 + STRINGS.len());
    let len = |n: usize| u32::try_from(n).unwrap();
    let header = [
        0xd00d_feed,
        len(total),
        56,
        len(strings_at),
        40,
        17,
        16,
        0,
        len(STRINGS.len()),
        len(structure.len() * 4),
    ];
    let words = header.iter().chain(&[0; 4]).chain(&structure);
    words.flat_map(|word| word.to_be_bytes()).chain(STRINGS.iter().copied()).collect()
}

/// Whether QEMU is there; says so when it is not.
fn qemu() -> bool {
    let found = feeder_process::find_program("qemu-system-aarch64").is_some();
    if !found {
        // Past the capture of the test harness: a test that did not test must be seen.
        let why = b"skipped: qemu-system-aarch64 is not installed; `cargo xtask setup` does that\n";
        std::io::stderr().write_all(why).unwrap();
    }
    found
}

struct Bench {
    tmp: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { tmp: tempfile::Builder::new().prefix("fm").tempdir_in("/tmp").unwrap() }
    }

    fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.tmp.path()).unwrap()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Utf8PathBuf {
        let path = self.dir().join(name);
        fs_err::write(&path, bytes).unwrap();
        path
    }

    fn virt(&self) -> Spec {
        self.spec(Profile { memory_mib: Some(64), ..Profile::virt() }, &virt_guest(), None)
    }

    fn raspi3b(&self) -> Spec {
        let dtb = self.file("tree.dtb", &device_tree());
        self.spec(Profile::raspi3b(), &pi_guest(), Some(dtb))
    }

    fn spec(&self, profile: Profile, code: &[u8], dtb: Option<Utf8PathBuf>) -> Spec {
        let path = self.file("card.img", &vec![0; 1 << 20]);
        let nic = Nic {
            mac: [0x40, 0x27, 0xeb, 1, 2, 3],
            qemu: self.dir().join("nic.q"),
            lan: self.dir().join("nic.l"),
        };
        Spec {
            name: "guest".into(),
            profile,
            kernel: self.file("kernel.img", code),
            initrd: None,
            dtb,
            command_line: "quiet".into(),
            disks: vec![Disk { path, format: DiskFormat::Raw, id: "card".into() }],
            nic: Some(nic),
            dir: self.dir().join("logs"),
            sockets: self.dir().join("s"),
            accel: Accel::Tcg,
        }
    }
}

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
