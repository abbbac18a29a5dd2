//! From a [`Spec`] to QEMU's arguments. Pure.

use feeder_process::quote;

use crate::spec::{Accel, Disk, Nic, Spec};

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
    for disk in &spec.disks {
        attach_disk(&mut option, &profile.disk.attach, disk);
    }
    if let Some(nic) = &spec.nic {
        attach_nic(&mut option, &profile.nic.device, nic);
    }
    args.extend(profile.extra.iter().cloned());
    // Only what the profile names: no default NIC, floppy, or monitor.
    args.push("-nodefaults".into());
    args
}

fn attach_disk(option: &mut impl FnMut(&str, String), attach: &str, disk: &Disk) {
    // The host's flushes are skipped: cutting the guest's power kills QEMU, not the host, and what QEMU has written
    // stays written. What the guest had not written is lost, as with a real card.
    let file = format!(
        "file={},format={},cache=unsafe,discard=unmap",
        escape(disk.path.as_str()),
        disk.format.name()
    );
    if attach == "sd" {
        option("drive", format!("if=sd,id={},{file}", disk.id));
    } else {
        option("drive", format!("if=none,id={},{file}", disk.id));
        option("device", format!("{attach},drive={}", disk.id));
    }
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
    use crate::{Profile, spec::DiskFormat};

    pub(crate) fn virt() -> Spec {
        Spec {
            name: "cluster00".into(),
            profile: Profile::virt(),
            kernel: "/run/boot/kernel8.img".into(),
            initrd: Some("/run/boot/initramfs8".into()),
            dtb: None,
            command_line: "console=ttyAMA0 root=LABEL=rootfs rw".into(),
            disks: vec![Disk {
                path: "/run/sd,1.qcow2".into(),
                format: DiskFormat::Qcow2,
                id: "sd".into(),
            }],
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
            disks: vec![Disk {
                path: "/run/sd.img".into(),
                format: DiskFormat::Raw,
                id: "card".into(),
            }],
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
