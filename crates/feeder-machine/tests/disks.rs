//! Real QEMU: USB disks, faults, and logs of writes.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail by panicking, too")]

mod bench;

use bench::{Bench, qemu};
use camino::{Utf8Path, Utf8PathBuf};
use feeder_machine::{
    Disk, DiskFormat, Io, IoError, IoFault, Machine, Spec, StopReason, Times,
    disk::{create_overlay, read_head},
    qapi::qmp::{human_monitor_command, quit},
    write_log::{Cut, Kind, WriteLog},
};
use feeder_process::Cmd;

/// A USB disk of 4 MiB.
fn ssd(bench: &Bench) -> Disk {
    let path = bench.dir().join("ssd.qcow2");
    Cmd::new("qemu-img").args(["create", "-q", "-f", "qcow2", path.as_str(), "4M"]).run().unwrap();
    Disk::new(path, DiskFormat::Qcow2, "ssd").on_usb("SSD-0001")
}

fn with(mut spec: Spec, disk: Disk) -> Spec {
    spec.disks.push(disk);
    spec
}

/// Writes to a disk through QEMU, as the guest's driver would.
fn on(machine: &Machine, disk: &str, command: &str) {
    assert_eq!(monitor(machine, &format!("qemu-io {disk} \"{command}\"")), "", "{command}");
}

/// The first byte of an image.
fn first_byte(image: &Utf8Path) -> u8 {
    let head = Utf8PathBuf::from(format!("{image}.head"));
    read_head(image, DiskFormat::Qcow2, 512, &head).unwrap();
    fs_err::read(head).unwrap()[0]
}

fn monitor(machine: &Machine, command: &str) -> String {
    let command_line = command.to_owned();
    machine.qmp().execute(human_monitor_command { cpu_index: None, command_line }).unwrap()
}

#[test]
fn a_usb_disk_is_there_until_it_is_pulled_out() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    // Made one after the other: their kernels have the same name.
    for spec in [Bench::virt, Bench::raspi3b] {
        let machine = Machine::power_on(with(spec(&bench), ssd(&bench))).unwrap();
        machine.console().expect("hi\n", &mut || true).unwrap();
        assert!(monitor(&machine, "info usb").contains("QEMU USB MSD"));
        assert!(monitor(&machine, "info qtree").contains("serial = \"SSD-0001\""));
        on(&machine, "ssd", "write -q -P 7 0 512");

        machine.unplug("ssd").unwrap();
        assert!(!monitor(&machine, "info usb").contains("QEMU USB MSD"));
        let text = |id: &str| machine.unplug(id).unwrap_err().to_string();
        insta::allow_duplicates! {
            insta::assert_snapshot!(text("ssd"), @"cannot unplug disk ssd of guest: it has been unplugged already");
            insta::assert_snapshot!(text("card"), @"cannot unplug disk card of guest: it is not on USB");
            insta::assert_snapshot!(text("disk"), @"cannot unplug disk disk of guest: it has no such disk");
        }
        // The machine lives on, and what was written is in the image, which nobody holds.
        machine.console().send("x").unwrap();
        machine.console().expect("x", &mut || true).unwrap();
        assert_eq!(first_byte(&bench.dir().join("ssd.qcow2")), 7);
    }
}

#[test]
fn a_machine_with_a_usb_disk_is_saved_and_resumed() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    let mut spec = with(bench.virt(), ssd(&bench));
    spec.disks.remove(0);
    let machine = Machine::power_on(spec.clone()).unwrap();
    machine.console().expect("hi\n", &mut || true).unwrap();
    on(&machine, "ssd", "write -q -P 1 0 512");
    let (state, next) = (bench.dir().join("state"), bench.dir().join("next.qcow2"));
    machine.pause().unwrap();
    create_overlay(&next, &spec.disks[0].path, DiskFormat::Qcow2).unwrap();
    machine.switch_disk("ssd", &next).unwrap();
    machine.save(&state).unwrap();
    drop(machine);

    let other = bench.dir().join("other.qcow2");
    create_overlay(&other, &spec.disks[0].path, DiskFormat::Qcow2).unwrap();
    spec.disks[0].path.clone_from(&other);
    let machine = Machine::resume(spec, &state).unwrap();
    machine.go_on().unwrap();
    on(&machine, "ssd", "write -q -P 2 512 512");
    machine.unplug("ssd").unwrap();
    assert_eq!(first_byte(&other), 1);
    machine.pause().unwrap();
    let error = machine.save(&state).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"cannot save guest: its disk ssd was unplugged, and a machine that is resumed has it");
}

#[test]
fn a_faulty_disk_is_not_saved() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    let mut disk = ssd(&bench);
    let (on, error, times) = (Io::Write, IoError::Medium, Times::Always);
    disk.faults = vec![IoFault { on, error, sector: None, times }];
    let machine = Machine::power_on(with(bench.virt(), disk)).unwrap();
    machine.console().expect("hi\n", &mut || true).unwrap();
    let error = machine.switch_disk("ssd", "/nowhere".into()).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"cannot switch disk ssd of guest: it has faults, which would not go with the state");
    machine.pause().unwrap();
    let error = machine.save(&bench.dir().join("state")).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"cannot save guest: of its disk ssd: it has faults, which would not go with the state");
}

/// How a kind of machine is made.
type Machines = fn(&Bench) -> Spec;

/// Writes to an SSD whose writes are logged, then ends QEMU one way or the other.
fn logged(bench: &Bench, spec: Spec, cut: bool) -> (WriteLog, Utf8PathBuf) {
    let mut disk = ssd(bench);
    let (image, path) = (disk.path.clone(), bench.file("writes.log", b"of an earlier machine"));
    disk.write_log = Some(path.clone());
    let machine = Machine::power_on(with(spec, disk)).unwrap();
    for command in ["write -q -P 1 0 1k", "flush", "write -q -P 2 512 1k", "discard -q 64k 64k"] {
        on(&machine, "ssd", command);
    }
    let error = machine.switch_disk("ssd", "/nowhere".into()).unwrap_err().to_string();
    assert!(error.contains("its writes are logged"), "{error}");
    if cut {
        machine.cut();
    } else {
        machine.qmp().execute(quit {}).unwrap();
        assert_eq!(machine.wait_stopped(&mut || true), Some(StopReason::Killed));
    }
    (WriteLog::open(&path).unwrap(), image)
}

#[test]
fn writes_are_logged_also_when_the_power_is_cut() {
    if !qemu() {
        return;
    }
    let bench = Bench::new();
    let (virt, board): (Machines, Machines) = (Bench::virt, Bench::raspi3b);
    for (spec, cut) in [(virt, true), (board, true), (virt, false)] {
        let (log, image) = logged(&bench, spec(&bench), cut);
        let wanted = |entry: &&feeder_machine::write_log::Entry| entry.length > 0 || entry.flush;
        let seen: Vec<_> =
            log.entries().iter().filter(wanted).map(|e| (e.offset, e.length)).collect();
        assert_eq!(seen[..3], [(0, 1024), (0, 0), (512, 1024)]);
        let discards = log.entries().iter().filter(|entry| entry.kind == Kind::Discard);
        assert_eq!(discards.count(), 1);

        let (raw, expected) = (bench.dir().join("raw"), bench.dir().join("expected"));
        let convert = ["convert", "-O", "raw", image.as_str(), expected.as_str()];
        if !cut {
            // A killed QEMU leaves a qcow2 image behind its guest: not everything of it is written.
            Cmd::new("qemu-img").args(convert).run().unwrap();
        }
        fs_err::write(&raw, vec![0; 4 << 20]).unwrap();
        log.apply(&raw, &log.steps(&Cut::after(usize::MAX))).unwrap();
        let bytes = fs_err::read(&raw).unwrap();
        assert_eq!([0, 512, 1024, 1536].map(|at| bytes[at]), [1, 2, 2, 0]);
        assert!(cut || bytes == fs_err::read(&expected).unwrap());
    }
}
