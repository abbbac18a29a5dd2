//! Machines as data: what QEMU can be asked to be.

use serde::Deserialize;

/// A kind of machine: which QEMU to start, and how its parts are attached. The data is in `profiles/`.
///
/// Fields are public so that a caller can start from a profile and ask for, say, more memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is asked for by.
    pub name: String,
    /// Three words for a list.
    pub summary: String,
    /// The program.
    pub emulator: String,
    /// `-M`.
    pub machine: String,
    /// `-cpu`; `None` where the machine decides.
    pub processor: Option<String>,
    /// `-smp`; `None` where the machine decides.
    pub processors: Option<u32>,
    /// `-m`, in MiB; `None` where the machine decides.
    pub memory_mib: Option<u32>,
    /// What the guest calls its serial console, for `console=`.
    pub console: String,
    /// Who brings the device tree.
    pub device_tree: DeviceTree,
    /// Whether the machine can run on the host's own processor, where that is the guest's.
    pub kvm: bool,
    /// Why such a machine cannot be saved (see [`crate::Machine::save`]); `None` where it can.
    #[serde(default)]
    pub cannot_save: Option<String>,
    /// More arguments, as they are.
    pub extra: Vec<String>,
    /// How a network card is attached.
    pub nic: NicKind,
    /// How disks are attached.
    pub disk: DiskKind,
    /// How USB disks are attached.
    pub usb: UsbKind,
}

/// Who brings the device tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceTree {
    /// QEMU makes one; ours would not fit.
    Machine,
    /// The machine is a board: the kernel needs the board's.
    Given,
}

/// How a network card is attached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicKind {
    /// `-device`, without the backend and the MAC.
    pub device: String,
    /// The only first byte of a MAC that the guest will see as it was given.
    pub mac_first_byte: Option<u8>,
}

/// How disks are attached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskKind {
    /// `sd` for the one card of a board, else a `-device` for each disk.
    pub attach: String,
    /// Whether a disk's size must be a power of two.
    #[serde(default)]
    pub power_of_two: bool,
}

/// How USB disks are attached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsbKind {
    /// `-device` of a host controller, there when a USB disk is; `None` where the machine has one.
    pub controller: Option<String>,
    /// `-device` for each disk.
    pub device: String,
}

const PROFILES: [(&str, &str); 2] = [
    ("virt", include_str!("../profiles/virt.toml")),
    ("raspi3b", include_str!("../profiles/raspi3b.toml")),
];

impl Profile {
    /// The names of the profiles we have.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().map(|(name, _)| *name)
    }

    /// A profile we have, by name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (_, text) = PROFILES.iter().find(|(known, _)| *known == name)?;
        Some(Self::parse(text).expect("our own profiles are tested"))
    }

    /// The paravirtual machine.
    #[must_use]
    pub fn virt() -> Self {
        Self::named("virt").expect("virt is one of ours")
    }

    /// The Raspberry Pi 3B.
    #[must_use]
    pub fn raspi3b() -> Self {
        Self::named("raspi3b").expect("raspi3b is one of ours")
    }

    /// A profile from TOML.
    ///
    /// # Errors
    /// With line and column, when it is no TOML, or has fields that are unknown or missing.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_profiles_are_what_their_names_say() {
        for name in Profile::names() {
            assert_eq!(Profile::named(name).map(|p| p.name).as_deref(), Some(name));
        }
        assert_eq!(Profile::named("raspi9"), None);
    }

    #[test]
    fn a_machine_that_cannot_be_saved_says_why() {
        assert_eq!(Profile::virt().cannot_save, None);
        assert!(Profile::raspi3b().cannot_save.is_some_and(|why| why.contains("usb-net")));
    }

    #[test]
    fn a_misspelt_field_is_found() {
        let text = PROFILES[0].1.replace("memory_mib", "memory");
        let err = Profile::parse(&text).unwrap_err().to_string();
        assert!(err.contains("unknown field `memory`"), "{err}");
    }
}
