//! Serial numbers of boards.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// The low 32 bits of a board's serial number, which is what its boot firmware puts before the file names it asks for.
///
/// Reads and displays eight hexadecimal digits, as `/proc/cpuinfo` ends its `Serial` line: `9f404536`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(u32);

const WANTED: &str = "a serial number";

impl Serial {
    /// The serial with this value.
    ///
    /// # Errors
    /// Zero: boards whose one-time memory was never written report it, so it names nobody.
    pub fn new(number: u32) -> Result<Self, Invalid> {
        if number == 0 {
            return Err(Invalid::new(
                "00000000",
                WANTED,
                "all zero is what a board without one reports",
            )
            .hint("leave the key out: the worker is then served by its MAC address"));
        }
        Ok(Self(number))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The low 24 bits; on a 3B and 3B+ the MAC address ends in them.
    pub const fn low24(self) -> u32 {
        self.0 & 0x00ff_ffff
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for Serial {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bare = text.strip_prefix("0x").unwrap_or(text);
        if let Some(odd) = bare.chars().find(|c| !c.is_ascii_hexdigit()) {
            let why = format!("`{}` is no hexadecimal digit", super::shown(&odd.to_string()));
            return Err(
                Invalid::new(text, WANTED, why).hint("write its eight digits, like 9f404536")
            );
        }
        let invalid = |why: String| {
            let invalid = Invalid::new(text, WANTED, why);
            match bare.len() {
                8 => invalid.hint(format!("write {}", bare.to_ascii_lowercase())),
                16 => invalid
                    .hint(format!("the last eight are meant: {}", bare[8..].to_ascii_lowercase())),
                _ => {
                    invalid.hint("it is the end of the `Serial` line in the board's /proc/cpuinfo")
                }
            }
        };
        if bare.len() != 8 {
            let digits = if bare.len() == 1 { "digit" } else { "digits" };
            return Err(invalid(format!(
                "it has {} hexadecimal {digits} instead of 8",
                bare.len()
            )));
        }
        if bare.len() != text.len() {
            return Err(invalid("it is written without `0x`".to_owned()));
        }
        u32::from_str_radix(bare, 16)
            .map_err(|error| invalid(error.to_string()))
            .and_then(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_hexadecimal_digits() {
        let serial: Serial = "9F404536".parse().unwrap();
        assert_eq!(
            (serial.get(), serial.low24(), serial.to_string().as_str()),
            (0x9f40_4536, 0x40_4536, "9f404536")
        );
        for text in
            ["", "9f40453", "0x9f404536", "000000009f404536", "9f40453g", "00000000", "+f404536"]
        {
            assert!(text.parse::<Serial>().is_err(), "{text}");
        }
    }
}
