//! One-time programmable memory, as far as booting depends on it.

use crate::board::BoardModel;

/// The rows of a board's OTP that decide on boot modes, as `vcgencmd otp_dump` prints them (otp-bits.adoc).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Otp {
    /// Row 17. Bit 29 is USB host boot, which is USB disks and network together.
    pub boot_mode: u32,
    /// Row 66. Bit 24 extends the time for which USB devices are waited for; that this is the bit that
    /// `program_usb_boot_timeout=1` sets is inferred.
    pub advanced: u32,
}

impl Otp {
    /// As the board leaves the factory.
    ///
    /// boot-msd.adoc says of the 3B+ that USB boot works "out of the box"; boot-usb.adoc said otherwise. Users
    /// agree with the first. Read row 17 on the board before relying on it.
    #[must_use]
    pub fn of(model: BoardModel) -> Self {
        let boot_mode = match model {
            BoardModel::Pi3B => 0x1020_000a,
            BoardModel::Pi3BPlus => 0x3020_000a,
        };
        Self { boot_mode, advanced: 0 }
    }

    /// After a start with `program_usb_boot_mode=1`, which cannot be undone.
    #[must_use]
    pub fn with_usb_host_boot(self) -> Self {
        Self { boot_mode: self.boot_mode | 1 << 29, ..self }
    }

    /// After a start with `program_usb_boot_timeout=1`, which cannot be undone.
    #[must_use]
    pub fn with_long_usb_timeout(self) -> Self {
        Self { advanced: self.advanced | 1 << 24, ..self }
    }

    /// Whether the boot ROM looks at USB disks and the network.
    #[must_use]
    pub fn usb_host_boot(self) -> bool {
        self.boot_mode & 1 << 29 != 0
    }

    /// Whether the firmware waits five seconds for USB devices instead of two.
    #[must_use]
    pub fn long_usb_timeout(self) -> bool {
        self.advanced & 1 << 24 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plus_boots_from_usb_as_delivered() {
        let (old, new) = (Otp::of(BoardModel::Pi3B), Otp::of(BoardModel::Pi3BPlus));
        assert!(!old.usb_host_boot() && new.usb_host_boot());
        assert_eq!(old.with_usb_host_boot(), new);
        assert!(!new.long_usb_timeout() && new.with_long_usb_timeout().long_usb_timeout());
    }
}
