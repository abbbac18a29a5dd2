//! Real QEMU, without an operating system: a guest of thirty instructions that prints `hi`, then echoes what is typed,
//! and resets on `r` or powers off on `o`.

use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};
use feeder_machine::{Accel, Disk, DiskFormat, Nic, Profile, Spec};

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
pub fn qemu() -> bool {
    let found = feeder_process::find_program("qemu-system-aarch64").is_some();
    if !found {
        // Past the capture of the test harness: a test that did not test must be seen.
        let why = b"skipped: qemu-system-aarch64 is not installed; `cargo xtask setup` does that\n";
        std::io::stderr().write_all(why).unwrap();
    }
    found
}

/// A directory for one test's machines.
pub struct Bench {
    tmp: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { tmp: tempfile::Builder::new().prefix("fm").tempdir_in("/tmp").unwrap() }
    }

    pub fn dir(&self) -> &Utf8Path {
        Utf8Path::from_path(self.tmp.path()).unwrap()
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> Utf8PathBuf {
        let path = self.dir().join(name);
        fs_err::write(&path, bytes).unwrap();
        path
    }

    pub fn virt(&self) -> Spec {
        self.spec(Profile { memory_mib: Some(64), ..Profile::virt() }, &virt_guest(), None)
    }

    pub fn raspi3b(&self) -> Spec {
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
            disks: vec![Disk::new(path, DiskFormat::Raw, "card")],
            nic: Some(nic),
            dir: self.dir().join("logs"),
            sockets: self.dir().join("s"),
            accel: Accel::Tcg,
        }
    }
}
