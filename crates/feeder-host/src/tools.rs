//! The table of host tools.

use serde::Serialize;

/// What a command is about to do, and so which tools it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Run virtual boards.
    Qemu,
    /// Lock packages, build root file systems and disk images.
    Images,
    /// Reach boards, real or virtual.
    Ssh,
    /// Run the tests that compare our codecs with the tools of others.
    Checks,
}

impl Need {
    /// Every need.
    pub const ALL: [Self; 4] = [Self::Qemu, Self::Images, Self::Ssh, Self::Checks];
}

/// One row of the table.
#[derive(Debug)]
pub struct Tool {
    /// What it is called, in messages too.
    pub name: &'static str,
    /// What it is for, to follow the words "used to".
    pub purpose: &'static str,
    /// Who needs it.
    pub needs: &'static [Need],
    /// How to see whether it is there.
    pub look: Look,
    /// Where it comes from.
    pub supply: Supply,
}

/// How to see whether a tool is there.
#[derive(Debug)]
pub enum Look {
    /// One of these programs is in PATH; any version will do.
    Program(&'static [&'static str]),
    /// This program is in PATH, and called with `ask` it prints a version that is at least `least`.
    Versioned {
        /// The program.
        program: &'static str,
        /// Arguments that make it print its version, on either stream.
        ask: &'static [&'static str],
        /// The least version, dotted.
        least: &'static str,
    },
    /// One of these files exists and contains this text.
    File {
        /// Absolute paths.
        paths: &'static [&'static str],
        /// What must be in it.
        contains: &'static str,
        /// What it means when that is not in it.
        otherwise: &'static str,
    },
    /// The kernel runs arm64 programs, by itself or through `binfmt_misc`.
    Arm64Programs,
    /// This program is in PATH, or we are root and need no such thing.
    UnlessRoot(&'static str),
}

/// Where a tool comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    /// A package of the Debian release that is installed.
    Package(&'static str),
    /// A package which is too old in Debian bookworm itself, and new enough in its backports.
    NewerThanBookworm(&'static str),
    /// A package that changes more of a machine than a tool may: installed where `CI=true` says that nobody lives on it, and
    /// elsewhere only used when it is there.
    PackageInCi(&'static str),
    /// Used when it is there, never installed by us.
    Optional,
}

impl Supply {
    /// The Debian package, when there is one.
    pub fn package(self) -> Option<&'static str> {
        match self {
            Self::Package(package)
            | Self::NewerThanBookworm(package)
            | Self::PackageInCi(package) => Some(package),
            Self::Optional => None,
        }
    }

    /// What it comes to on a machine that is, or is not, one of continuous integration.
    pub(crate) fn on(self, ci: bool) -> Self {
        match self {
            Self::PackageInCi(package) if ci => Self::Package(package),
            Self::PackageInCi(_) => Self::Optional,
            supply => supply,
        }
    }
}

const fn program(
    name: &'static [&'static str; 1],
    package: &'static str,
    needs: &'static [Need],
    purpose: &'static str,
) -> Tool {
    Tool {
        name: name[0],
        purpose,
        needs,
        look: Look::Program(name),
        supply: Supply::Package(package),
    }
}

const fn versioned(
    program: &'static str,
    ask: &'static [&'static str],
    least: &'static str,
) -> Look {
    Look::Versioned { program, ask, least }
}

use Need::{Checks, Images, Qemu, Ssh};

/// Every tool of the host that this workspace calls.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "qemu-system-aarch64",
        purpose: "run virtual boards (dgram network over unix sockets, raspi3b)",
        needs: &[Qemu],
        look: versioned("qemu-system-aarch64", &["--version"], "8.2"),
        supply: Supply::NewerThanBookworm("qemu-system-arm"),
    },
    Tool {
        name: "qemu-img",
        purpose: "make the disks of virtual boards",
        needs: &[Qemu],
        look: versioned("qemu-img", &["--version"], "8.2"),
        supply: Supply::NewerThanBookworm("qemu-utils"),
    },
    program(
        &["setpriv"],
        "util-linux",
        &[Qemu],
        "have the kernel end child processes when we are killed",
    ),
    program(
        &["chrt"],
        "util-linux",
        &[Qemu],
        "have virtual boards leave each other time to finish what they are at",
    ),
    Tool {
        name: "mmdebstrap",
        purpose: "build root file systems from locked packages",
        needs: &[Images],
        look: versioned("mmdebstrap", &["--version"], "1.3"),
        supply: Supply::Package("mmdebstrap"),
    },
    program(
        &["arch-test"],
        "arch-test",
        &[Images],
        "let mmdebstrap see that arm64 programs run here",
    ),
    Tool {
        name: "newuidmap",
        purpose: "let mmdebstrap work without root",
        needs: &[Images],
        look: Look::UnlessRoot("newuidmap"),
        supply: Supply::Package("uidmap"),
    },
    Tool {
        name: "qemu-aarch64-static",
        purpose: "run the arm64 packages' own scripts while an image is built",
        needs: &[Images],
        look: versioned("qemu-aarch64-static", &["--version"], "8.2"),
        supply: Supply::NewerThanBookworm("qemu-user-static"),
    },
    Tool {
        name: "binfmt_misc",
        purpose: "have the kernel start arm64 programs through qemu-user",
        needs: &[Images],
        look: Look::Arm64Programs,
        supply: Supply::NewerThanBookworm("qemu-user-static"),
    },
    Tool {
        name: "mke2fs",
        purpose: "write ext4 file systems from a directory, always the same bytes",
        needs: &[Images],
        look: versioned("mke2fs", &["-V"], "1.47"),
        supply: Supply::Package("e2fsprogs"),
    },
    Tool {
        name: "e2fsck",
        purpose: "check the ext4 file systems that were written",
        needs: &[Images],
        look: versioned("e2fsck", &["-V"], "1.47"),
        supply: Supply::Package("e2fsprogs"),
    },
    program(&["mkfs.vfat"], "dosfstools", &[Images], "write FAT file systems"),
    program(
        &["mcopy"],
        "mtools",
        &[Images],
        "put files into FAT file systems without mounting them",
    ),
    program(&["fsck.fat"], "dosfstools", &[Images], "check the FAT file systems that were written"),
    program(&["apt-get"], "apt", &[Images], "resolve package sets into a lock"),
    Tool {
        name: "gpgv or sqv",
        purpose: "check the signatures of the package archive",
        needs: &[Images],
        look: Look::Program(&["gpgv", "sqv"]),
        supply: Supply::Package("gpgv"),
    },
    Tool {
        name: "Debian's archive keys",
        purpose: "know who signs Debian trixie",
        needs: &[Images],
        look: Look::File {
            paths: &[
                "/usr/share/keyrings/debian-archive-keyring.gpg",
                "/usr/share/keyrings/debian-archive-keyring.pgp",
            ],
            contains: "(13/trixie)",
            otherwise: "does not hold the keys of trixie",
        },
        supply: Supply::Package("debian-archive-keyring"),
    },
    program(&["dpkg-deb"], "dpkg", &[Images], "read packages"),
    program(&["cpio"], "cpio", &[Images], "write initramfs archives"),
    program(&["xz"], "xz-utils", &[Images], "unpack kernel modules and packages"),
    program(&["zstd"], "zstd", &[Images], "pack initramfs archives"),
    program(&["ssh"], "openssh-client", &[Ssh, Qemu], "reach boards"),
    program(&["ssh-keygen"], "openssh-client", &[Ssh, Qemu, Images], "make and read keys"),
    program(&["debugfs"], "e2fsprogs", &[Qemu], "look into roots that a power cut left"),
    program(&["fsck.vfat"], "dosfstools", &[Qemu], "check boot partitions that a power cut left"),
    program(&["git"], "git", &[Checks], "know which files belong to the repository"),
    program(&["tshark"], "tshark", &[Checks], "check packet captures from outside"),
    program(&["dnsmasq"], "dnsmasq-base", &[Checks], "check the DHCP and TFTP codecs from outside"),
    program(&["sfdisk"], "fdisk", &[Checks], "check partition tables from outside"),
    program(&["losetup"], "mount", &[Checks], "move a system between two disks in tests"),
    program(&["rsync"], "rsync", &[Checks], "copy a system from one disk to another in tests"),
    program(
        &["mkfs.f2fs"],
        "f2fs-tools",
        &[Checks],
        "make the other root of a master's SSD in tests",
    ),
    program(&["busybox"], "busybox", &[Checks], "run the scripts for hosts with another shell"),
    program(&["chromium"], "chromium", &[Checks], "look at reports in a real browser"),
    program(&["pkill"], "procps", &[Checks], "end single processes in tests"),
    Tool {
        name: "sshd",
        purpose: "test against a real SSH server",
        needs: &[Checks],
        look: Look::Program(&["sshd"]),
        // Its package starts a server for the whole machine, which is not ours to decide where people work.
        supply: Supply::PackageInCi("openssh-server"),
    },
    Tool {
        name: "python3",
        purpose: "compare provisioning with ansible-core",
        needs: &[Checks],
        look: Look::Program(&["python3"]),
        supply: Supply::Optional,
    },
    Tool {
        name: "cargo-nextest",
        purpose: "run the tests faster",
        needs: &[Checks],
        look: Look::Program(&["cargo-nextest"]),
        supply: Supply::Optional,
    },
];

/// Programs that every Debian system has (essential packages and coreutils), or that come with a tool of the table.
const EVERYWHERE: &[&str] =
    &["apt-config", "chroot", "cp", "env", "id", "mkfifo", "sh", "tar", "unshare"];

/// Whether a program may be called: it is in the table, or everywhere.
pub fn is_known_program(name: &str) -> bool {
    let in_table = TOOLS.iter().any(|tool| match &tool.look {
        Look::Program(names) => names.contains(&name),
        Look::Versioned { program, .. } | Look::UnlessRoot(program) => *program == name,
        Look::File { .. } | Look::Arm64Programs => false,
    });
    in_table || EVERYWHERE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    #[test]
    fn rows_are_complete_and_names_unique() {
        for (index, tool) in TOOLS.iter().enumerate() {
            assert!(!tool.needs.is_empty(), "{} is needed by nobody", tool.name);
            assert!(
                TOOLS[..index].iter().all(|other| other.name != tool.name),
                "{} is there twice",
                tool.name
            );
            if let Look::Versioned { least, .. } = tool.look {
                assert!(least.parse::<Version>().is_ok(), "{}: {least}", tool.name);
            }
        }
    }
}
