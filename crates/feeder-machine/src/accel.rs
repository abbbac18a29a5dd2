//! Whether the host's processor can run a guest.

use std::{io::Write, time::Duration};

use feeder_process::Cmd;

use crate::spec::Accel;

/// A whole guest: `SYSTEM_OFF` by hypervisor call (Arm DEN0022, PSCI), and a loop in case nobody listens.
const POWER_OFF: [u32; 4] = [
    0x5280_0100, // mov  w0, #0x0008
    0x72b0_8000, // movk w0, #0x8400, lsl #16
    0xd400_0002, // hvc  #0
    0x1400_0000, // b    .
];

/// How long the guest of four instructions may take, wall clock.
const LIMIT: Duration = Duration::from_secs(15);

/// Runs a tiny guest to see whether `/dev/kvm` is there, may be opened, and works. TCG when the host is no aarch64.
#[must_use]
pub fn probe_accel() -> Accel {
    let same = std::env::consts::ARCH == "aarch64" && std::env::consts::OS == "linux";
    if same && powers_off("kvm", "host") { Accel::Kvm } else { Accel::Tcg }
}

/// Whether a guest on `-M virt` runs and powers itself off.
fn powers_off(accel: &str, processor: &str) -> bool {
    let Ok(mut kernel) = tempfile::NamedTempFile::new() else { return false };
    let code: Vec<u8> =
        POWER_OFF.iter().flat_map(|instruction| instruction.to_le_bytes()).collect();
    if kernel.write_all(&code).is_err() {
        return false;
    }
    let qemu = Cmd::new("qemu-system-aarch64")
        .args([
            "-M",
            "virt",
            "-m",
            "64M",
            "-display",
            "none",
            "-nodefaults",
            "-accel",
            accel,
            "-cpu",
            processor,
        ])
        .arg("-kernel")
        .arg(kernel.path())
        .spawn();
    qemu.is_ok_and(|qemu| qemu.wait_timeout(LIMIT).is_some_and(|status| status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guest itself is right: it powers off where TCG runs it.
    #[test]
    fn the_probe_can_succeed_and_fail() {
        if feeder_process::find_program("qemu-system-aarch64").is_none() {
            println!(
                "skipped: qemu-system-aarch64 is not installed; `cargo xtask setup` does that"
            );
            return;
        }
        assert!(powers_off("tcg", "cortex-a72"));
        assert!(!powers_off("no-such-accelerator", "cortex-a72"));
    }
}
