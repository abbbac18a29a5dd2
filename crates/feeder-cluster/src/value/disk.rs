//! Disks by their stable names.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown};

/// A whole disk as udev names it after model and serial number: `/dev/disk/by-id/usb-Samsung_Portable_SSD_T5_1234567-0:0`.
///
/// The kernel's own names, such as `/dev/sda`, are given out anew at every boot, in the order in which disks are found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskId(String);

const WANTED: &str = "the stable name of a disk";
const FOLDER: &str = "/dev/disk/by-id/";

impl DiskId {
    /// The name within `/dev/disk/by-id`.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{FOLDER}{}", self.0))
    }
}

impl FromStr for DiskId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const LIST: &str =
            "`ls -l /dev/disk/by-id` on the master shows the stable names of its disks";
        let invalid = |why: String| Invalid::new(text, WANTED, why);
        let Some(name) = text.strip_prefix(FOLDER) else {
            let why = if text.starts_with("/dev/disk/") {
                "only names below /dev/disk/by-id stay with a disk whatever is on it".to_owned()
            } else if text.starts_with("/dev/") {
                "the kernel gives such names out anew at every boot, and it may be another disk's next time"
                    .to_owned()
            } else {
                format!("it does not begin with {FOLDER}")
            };
            return Err(invalid(why).hint(LIST));
        };
        if name.is_empty() {
            return Err(invalid("the name is missing".to_owned()).hint(LIST));
        }
        // What udev leaves as it is, less the slash; so a name needs no quoting anywhere.
        let fits = |c: char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c);
        if let Some(odd) = name.chars().find(|c| !fits(*c)) {
            let odd = shown(&odd.to_string());
            return Err(invalid(format!("`{odd}` does not occur in such names")).hint(LIST));
        }
        let numbered = |(whole, number): (&str, &str)| {
            (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
                .then(|| whole.to_owned())
        };
        if let Some(whole) = name.rsplit_once("-part").and_then(numbered) {
            return Err(invalid("it is a partition, and the whole disk is wanted".to_owned())
                .hint(format!("write {FOLDER}{whole}")));
        }
        if name.starts_with('.') || name.starts_with('-') {
            return Err(invalid("no disk's name begins like that".to_owned()).hint(LIST));
        }
        Ok(Self(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_stay_with_a_disk() {
        for text in [
            "/dev/disk/by-id/usb-Samsung_Portable_SSD_T5_1234567-0:0",
            "/dev/disk/by-id/wwn-0x5002538e40a1b2c3",
            "/dev/disk/by-id/usb-part_of_the_name",
        ] {
            assert_eq!(text.parse::<DiskId>().map(|disk| disk.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn names_that_do_not_and_what_is_no_name_at_all() {
        for text in [
            "/dev/sda",
            "/dev/mmcblk0",
            "/dev/disk/by-path/platform-3f980000.usb-usb-0:1.2:1.0-scsi-0:0:0:0",
            "/dev/disk/by-id/",
            "/dev/disk/by-id/..",
            "/dev/disk/by-id/a/b",
            "/dev/disk/by-id/a b",
            "/dev/disk/by-id/$(reboot)",
            "usb-Samsung",
            "",
        ] {
            assert!(text.parse::<DiskId>().is_err(), "{text}");
        }
        let partition = "/dev/disk/by-id/usb-X-0:0-part2".parse::<DiskId>().unwrap_err();
        assert_eq!(partition.hint.as_deref(), Some("write /dev/disk/by-id/usb-X-0:0"));
    }
}
