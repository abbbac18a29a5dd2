//! What to power on, and what can be said against it before trying.

use std::io::Read;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    MachineError,
    profile::{DeviceTree, Profile},
};

/// One machine: a profile, what it boots, and what is plugged in.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Names the machine in messages, its sockets and QEMU's process title. A host name's letters only.
    pub name: String,
    /// The kind of machine.
    pub profile: Profile,
    /// An arm64 `Image`, plain or gzipped, or a raw binary.
    pub kernel: Utf8PathBuf,
    /// The initial RAM file system.
    pub initrd: Option<Utf8PathBuf>,
    /// The flattened device tree; see [`Profile::device_tree`].
    pub dtb: Option<Utf8PathBuf>,
    /// The kernel's command line.
    pub command_line: String,
    /// In the order in which the guest sees them.
    pub disks: Vec<Disk>,
    /// Its only network card.
    pub nic: Option<Nic>,
    /// Where logs go. Made if missing.
    pub dir: Utf8PathBuf,
    /// Where sockets go: a short path, since a socket's is limited to 107 bytes. Made if missing.
    pub sockets: Utf8PathBuf,
    /// What executes the guest's instructions.
    pub accel: Accel,
}

/// A disk image, and how it is plugged in. Start from [`Disk::new`] and change fields.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The image; written to.
    pub path: Utf8PathBuf,
    /// How the image holds the disk.
    pub format: DiskFormat,
    /// Names the disk inside QEMU. Letters and digits.
    pub id: String,
    /// Where it is plugged in.
    pub plug: Plug,
    /// What fails on it. Such a disk cannot be switched, nor its machine saved.
    pub faults: Vec<IoFault>,
    /// A file for its writes (see [`crate::write_log`]), begun anew when the machine starts. Such a disk cannot be switched,
    /// nor its machine saved.
    pub write_log: Option<Utf8PathBuf>,
}

impl Disk {
    /// A disk where the machine has its own, without faults.
    #[must_use]
    pub fn new(path: impl Into<Utf8PathBuf>, format: DiskFormat, id: &str) -> Self {
        Self {
            path: path.into(),
            format,
            id: id.to_owned(),
            plug: Plug::Own,
            faults: Vec::new(),
            write_log: None,
        }
    }

    /// The same on USB, with this serial number.
    #[must_use]
    pub fn on_usb(self, serial: &str) -> Self {
        Self { plug: Plug::Usb { serial: serial.to_owned() }, ..self }
    }

    /// Why its image cannot be exchanged under the guest; `None` when it can.
    pub(crate) fn fixed(&self) -> Option<&'static str> {
        if self.write_log.is_some() {
            Some("its writes are logged, and the log would not go with the state")
        } else if self.faults.is_empty() {
            None
        } else {
            Some("it has faults, which would not go with the state")
        }
    }
}

/// Where a disk is plugged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plug {
    /// Where the machine has its own disks: a board's card slot, or virtio ([`crate::DiskKind`]).
    Own,
    /// USB, as a mass-storage device. The guest calls it `/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_SERIAL-0:0`.
    Usb {
        /// Its serial number: letters, digits and `-`, at most 36 of them.
        serial: String,
    },
}

/// An error that a disk gives to the guest, from power-on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoFault {
    /// What fails.
    pub on: Io,
    /// With what.
    pub error: IoError,
    /// Which request: one that touches this sector of 512 bytes; `None` for any.
    pub sector: Option<u64>,
    /// How often.
    pub times: Times,
}

/// A kind of request to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Flushing.
    Flush,
}

impl Io {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
        }
    }
}

/// What a disk says when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoError {
    /// `EIO`: a medium error.
    Medium,
    /// `ENOSPC`: a thin disk without room.
    NoSpace,
}

impl IoError {
    pub(crate) fn errno(self) -> i32 {
        match self {
            Self::Medium => 5,
            Self::NoSpace => 28,
        }
    }
}

/// How often a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Each time.
    Always,
    /// The first time.
    Once,
}

/// How a file holds a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// Byte for byte.
    Raw,
    /// QEMU's, possibly over a backing file.
    Qcow2,
}

impl DiskFormat {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// A network card whose cable is a pair of unix datagram sockets, one frame in each datagram.
#[derive(Debug, Clone)]
pub struct Nic {
    /// What the guest sees.
    pub mac: [u8; 6],
    /// The socket that QEMU binds.
    pub qemu: Utf8PathBuf,
    /// The socket that QEMU sends to.
    pub lan: Utf8PathBuf,
}

impl Nic {
    /// The MAC as usual: six bytes in hex, with colons.
    #[must_use]
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }
}

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// QEMU translates them. Works everywhere.
    Tcg,
    /// The host's processor, for machines that allow it; TCG for the others.
    Kvm,
}

/// Longest serial number of a SCSI disk in QEMU (`MAX_SERIAL_LEN`, hw/scsi/scsi-disk.c).
const SERIAL: usize = 36;
/// Longest path of a unix socket: `sun_path` is 108 bytes with the final zero, unix(7).
const SOCKET_PATH: usize = 107;

impl Spec {
    pub(crate) fn qmp_socket(&self) -> Utf8PathBuf {
        self.sockets.join(format!("{}.qmp", self.name))
    }

    pub(crate) fn console_socket(&self) -> Utf8PathBuf {
        self.sockets.join(format!("{}.tty", self.name))
    }

    /// Looks for what cannot work.
    ///
    /// # Errors
    /// [`MachineError::Spec`] with the first thing found.
    pub fn check(&self) -> Result<(), MachineError> {
        let wrong = |what: String, hint: &str| {
            Err(MachineError::Spec { machine: self.name.clone(), what, hint: hint.to_owned() })
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return wrong(
                format!("`{}` cannot name a machine", self.name),
                "use letters, digits and `-`",
            );
        }
        let profile = &self.profile;
        match (profile.device_tree, &self.dtb) {
            (DeviceTree::Given, None) => {
                return wrong(
                    format!("a {} needs a device tree and none is given", profile.name),
                    "pass the board's, for example bcm2837-rpi-3-b.dtb from the boot partition",
                );
            }
            (DeviceTree::Machine, Some(dtb)) => {
                return wrong(
                    format!("{dtb} is given, but a {} brings its own device tree", profile.name),
                    "leave the device tree out",
                );
            }
            _ => {}
        }
        if let (Some(nic), Some(first)) = (&self.nic, profile.nic.mac_first_byte)
            && nic.mac[0] != first
        {
            let text = nic.mac_text();
            return wrong(
                format!("MAC {text} would reach the guest as {first:02x}{}", &text[2..]),
                &format!("on a {}, give the node a MAC that begins with {first:02x}", profile.name),
            );
        }
        let own = self.disks.iter().filter(|disk| disk.plug == Plug::Own);
        if profile.disk.attach == "sd" && own.clone().count() > 1 {
            return wrong(
                format!("{} disks, and a {} has one card slot", own.count(), profile.name),
                "give it one disk, and further ones on USB",
            );
        }
        for disk in &self.disks {
            if let Plug::Usb { serial } = &disk.plug
                && (serial.is_empty() || serial.len() > SERIAL || !serial.chars().all(plain))
            {
                return wrong(
                    format!("`{serial}` cannot be the serial number of disk {}", disk.id),
                    "use 1 to 36 letters, digits and `-`",
                );
            }
        }
        let sockets = [self.qmp_socket(), self.console_socket()];
        let cable = self.nic.iter().flat_map(|nic| [&nic.qemu, &nic.lan]);
        for socket in sockets.iter().chain(cable) {
            if socket.as_str().len() > SOCKET_PATH {
                return wrong(
                    format!(
                        "{socket} is {} bytes, a socket's path at most {SOCKET_PATH}",
                        socket.as_str().len()
                    ),
                    "put the sockets into a shorter directory, such as a fresh one in /tmp",
                );
            }
        }
        let files = [Some(&self.kernel), self.initrd.as_ref(), self.dtb.as_ref()];
        let disks = self.disks.iter().map(|disk| &disk.path);
        for file in files.into_iter().flatten().chain(disks) {
            if !file.is_file() {
                return wrong(
                    format!("{file} is no file"),
                    "build the image, or let the firmware fetch it, first",
                );
            }
        }
        for disk in own.filter(|_| profile.disk.power_of_two) {
            let size = disk_size(&disk.path, disk.format).map_err(|source| MachineError::Io {
                what: format!("read the size of {}", disk.path),
                source,
            })?;
            if !size.is_power_of_two() {
                return wrong(
                    format!(
                        "{} is {size} bytes; a {} takes cards of 2^n bytes",
                        disk.path, profile.name
                    ),
                    &format!("grow it: qemu-img resize {} {}", disk.path, size.next_power_of_two()),
                );
            }
        }
        Ok(())
    }
}

/// The size of the disk in an image, in bytes. A qcow2 file has it at offset 24, big endian (docs/interop/qcow2.txt).
pub(crate) fn disk_size(path: &Utf8Path, format: DiskFormat) -> std::io::Result<u64> {
    let mut file = fs_err::File::open(path)?;
    match format {
        DiskFormat::Raw => Ok(file.metadata()?.len()),
        DiskFormat::Qcow2 => {
            let mut header = [0; 32];
            file.read_exact(&mut header)?;
            Ok(u64::from_be_bytes(std::array::from_fn(|i| header[24 + i])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argv::tests::{pi, virt};

    fn complaint(spec: &Spec) -> String {
        let err = spec.check().unwrap_err();
        format!("{err} / {}", feeder_ui::Expected::hint(&err).unwrap())
    }

    /// A spec whose files exist.
    fn with_files(mut spec: Spec, dir: &Utf8Path) -> Spec {
        let file = |name: &str| {
            let path = dir.join(name);
            fs_err::write(&path, [0; 1024]).unwrap();
            path
        };
        spec.kernel = file("kernel");
        spec.initrd = spec.initrd.map(|_| file("initrd"));
        spec.dtb = spec.dtb.map(|_| file("dtb"));
        spec.disks.iter_mut().for_each(|disk| disk.path = file(&disk.id));
        spec
    }

    #[test]
    fn what_cannot_work_is_said_before_it_is_tried() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(tmp.path()).unwrap();
        let good = [with_files(virt(), dir), with_files(pi(), dir)];
        for spec in &good {
            spec.check().unwrap();
        }
        let [virt, pi] = good;

        let mut spec = pi.clone();
        spec.dtb = None;
        assert!(complaint(&spec).contains("needs a device tree"));
        let mut spec = virt.clone();
        spec.dtb = Some("x.dtb".into());
        assert!(complaint(&spec).contains("brings its own device tree"));
        let mut spec = pi.clone();
        spec.nic.as_mut().unwrap().mac = [0xb8, 0x27, 0xeb, 1, 2, 3];
        insta::assert_snapshot!(complaint(&spec), @"cannot power on cluster01: MAC b8:27:eb:01:02:03 would reach the guest as 40:27:eb:01:02:03 / on a raspi3b, give the node a MAC that begins with 40");
        let mut spec = virt.clone();
        spec.sockets = format!("/tmp/{}", "x".repeat(100)).into();
        assert!(complaint(&spec).contains("a socket's path at most 107"));
        let mut spec = virt.clone();
        spec.kernel = "/nowhere/kernel8.img".into();
        assert!(complaint(&spec).contains("/nowhere/kernel8.img is no file"));
        let mut spec = virt;
        spec.name = "a b".into();
        assert!(complaint(&spec).contains("cannot name a machine"));
        let mut spec = pi.clone();
        spec.disks.push(spec.disks[0].clone());
        assert!(complaint(&spec).contains("2 disks, and a raspi3b has one card slot"));
        spec.disks[1] = spec.disks[1].clone().on_usb("SSD-1");
        spec.check().unwrap();
        spec.disks[1] = spec.disks[1].clone().on_usb("a,b");
        insta::assert_snapshot!(complaint(&spec), @"cannot power on cluster01: `a,b` cannot be the serial number of disk card / use 1 to 36 letters, digits and `-`");
        fs_err::write(&pi.disks[0].path, [0; 1000]).unwrap();
        assert!(complaint(&pi).contains("takes cards of 2^n bytes / grow it: qemu-img resize"));
    }
}
