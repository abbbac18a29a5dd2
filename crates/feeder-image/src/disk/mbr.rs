//! The partition table of a PC, as a Pi's boot ROM reads it.
//!
//! Sector 0: boot code (zero here), at 440 the disk signature, at 446 four entries of 16 bytes, at 510 `55 aa`.
//! Linux calls partition *n* `PARTUUID=<signature>-0<n>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes in a sector, for every address in the table.
pub const SECTOR: u64 = 512;

/// The signature that tells disks apart: eight hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature(pub u32);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for Signature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 8 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        digits.then(|| u32::from_str_radix(text, 16).ok()).flatten().map(Self).ok_or_else(|| {
            format!("`{text}` is no disk signature: eight lower-case hex digits are wanted")
        })
    }
}

impl TryFrom<String> for Signature {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        signature.to_string()
    }
}

/// What a partition says it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// FAT32, found by its sector address.
    Fat32 = 0x0c,
    /// A file system of Linux.
    Linux = 0x83,
}

/// A partition: where it lies, in bytes. Both are multiples of [`SECTOR`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// What it holds.
    pub kind: Kind,
    /// Of its first byte.
    pub start: u64,
    /// Its length in bytes.
    pub size: u64,
}

/// Sector 0 of a disk with these partitions, four at most.
///
/// # Errors
///
/// What is wrong with the partitions: too many, not on sectors, beyond the 2 TiB that the table can say, overlapping.
pub fn sector(signature: Signature, partitions: &[Partition]) -> Result<[u8; 512], String> {
    if partitions.len() > 4 {
        return Err(format!("{} partitions; the table has room for 4", partitions.len()));
    }
    let mut sector = [0; 512];
    sector[440..444].copy_from_slice(&signature.0.to_le_bytes());
    let mut end = SECTOR;
    for (index, partition) in partitions.iter().enumerate() {
        let Partition { kind, start, size } = *partition;
        if !start.is_multiple_of(SECTOR) || !size.is_multiple_of(SECTOR) || size == 0 {
            return Err(format!("partition {} does not lie on sectors", index + 1));
        }
        if start < end {
            return Err(format!(
                "partition {} begins before the end of what is in front of it",
                index + 1
            ));
        }
        end = start + size;
        let address = |bytes: u64| {
            u32::try_from(bytes / SECTOR)
                .map_err(|_| format!("partition {} lies beyond 2 TiB", index + 1))
        };
        let entry = &mut sector[446 + 16 * index..][..16];
        // Cylinder, head and sector cannot say such addresses; these values mean "use the sector address".
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[4] = kind as u8;
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&address(start)?.to_le_bytes());
        entry[12..16].copy_from_slice(&address(size)?.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(sector)
}

#[cfg(test)]
mod tests {
    use feeder_process::Cmd;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn two() -> [Partition; 2] {
        [
            Partition { kind: Kind::Fat32, start: 4 * MIB, size: 16 * MIB },
            Partition { kind: Kind::Linux, start: 20 * MIB, size: 44 * MIB },
        ]
    }

    #[test]
    fn sfdisk_reads_the_same() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), sector(Signature(0xfe3d_e201), &two()).unwrap()).unwrap();
        file.as_file().set_len(64 * MIB).unwrap();
        let output = Cmd::new("sfdisk").arg("-J").arg(file.path()).run().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let table = &json["partitiontable"];
        assert_eq!((&table["label"], &table["id"]), (&"dos".into(), &"0xfe3de201".into()));
        let seen: Vec<_> = table["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| {
                (
                    p["start"].as_u64().unwrap(),
                    p["size"].as_u64().unwrap(),
                    p["type"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(seen, [(8192, 32768, "c"), (40960, 90112, "83")]);
    }

    #[test]
    fn impossible_tables_are_refused() {
        let refused = |change: fn(&mut [Partition; 2])| {
            let mut partitions = two();
            change(&mut partitions);
            sector(Signature(1), &partitions).unwrap_err()
        };
        assert!(refused(|p| p[1].start -= SECTOR).contains("before the end"));
        assert!(refused(|p| p[0].start = 0).contains("before the end"));
        assert!(refused(|p| p[1].size += 1).contains("sectors"));
        assert!(refused(|p| p[1].start = 4 << 40).contains("2 TiB"));
        assert!(sector(Signature(1), &[two()[0]; 5]).unwrap_err().contains("room for 4"));
    }

    #[test]
    fn a_signature_is_eight_digits() {
        assert_eq!("fe3de201".parse::<Signature>().unwrap().to_string(), "fe3de201");
        for wrong in ["fe3de20", "FE3DE201", "0xfe3de2", "+e3de201"] {
            assert!(wrong.parse::<Signature>().is_err(), "{wrong}");
        }
    }
}
