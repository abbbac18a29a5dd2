//! Sizes of files and disks.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// A number of bytes, written with a binary unit: `512MiB`, `8GiB`.
///
/// Displays with the largest unit that leaves a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSize(u64);

const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
const WANTED: &str = "a size";

impl ByteSize {
    /// This many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many times 2²⁰ bytes.
    pub const fn mib(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// This many times 2³⁰ bytes.
    pub const fn gib(count: u32) -> Self {
        Self((count as u64) << 30)
    }

    /// The number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// Whether this can be the size of a worker's state image.
    ///
    /// # Errors
    /// Under 256 MiB there is no room for what a system writes by itself; beyond 16 TiB ext4 with 4 KiB blocks ends.
    pub fn of_state_image(self) -> Result<Self, Invalid> {
        let (least, most) = (Self::mib(256), Self::gib(16 << 10));
        let invalid =
            |why: String| Err(Invalid::new(&self.to_string(), "a size for a worker's state", why));
        if self < least {
            return invalid(format!("{least} is the least")).map_err(|invalid| {
                invalid.hint("the image is sparse: it takes only the room that the worker fills")
            });
        }
        if self > most {
            return invalid(format!("{most} is the most that ext4 holds"));
        }
        Ok(self)
    }

    /// Whether this can be the size of a container's log file.
    ///
    /// # Errors
    /// Under 16 KiB, Docker would write little else than new files; over 1 GiB, a few logs would fill a state image.
    pub fn of_log_file(self) -> Result<Self, Invalid> {
        let (least, most) = (Self(16 << 10), Self::gib(1));
        if self < least || self > most {
            let why = format!("it may be from {least} to {most}");
            return Err(Invalid::new(&self.to_string(), "a size for a log file", why));
        }
        Ok(self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |shift: &u32| self.0 != 0 && self.0.trailing_zeros() >= *shift;
        let (unit, shift) = UNITS.iter().find(|(_, shift)| whole(shift)).unwrap_or(&UNITS[4]);
        f.pad(&format!("{}{unit}", self.0 >> shift))
    }
}

impl FromStr for ByteSize {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        let invalid = |why: &str| Invalid::new(text, WANTED, why);
        if digits.is_empty() {
            return Err(
                invalid("it does not begin with a number").hint("write it like 8GiB or 512MiB")
            );
        }
        let Some((_, shift)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(if unit.is_empty() {
                invalid("it has no unit").hint(format!("write {digits}GiB or {digits}MiB"))
            } else {
                let why =
                    format!("`{}` is none of the units B, KiB, MiB, GiB, TiB", super::shown(unit));
                let initial = unit.trim_start().chars().next().map(|c| c.to_ascii_uppercase());
                match UNITS.iter().find(|(name, _)| name.chars().next() == initial) {
                    Some((name, _)) => invalid(&why).hint(format!("write {digits}{name}")),
                    None => invalid(&why).hint("write it like 8GiB or 512MiB"),
                }
            });
        };
        let number: Option<u64> = digits.parse().ok();
        number
            .and_then(|number| number.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| invalid("it is beyond 2⁶⁴ bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_units_only() {
        assert_eq!("8GiB".parse(), Ok(ByteSize::gib(8)));
        assert_eq!("512MiB".parse(), Ok(ByteSize::mib(512)));
        assert_eq!(ByteSize::mib(1536).to_string(), "1536MiB");
        assert_eq!(ByteSize::bytes(0).to_string(), "0B");
        for (text, hint) in [
            ("8GB", "write 8GiB"),
            ("8g", "write 8GiB"),
            ("8 GiB", "write 8GiB"),
            ("8", "write 8GiB or 8MiB"),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap_err().hint.as_deref(), Some(hint), "{text}");
        }
        assert!("16777216TiB".parse::<ByteSize>().is_err());
        assert!("99999999999999999999B".parse::<ByteSize>().is_err());
    }

    #[test]
    fn a_state_image_has_a_least_and_a_most() {
        assert!(ByteSize::mib(255).of_state_image().is_err());
        assert!(ByteSize::mib(256).of_state_image().is_ok());
        assert!(ByteSize::gib(16 << 10).of_state_image().is_ok());
        assert!(ByteSize::bytes((16 << 40) + 1).of_state_image().is_err());
        assert!(ByteSize::bytes((16 << 10) - 1).of_log_file().is_err());
        assert!(ByteSize::mib(10).of_log_file().is_ok());
        assert!(ByteSize::gib(2).of_log_file().is_err());
    }
}
