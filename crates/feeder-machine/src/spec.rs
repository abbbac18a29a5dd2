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

/// A disk image.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The image; written to.
    pub path: Utf8PathBuf,
    /// How the image holds the disk.
    pub format: DiskFormat,
    /// Names the disk inside QEMU. Letters and digits.
    pub id: String,
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
        if profile.disk.attach == "sd" && self.disks.len() > 1 {
            return wrong(
                format!("{} disks, and a {} has one card slot", self.disks.len(), profile.name),
                "give it one disk",
            );
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
        for disk in self.disks.iter().filter(|_| profile.disk.power_of_two) {
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
fn disk_size(path: &Utf8Path, format: DiskFormat) -> std::io::Result<u64> {
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
        fs_err::write(&pi.disks[0].path, [0; 1000]).unwrap();
        assert!(complaint(&pi).contains("takes cards of 2^n bytes / grow it: qemu-img resize"));
    }
}
