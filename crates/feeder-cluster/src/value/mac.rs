//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// The address of one network card: six bytes, neither all zero nor a group address (IEEE 802-2014, 8.2.2).
///
/// Reads `b8:27:eb:40:45:36`, `b8-27-eb-40-45-36` and `b827eb404536` in either case; displays the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr([u8; 6]);

/// Blocks that the IEEE registered for Raspberry Pi (Trading). New ones appear over the years, so an address outside is odd, not wrong.
const RASPBERRY_PI: [[u8; 3]; 7] = [
    [0xb8, 0x27, 0xeb],
    [0xdc, 0xa6, 0x32],
    [0xe4, 0x5f, 0x01],
    [0xd8, 0x3a, 0xdd],
    [0x28, 0xcd, 0xc1],
    [0x2c, 0xcf, 0x67],
    [0x88, 0xa2, 0x9e],
];

const WANTED: &str = "a MAC address";

impl MacAddr {
    /// The address with these bytes, in the order in which they travel.
    ///
    /// # Errors
    /// All zero, or the group bit set: no network card has such an address of its own.
    pub fn new(octets: [u8; 6]) -> Result<Self, Invalid> {
        let mac = Self(octets);
        if octets == [0; 6] {
            return Err(Invalid::new(
                &mac.to_string(),
                WANTED,
                "all zero means that there is none",
            ));
        }
        if octets[0] & 1 == 1 {
            let kind = if octets == [0xff; 6] { "the broadcast" } else { "a multicast" };
            let why = format!("it is {kind} address, which no board has as its own");
            return Err(Invalid::new(&mac.to_string(), "the MAC address of one board", why));
        }
        Ok(mac)
    }

    /// The six bytes in the order in which they travel.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// The first three bytes, which name who registered the address.
    pub const fn oui(self) -> [u8; 3] {
        [self.0[0], self.0[1], self.0[2]]
    }

    /// The last three bytes as a number; on a 3B and 3B+ the serial number ends in them.
    pub const fn low24(self) -> u32 {
        u32::from_be_bytes([0, self.0[3], self.0[4], self.0[5]])
    }

    /// Whether the block is one of those known to belong to Raspberry Pi.
    pub fn is_raspberry_pi(self) -> bool {
        RASPBERRY_PI.contains(&self.oui())
    }

    /// `b8-27-eb-40-45-36`: the form in which dnsmasq (`--tftp-unique-root=mac`) names directories.
    pub fn dashed(self) -> String {
        self.to_string().replace(':', "-")
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let example = "write it like b8:27:eb:40:45:36";
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_hexdigit() && !":-. ".contains(*c)) {
            let why = format!("`{}` is no hexadecimal digit", super::shown(&odd.to_string()));
            return Err(Invalid::new(text, WANTED, why).hint(example));
        }
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let Ok(number) = u64::from_str_radix(&digits, 16)
            .map_err(drop)
            .and_then(|number| if digits.len() == 12 { Ok(number) } else { Err(()) })
        else {
            let why = match digits.len() {
                1 => "it has 1 hexadecimal digit instead of 12".to_owned(),
                count => format!("it has {count} hexadecimal digits instead of 12"),
            };
            return Err(Invalid::new(text, WANTED, why).hint(example));
        };
        let [_, _, octets @ ..] = number.to_be_bytes();
        let given = text.to_ascii_lowercase();
        let mac = Self(octets);
        if given != mac.to_string() && given != mac.dashed() && given != digits.to_ascii_lowercase()
        {
            let why = "its separators are not `:` or `-` after every two digits";
            return Err(Invalid::new(text, WANTED, why).hint(format!("write it as {mac}")));
        }
        Self::new(octets).map_err(|invalid| Invalid { value: super::shown(text), ..invalid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ways_to_write_it_are_one_address() {
        let wanted = MacAddr::new([0xb8, 0x27, 0xeb, 0x40, 0x45, 0x36]).unwrap();
        for text in ["b8:27:eb:40:45:36", "B8-27-EB-40-45-36", "b827eb404536"] {
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
        assert_eq!(wanted.dashed(), "b8-27-eb-40-45-36");
        assert_eq!(wanted.low24(), 0x404536);
        assert!(wanted.is_raspberry_pi());
    }

    #[test]
    fn what_is_no_address_of_a_board_is_refused() {
        for text in [
            "",
            "b8:27:eb:40:45",
            "b8:27:eb-40-45-36",
            "b827.eb40.4536",
            "b8:27:eb:40:45:3g",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            " b8:27:eb:40:45:36",
            "b8:27:eb:40:45:36:00:11:22:33:44:55",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }
}
