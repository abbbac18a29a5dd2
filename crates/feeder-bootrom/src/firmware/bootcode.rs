//! `bootcode.bin`: decides on the directory, reads its part of `config.txt`, loads `start.elf`.

use std::collections::BTreeMap;

use super::choice::start_files;
use super::{Medium, RECOVERY, Stop, must_be_absent};
use crate::board::BoardProfile;
use crate::boot::{BootError, Stage};
use crate::config;

/// Returns the prefix under which all further files are asked for: empty, or `SERIAL/`.
pub(super) fn run(
    board: &BoardProfile,
    medium: &mut dyn Medium,
    warnings: &mut Vec<String>,
) -> Result<String, Stop> {
    let prefix = if medium.is_network() { tree(board, medium)? } else { String::new() };

    if medium.is_network() {
        // Whoever reads a disk has followed it already; here there is no partition to choose.
        let _ = medium.read(&format!("{prefix}autoboot.txt"))?;
    }
    let config_name = format!("{prefix}{}", medium.config_file(board));
    let text = medium.read(&config_name)?.unwrap_or_default();
    // Warnings come from start.elf's reading of the same file.
    let (config, _) = config::parse(&text, &config_name, board, Stage::Bootcode, &BTreeMap::new());

    must_be_absent(medium, format!("{prefix}recovery.elf"), RECOVERY)?;

    let (start, fixup) = start_files(&config, board);
    let start = format!("{prefix}{start}");
    if let Err(why) = medium.read(&start)? {
        let place = if medium.is_network() {
            format!("in the directory {} or at the top of the TFTP tree", board.prefix())
        } else {
            "in the root directory of the boot partition".into()
        };
        return Err(BootError::NoStart { name: start, why, place }.into());
    }
    let fixup = format!("{prefix}{fixup}");
    if let Err(why) = medium.read(&fixup)? {
        warnings.push(format!("{fixup} is missing ({why}): a board then has 128 MB of memory"));
    }
    Ok(prefix)
}

/// The directory named by the serial number, when `start.elf` is in it; it is asked for twice.
fn tree(board: &BoardProfile, medium: &mut dyn Medium) -> Result<String, Stop> {
    let prefix = format!("{}/", board.prefix());
    let start = format!("{prefix}start.elf");
    if medium.probe(&start)?.is_err() {
        return Ok(String::new());
    }
    let _ = medium.probe(&start)?;
    Ok(prefix)
}
