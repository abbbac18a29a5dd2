//! `autoboot.txt`: which partition to boot (autoboot.adoc).

use std::collections::BTreeMap;

use crate::board::BoardProfile;
use crate::boot::Stage;
use crate::config;

/// Bytes that the firmware reads.
const SIZE: usize = 512;
/// The only filters it knows there.
const FILTERS: [&str; 3] = ["[all]", "[none]", "[tryboot]"];

/// What the file says on one board, in one boot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Autoboot {
    /// The partition's number; `None` for the first one that can be booted.
    pub(super) partition: Option<i64>,
    pub(super) tryboot_a_b: bool,
    pub(super) warnings: Vec<String>,
}

pub(super) fn parse(text: &[u8], board: &BoardProfile) -> Autoboot {
    let mut warnings = Vec::new();
    if text.len() > SIZE {
        warnings.push(format!(
            "autoboot.txt has {} bytes; the firmware reads only the first {SIZE}",
            text.len()
        ));
    }
    let text = &text[..text.len().min(SIZE)];
    let (config, complaints) =
        config::parse(text, "autoboot.txt", board, Stage::Bootcode, &BTreeMap::new());
    warnings.extend(complaints.iter().map(ToString::to_string));
    for (index, line) in String::from_utf8_lossy(text).lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') && !FILTERS.contains(&line.to_ascii_lowercase().as_str()) {
            warnings.push(format!(
                "autoboot.txt:{}: the firmware knows only {} here, not {line}",
                index + 1,
                FILTERS.join(" ")
            ));
        }
    }
    if let Some(value) = config.get("boot_partition")
        && config.number("boot_partition").is_none()
    {
        warnings.push(format!("autoboot.txt: boot_partition={value} is no number"));
    }
    Autoboot {
        partition: config.number("boot_partition").filter(|&number| number != 0),
        tryboot_a_b: config.on("tryboot_a_b"),
        warnings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::BoardModel;

    fn said(text: &str, tryboot: bool) -> (Option<i64>, bool, Vec<String>) {
        let board = BoardProfile { tryboot, ..BoardProfile::of(BoardModel::Pi3BPlus) };
        let Autoboot { partition, tryboot_a_b, warnings } = parse(text.as_bytes(), &board);
        (partition, tryboot_a_b, warnings)
    }

    /// The example of autoboot.adoc.
    #[test]
    fn a_trial_boot_takes_the_other_partition() {
        let text = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";
        assert_eq!(said(text, false), (Some(2), true, vec![]));
        assert_eq!(said(text, true), (Some(3), true, vec![]));
        assert_eq!(said("boot_partition=0\n", false), (None, false, vec![]));
        assert_eq!(said("", false), (None, false, vec![]));
    }

    #[test]
    fn what_the_firmware_would_not_read_is_said() {
        let long = format!("{}\nboot_partition=2\n", "#\n".repeat(256));
        let (partition, _, warnings) = said(&long, false);
        assert_eq!(partition, None);
        assert!(warnings[0].contains("only the first 512"), "{warnings:?}");
        let (_, _, warnings) = said("[pi3]\nboot_partition=2\n", false);
        assert!(warnings[0].contains("autoboot.txt:1") && warnings[0].contains("[pi3]"));
        let (partition, _, warnings) = said("boot_partition=two\n", false);
        assert_eq!((partition, warnings.len()), (None, 1));
    }
}
