//! The boot partition: FAT32, made by dosfstools and mtools from a directory.

use std::fs::{File, FileTimes};
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use feeder_process::Cmd;

use crate::ImageError;

/// What a FAT32 file system is made of, beside its files.
#[derive(Debug, Clone)]
pub struct Fat<'a> {
    /// At most 11 letters.
    pub label: &'a str,
    /// Volume serial number: eight hex digits.
    pub serial: &'a str,
    /// In bytes, a multiple of 1 MiB.
    pub size: u64,
    /// Where on its disk it will lie, in bytes; FAT writes it down.
    pub start: u64,
    /// Seconds since 1970, for every time stamp.
    pub time: i64,
}

/// Writes the file `image` with everything in `tree`. The same tree gives the same bytes.
///
/// # Errors
///
/// [`ImageError::Process`] when a tool fails, for example because the files do not fit.
pub fn make(fat: &Fat<'_>, tree: &Utf8Path, image: &Utf8Path) -> Result<(), ImageError> {
    let problem = || ImageError::io("make the boot partition");
    File::create(image).and_then(|file| file.set_len(fat.size)).map_err(problem())?;
    // Four sectors a cluster, as Raspberry Pi OS has it. --invariant: no time of day, no random serial.
    let format = ["-F", "32", "-s", "4", "--invariant", "-n", fat.label, "-i", fat.serial];
    Cmd::new("mkfs.vfat")
        .args(format)
        .args(["-h", &(fat.start / super::mbr::SECTOR).to_string(), image.as_str()])
        .env("LC_ALL", "C")
        .run()
        .map_err(ImageError::process("format the boot partition"))?;

    stamp(tree, fat.time).map_err(problem())?;
    // In sorted order and directories first, so that clusters are given out the same way every time.
    for entry in sorted(tree).map_err(problem())? {
        Cmd::new("mcopy")
            .args(["-s", "-m", "-Q", "-i", image.as_str(), entry.as_str(), "::"])
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("SOURCE_DATE_EPOCH", fat.time.to_string())
            .env("MTOOLSRC", "/dev/null")
            .run()
            .map_err(ImageError::process(format!("copy {entry} to the boot partition")))?;
    }
    Ok(())
}

fn sorted(dir: &Utf8Path) -> std::io::Result<Vec<camino::Utf8PathBuf>> {
    let entries: std::io::Result<Vec<_>> =
        dir.read_dir_utf8()?.map(|entry| entry.map(camino::Utf8DirEntry::into_path)).collect();
    let mut entries = entries?;
    entries.sort();
    Ok(entries)
}

/// Gives every file and directory below `dir` the same time; mcopy takes it over.
fn stamp(dir: &Utf8Path, time: i64) -> std::io::Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time.try_into().unwrap_or_default());
    for entry in sorted(dir)? {
        if entry.is_dir() {
            stamp(
                &entry,
                time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_secs() as i64),
            )?;
        }
        File::open(&entry)?.set_times(FileTimes::new().set_accessed(time).set_modified(time))?;
    }
    Ok(())
}
