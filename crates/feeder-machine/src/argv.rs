//! From a [`Spec`] to QEMU's arguments. Pure.

use feeder_process::quote;

use crate::{
    Profile,
    spec::{Accel, Disk, Nic, Plug, Spec, Times},
};

/// QEMU's arguments, the program first, for a machine that we watch: it starts paused, its QMP and its console connect
/// to sockets on which we listen.
#[must_use]
pub fn argv(spec: &Spec) -> Vec<String> {
    let mut args = machine(spec);
    args.extend(["-chardev".into(), socket("qmp", spec.qmp_socket().as_str())]);
    args.extend(words("-mon chardev=qmp,mode=control"));
    args.extend(["-chardev".into(), socket("console", spec.console_socket().as_str())]);
    args.extend(words("-serial chardev:console -S"));
    args
}

/// The same machine as a line for a shell, with its console on the terminal (Ctrl-A H helps, Ctrl-A X ends).
#[must_use]
pub fn command_line(spec: &Spec) -> String {
    let mut args = machine(spec);
    args.extend(words("-serial mon:stdio"));
    let words: Vec<_> = args.iter().map(|arg| quote(arg)).collect();
    words.join(" ")
}

fn machine(spec: &Spec) -> Vec<String> {
    let profile = &spec.profile;
    let kvm = spec.accel == Accel::Kvm && profile.kvm;
    let mut args = vec![profile.emulator.clone()];
    let mut option = |name: &str, value: String| args.extend([format!("-{name}"), value]);

    option("name", format!("{},debug-threads=on", escape(&spec.name)));
    option("M", profile.machine.clone());
    option("accel", if kvm { "kvm".into() } else { "tcg,thread=multi,tb-size=512".into() });
    if let Some(processor) = &profile.processor {
        option("cpu", if kvm { "host".into() } else { processor.clone() });
    }
    if let Some(processors) = profile.processors {
        option("smp", processors.to_string());
    }
    if let Some(mib) = profile.memory_mib {
        option("m", format!("{mib}M"));
    }
    option("display", "none".into());
    // A reset must go through the boot firmware, which is ours and outside: QEMU ends instead and says why.
    option("action", "reboot=shutdown".into());
    option("kernel", spec.kernel.to_string());
    if let Some(initrd) = &spec.initrd {
        option("initrd", initrd.to_string());
    }
    if let Some(dtb) = &spec.dtb {
        option("dtb", dtb.to_string());
    }
    if !spec.command_line.is_empty() {
        option("append", spec.command_line.clone());
    }
    let on_usb = |disk: &&Disk| disk.plug != Plug::Own;
    for disk in spec.disks.iter().filter(|disk| !on_usb(disk)) {
        attach_disk(&mut option, profile, disk);
    }
    if let Some(nic) = &spec.nic {
        attach_nic(&mut option, &profile.nic.device, nic);
    }
    args.extend(profile.extra.iter().cloned());
    // Last, so that the places of all others on their bus, and thus their names in the guest, are what they are without.
    let mut option = |name: &str, value: String| args.extend([format!("-{name}"), value]);
    if let Some(controller) = &profile.usb.controller
        && spec.disks.iter().any(|disk| on_usb(&disk))
    {
        option("device", controller.clone());
    }
    for disk in spec.disks.iter().filter(on_usb) {
        attach_disk(&mut option, profile, disk);
    }
    // Only what the profile names: no default NIC, floppy, or monitor.
    args.push("-nodefaults".into());
    args
}

fn attach_disk(option: &mut impl FnMut(&str, String), profile: &Profile, disk: &Disk) {
    // A card has no cache that a guest could flush. QEMU notes where in an image it has put what when somebody flushes, and
    // skips even what it does by itself after each write when flushes are to be skipped.
    let caches = !(disk.plug == Plug::Own && profile.disk.attach == "sd");
    let image = image(disk, if caches { "unsafe" } else { "writethrough" });
    // The guest is told of errors; by default QEMU would stop it when there is no room.
    let errors = if disk.faults.is_empty() { "" } else { ",werror=report,rerror=report" };
    match &disk.plug {
        Plug::Own if profile.disk.attach == "sd" => {
            option("drive", format!("if=sd,id={},{image}", disk.id));
        }
        Plug::Own => {
            option("drive", format!("if=none,id={},{image}{errors}", disk.id));
            option("device", format!("{},drive={}", profile.disk.attach, disk.id));
        }
        Plug::Usb { serial } => {
            option("drive", format!("if=none,id={},{image}{errors}", disk.id));
            let device = &profile.usb.device;
            let id = usb_device(&disk.id);
            option("device", format!("{device},id={id},drive={},serial={serial}", disk.id));
        }
    }
}

/// What QEMU calls the USB device of a disk.
pub(crate) fn usb_device(disk: &str) -> String {
    format!("usb-{disk}")
}

/// The image behind a disk, with the block drivers over it.
fn image(disk: &Disk, cache: &str) -> String {
    let (path, format) = (escape(disk.path.as_str()), disk.format.name());
    if disk.write_log.is_none() && disk.faults.is_empty() {
        // The host's flushes are skipped: cutting the guest's power kills QEMU, not the host, and what QEMU has written
        // stays written. What the guest had not written is lost, as with a real card.
        return format!("file={path},format={format},cache={cache},discard=unmap");
    }
    let (mut options, mut at) = (Vec::new(), String::new());
    if !disk.faults.is_empty() {
        options.push(format!("{at}driver=blkdebug"));
        for (index, fault) in disk.faults.iter().enumerate() {
            let rule = format!("{at}inject-error.{index}");
            options.extend([
                format!("{rule}.event=none"),
                format!("{rule}.iotype={}", fault.on.name()),
                format!("{rule}.errno={}", fault.error.errno()),
                format!("{rule}.once={}", if fault.times == Times::Once { "on" } else { "off" }),
            ]);
            options.extend(fault.sector.map(|sector| format!("{rule}.sector={sector}")));
        }
        at += "image.";
    }
    if let Some(log) = &disk.write_log {
        // The super block says how far the log goes, and a killed QEMU cannot write it any more.
        options.extend([
            format!("{at}driver=blklogwrites"),
            format!("{at}log-super-update-interval=1"),
            format!("{at}log.driver=file"),
            format!("{at}log.filename={}", escape(log.as_str())),
            format!("{at}log.cache.no-flush=on"),
        ]);
        at += "file.";
    }
    options.extend([
        format!("{at}driver={format}"),
        format!("{at}file.driver=file"),
        format!("{at}file.filename={path}"),
        // As above, but below the log: flushes are what it is for.
        format!("{at}cache.no-flush=on"),
    ]);
    options.push("cache.no-flush=off,discard=unmap".into());
    options.join(",")
}

fn attach_nic(option: &mut impl FnMut(&str, String), device: &str, nic: &Nic) {
    let end = |side: &str, path: &str| format!("{side}.type=unix,{side}.path={}", escape(path));
    let (local, remote) = (end("local", nic.qemu.as_str()), end("remote", nic.lan.as_str()));
    option("netdev", format!("dgram,id=net0,{local},{remote}"));
    option("device", format!("{device},netdev=net0,mac={}", nic.mac_text()));
}

/// A socket on which we listen already: QEMU need not be asked again and again whether it is there yet.
fn socket(id: &str, path: &str) -> String {
    format!("socket,id={id},path={},server=off", escape(path))
}

/// QEMU's options separate by comma and write a comma as two.
pub(crate) fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(' ').map(str::to_owned)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::spec::{DiskFormat, Io, IoError, IoFault};

    pub(crate) fn virt() -> Spec {
        Spec {
            name: "cluster00".into(),
            profile: Profile::virt(),
            kernel: "/run/boot/kernel8.img".into(),
            initrd: Some("/run/boot/initramfs8".into()),
            dtb: None,
            command_line: "console=ttyAMA0 root=LABEL=rootfs rw".into(),
            disks: vec![Disk::new("/run/sd,1.qcow2", DiskFormat::Qcow2, "sd")],
            nic: Some(Nic {
                mac: [0xb8, 0x27, 0xeb, 0x40, 0x45, 0x36],
                qemu: "/tmp/f/cluster00.q".into(),
                lan: "/tmp/f/cluster00.l".into(),
            }),
            dir: "/run/logs".into(),
            sockets: "/tmp/f".into(),
            accel: Accel::Tcg,
        }
    }

    pub(crate) fn pi() -> Spec {
        let virt = virt();
        Spec {
            name: "cluster01".into(),
            profile: Profile::raspi3b(),
            dtb: Some("/run/boot/bcm2837-rpi-3-b.dtb".into()),
            disks: vec![Disk::new("/run/sd.img", DiskFormat::Raw, "card")],
            nic: virt
                .nic
                .clone()
                .map(|nic| Nic { mac: [0x40, 0x27, 0xeb, 0x40, 0x45, 0x37], ..nic }),
            ..virt
        }
    }

    /// One option a line.
    fn lines(args: &[String]) -> String {
        args.join(" ").replace(" -", "\n-")
    }

    #[test]
    fn the_paravirtual_machine() {
        insta::assert_snapshot!(lines(&argv(&virt())));
    }

    #[test]
    fn the_board() {
        insta::assert_snapshot!(lines(&argv(&pi())));
    }

    /// The disks' options of a machine with an SSD beside its own disk.
    fn disks(mut spec: Spec, change: impl FnOnce(&mut Disk)) -> String {
        let mut ssd = Disk::new("/run/ssd.qcow2", DiskFormat::Qcow2, "ssd").on_usb("SSD-1");
        change(&mut ssd);
        spec.disks.push(ssd);
        let args = lines(&argv(&spec));
        let wanted = ["-drive", "-device usb", "-device qemu-xhci", "-device virtio-blk"];
        let wanted = |line: &&str| wanted.iter().any(|start| line.starts_with(start));
        args.lines()
            .filter(wanted)
            .filter(|line| !line.contains("net"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn a_disk_on_usb() {
        insta::assert_snapshot!(disks(virt(), |_| {}), @r"
-drive if=none,id=sd,file=/run/sd,,1.qcow2,format=qcow2,cache=unsafe,discard=unmap
-device virtio-blk-pci,drive=sd
-device qemu-xhci,id=usb
-drive if=none,id=ssd,file=/run/ssd.qcow2,format=qcow2,cache=unsafe,discard=unmap
-device usb-storage,bus=usb.0,id=usb-ssd,drive=ssd,serial=SSD-1
");
        insta::assert_snapshot!(disks(pi(), |_| {}), @r"
-drive if=sd,id=card,file=/run/sd.img,format=raw,cache=writethrough,discard=unmap
-drive if=none,id=ssd,file=/run/ssd.qcow2,format=qcow2,cache=unsafe,discard=unmap
-device usb-storage,id=usb-ssd,drive=ssd,serial=SSD-1
");
    }

    #[test]
    fn faults_lie_over_the_log_and_that_over_the_image() {
        let fault = IoFault {
            on: Io::Write,
            error: IoError::NoSpace,
            sector: Some(2048),
            times: Times::Once,
        };
        insta::assert_snapshot!(disks(virt(), |disk| {
            disk.faults = vec![fault];
            disk.write_log = Some("/run/a,b.log".into());
        }), @r"
-drive if=none,id=sd,file=/run/sd,,1.qcow2,format=qcow2,cache=unsafe,discard=unmap
-device virtio-blk-pci,drive=sd
-device qemu-xhci,id=usb
-drive if=none,id=ssd,driver=blkdebug,inject-error.0.event=none,inject-error.0.iotype=write,inject-error.0.errno=28,inject-error.0.once=on,inject-error.0.sector=2048,image.driver=blklogwrites,image.log-super-update-interval=1,image.log.driver=file,image.log.filename=/run/a,,b.log,image.log.cache.no-flush=on,image.file.driver=qcow2,image.file.file.driver=file,image.file.file.filename=/run/ssd.qcow2,image.file.cache.no-flush=on,cache.no-flush=off,discard=unmap,werror=report,rerror=report
-device usb-storage,bus=usb.0,id=usb-ssd,drive=ssd,serial=SSD-1
");
    }

    /// qemu-io takes the same description of an image.
    #[test]
    fn a_fault_is_where_and_when_it_should_be() {
        if feeder_process::find_program("qemu-io").is_none() {
            return;
        }
        let tmp = tempfile::tempdir().unwrap();
        let dir = camino::Utf8Path::from_path(tmp.path()).unwrap();
        let (path, log) = (dir.join("a, b.qcow2"), dir.join("a, b.log"));
        let create = ["create", "-q", "-f", "qcow2", path.as_str(), "1M"];
        feeder_process::Cmd::new("qemu-img").args(create).run().unwrap();
        fs_err::write(&log, "").unwrap();
        let fault = |on, error, sector, times| IoFault { on, error, sector, times };
        let mut disk = Disk::new(path, DiskFormat::Qcow2, "ssd").on_usb("1");
        disk.faults = vec![
            fault(Io::Write, IoError::Medium, Some(8), Times::Once),
            fault(Io::Read, IoError::NoSpace, Some(16), Times::Always),
        ];
        disk.write_log = Some(log);
        let ran = |command: &str| {
            let args = ["-t", "writeback", "-c", command, "--image-opts", &image(&disk, "unsafe")];
            let run = feeder_process::Cmd::new("qemu-io").args(args).run();
            run.map_or_else(|error| error.to_string(), |output| output.stdout_text())
        };
        assert_eq!(ran("write -q 0 4k"), "");
        let failed = ran("write -q 4k 4k");
        assert!(failed.contains("Input/output error"), "{failed}");
        let failed = ran("read -q 8k 512");
        assert!(failed.contains("No space left on device"), "{failed}");
        assert_eq!(ran("read -q 4k 4k"), "");
    }

    #[test]
    fn kvm_takes_the_hosts_processor_and_only_where_the_machine_allows() {
        let with_kvm = |spec| argv(&Spec { accel: Accel::Kvm, ..spec }).join(" ");
        assert!(with_kvm(virt()).contains("-accel kvm -cpu host"));
        assert!(with_kvm(pi()).contains("-accel tcg"));
    }

    #[test]
    fn a_line_for_a_shell_needs_nobody_who_listens() {
        let line = command_line(&virt());
        assert!(line.contains(" -append 'console=ttyAMA0 root=LABEL=rootfs rw' "), "{line}");
        assert!(
            line.ends_with("-serial mon:stdio")
                && !line.contains("server=off")
                && !line.contains(" -S"),
            "{line}"
        );
    }
}
