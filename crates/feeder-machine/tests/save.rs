//! Real QEMU: a machine's state goes into a file and comes back, and its disks stay what they were.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, too")]

mod bench;

use bench::{Bench, qemu};
use camino::{Utf8Path, Utf8PathBuf};
use feeder_machine::{
    Disk, DiskFormat, Machine, MachineError, Spec, StopReason,
    disk::{create_overlay, read_head},
    qapi::qmp::{human_monitor_command, quit},
};
use feeder_process::Cmd;
use feeder_ui::Expected;

/// A virt machine whose disk is an overlay over a raw card of 1 MiB.
fn saveable(bench: &Bench) -> Spec {
    let mut spec = bench.virt();
    let overlay = bench.dir().join("0.qcow2");
    create_overlay(&overlay, &spec.disks[0].path, DiskFormat::Raw).unwrap();
    spec.disks[0] = Disk::new(overlay, DiskFormat::Qcow2, "card");
    spec
}

/// The same machine elsewhere, over a disk as it was. Its kernel does nothing: what goes on, goes on from the saved state.
fn elsewhere(bench: &Bench, spec: &Spec, name: &str, disk: &Utf8Path) -> Spec {
    let mut spec = spec.clone();
    spec.kernel = bench.file("idle.img", &0x1400_0000_u32.to_le_bytes().repeat(32));
    let overlay = bench.dir().join(format!("{name}.qcow2"));
    create_overlay(&overlay, disk, DiskFormat::Qcow2).unwrap();
    spec.disks[0].path = overlay;
    spec.dir = bench.dir().join(name);
    spec.sockets = spec.dir.join("s");
    let nic = spec.nic.as_mut().unwrap();
    (nic.qemu, nic.lan) = (spec.dir.join("q"), spec.dir.join("l"));
    spec
}

/// Reads or writes the machine's disk through QEMU, as the guest's driver would.
fn on_disk(machine: &Machine, command: &str) {
    let command_line = format!("qemu-io card \"{command}\"");
    let said = machine.qmp().execute(human_monitor_command { cpu_index: None, command_line });
    let said = said.unwrap();
    assert!(!said.contains("failed") && !said.contains("rror"), "{command}: {said}");
}

/// Ends QEMU with all it knows written, unlike a power cut.
fn ends(machine: &Machine) {
    machine.qmp().execute(quit {}).unwrap();
    assert_eq!(machine.wait_stopped(&mut || true), Some(StopReason::Killed));
}

/// The first byte of each of the first sectors of an image.
fn sectors(image: &Utf8Path) -> [u8; 3] {
    let head = Utf8PathBuf::from(format!("{image}.head"));
    read_head(image, DiskFormat::Qcow2, 3 * 512, &head).unwrap();
    let bytes = fs_err::read(head).unwrap();
    std::array::from_fn(|sector| bytes[sector * 512])
}

/// Types on the console and reads it there; no `o` and no `r`, which the guest obeys.
fn echoes(machine: &Machine, text: &str) {
    machine.console().send(text).unwrap();
    machine.console().expect(text, &mut || true).unwrap();
}

#[test]
fn a_saved_machine_goes_on_here_and_elsewhere() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    let spec = saveable(&bench);
    let machine = Machine::power_on(spec.clone()).unwrap();
    machine.console().expect("hi\n", &mut || true).unwrap();
    echoes(&machine, "until");
    on_disk(&machine, "write -q -P 1 0 512");

    // Saved: its memory to a file, its disk frozen under an overlay.
    let (state, frozen, next) =
        (bench.dir().join("state"), &spec.disks[0].path, bench.dir().join("1.qcow2"));
    let err = machine.save(&state).unwrap_err();
    assert_eq!(err.to_string(), "cannot save guest: it runs; pause it first");
    machine.pause().unwrap();
    create_overlay(&next, frozen, DiskFormat::Qcow2).unwrap();
    machine.switch_disk("card", &next).unwrap();
    let bytes = machine.save(&state).unwrap();
    assert_eq!(bytes, fs_err::metadata(&state).unwrap().len());
    assert!(bytes > 1 << 10, "{bytes} bytes");
    Cmd::new("qemu-img").args(["check", "-q"]).arg(frozen.as_str()).run().unwrap();
    let as_saved = fs_err::read(frozen).unwrap();

    // Here it goes on, and can be saved again.
    machine.go_on().unwrap();
    echoes(&machine, "then");
    on_disk(&machine, "write -q -P 2 512 512");
    machine.pause().unwrap();
    let again = bench.dir().join("again");
    machine.save(&again).unwrap();
    machine.go_on().unwrap();
    echoes(&machine, "again");

    // Elsewhere, twice, while the first one still runs.
    for name in ["east", "west"] {
        let spec = elsewhere(&bench, &spec, name, frozen);
        let other = Machine::resume(spec.clone(), &state).unwrap();
        assert!(other.console().expect("hi", &mut || false).is_err(), "it is paused");
        on_disk(&other, "read -q -P 1 0 512");
        on_disk(&other, "read -q -P 0 512 512");
        other.go_on().unwrap();
        on_disk(&other, "write -q -P 3 1024 512");
        echoes(&other, name);
        let log = fs_err::read_to_string(spec.dir.join("console.log")).unwrap();
        assert_eq!(log, name, "it did not boot");
        let by_hand = fs_err::read_to_string(spec.dir.join("command.sh")).unwrap();
        assert!(by_hand.contains(&format!(" -incoming file:{state}")), "{by_hand}");
        ends(&other);
        assert_eq!(sectors(&spec.disks[0].path), [1, 0, 3]);
    }
    echoes(&machine, "still");
    ends(&machine);
    assert_eq!(sectors(frozen), [1, 0, 0]);
    assert_eq!(sectors(&next), [1, 2, 0]);
    assert!(fs_err::read(frozen).unwrap() == as_saved, "what is frozen does not change");
}

#[test]
fn what_cannot_be_saved_says_why_and_goes_on() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    let state = bench.dir().join("state");
    let mut spec = bench.raspi3b();
    let machine = Machine::power_on(spec.clone()).unwrap();
    machine.pause().unwrap();
    let err = machine.save(&state).unwrap_err().to_string();
    assert_eq!(
        err,
        "cannot save guest: it is a raspi3b, and its network card, QEMU's usb-net, cannot be migrated"
    );
    drop(machine);

    // The profile says what QEMU does.
    spec.profile.cannot_save = None;
    let machine = Machine::power_on(spec).unwrap();
    machine.console().expect("hi\n", &mut || true).unwrap();
    machine.pause().unwrap();
    let err = machine.save(&state).unwrap_err().to_string();
    assert!(err.starts_with("cannot save guest: ") && err.contains("usb-net"), "{err}");
    assert!(!state.exists());
    machine.go_on().unwrap();
    echoes(&machine, "xyz");
}

#[test]
fn a_state_that_cannot_be_written_leaves_the_machine_as_it_was() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    let machine = Machine::power_on(bench.virt()).unwrap();
    machine.console().expect("hi\n", &mut || true).unwrap();
    machine.pause().unwrap();
    let err = machine.save(&bench.dir().join("nowhere/state")).unwrap_err();
    assert!(matches!(&err, MachineError::Save { why, .. } if why.contains("nowhere")), "{err}");
    // A device that is full when it is written to, unlike a directory that is not there, fails in the middle.
    let full = bench.dir().join("full");
    fs_err::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let err = machine.save(&full).unwrap_err();
    assert!(matches!(&err, MachineError::Save { .. }), "{err}");
    machine.go_on().unwrap();
    echoes(&machine, "xyz");
    machine.switch_disk("nothing", "/nowhere".into()).unwrap_err();
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    let spec = saveable(&bench);
    let err = Machine::resume(spec.clone(), &bench.dir().join("nowhere")).err().unwrap();
    assert!(err.to_string().ends_with("nowhere: there is no such file"), "{err}");
    let garbage = bench.file("garbage", b"not what QEMU wrote");
    let err = Machine::resume(spec.clone(), &garbage).err().unwrap();
    assert!(matches!(&err, MachineError::Exited { .. }), "{err}");
    assert!(err.to_string().contains("Not a migration stream"), "{err}");
    assert!(err.hint().unwrap().ends_with(&format!("-incoming file:{garbage}")));

    let machine = Machine::power_on(spec.clone()).unwrap();
    machine.pause().unwrap();
    let state = bench.dir().join("state");
    machine.save(&state).unwrap();
    drop(machine);
    let mut bigger = spec;
    bigger.profile.memory_mib = Some(128);
    let err = Machine::resume(bigger, &state).err().unwrap().to_string();
    assert!(err.contains("ram"), "{err}");
}
