//! A root after a power cut: whether e2fsck mends it. The image is left as it was.

use std::os::unix::fs::FileExt;

use camino::Utf8Path;
use feeder_process::{Cmd, Output};
use fs_err as fs;

use super::{fat::words, table::Partition};
use crate::{Class, Failure, OrFail, Verdict};

/// Where the super block of ext4 is, and how long it is, in bytes (kernel, `Documentation/filesystems/ext4/super.rst`).
const SUPER: u64 = 1024;

/// Mends the root as the system does at its start (`-p`, and with `fsck.repair=yes` also `-y`), has it looked over again, reads
/// a file of it, and undoes all of that. What speaks against booting from it, or the file.
pub(super) fn mends(
    image: &Utf8Path,
    partition: &Partition,
    undo: &Utf8Path,
    file: &str,
) -> Verdict<Result<String, String>> {
    let disk = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(image)
        .or_fail(Class::Host, "cannot open a disk's image")?;
    let at = partition.start + SUPER;
    let mut before = [0; SUPER as usize];
    disk.file().read_exact_at(&mut before, at).or_fail(Class::Host, "cannot read a super block")?;

    let root = format!("{image}?offset={}", partition.start);
    let judged = judged(&root, undo, file);

    if undo.is_file() {
        let undone = tool(Cmd::new("e2undo").args([
            "-o",
            &partition.start.to_string(),
            undo.as_str(),
            image.as_str(),
        ]))?;
        if !undone.status.success() {
            return Err(Failure::harness("e2undo does not undo what e2fsck did")
                .detail(words(&undone.stderr)));
        }
        fs::remove_file(undo).or_fail(Class::Host, "cannot remove a file")?;
    }
    // e2undo leaves times and checksums of its own there.
    disk.file().write_all_at(&before, at).or_fail(Class::Host, "cannot write a super block")?;
    judged
}

fn judged(root: &str, undo: &Utf8Path, file: &str) -> Verdict<Result<String, String>> {
    let mend = |how: &[&str]| {
        tool(Cmd::new("e2fsck").args(how.iter().copied()).args(["-z", undo.as_str(), root]))
    };
    let failed = |said: &Output| said.status.code.is_none_or(|code| code >= 4);
    let mut said = mend(&["-p"])?;
    if failed(&said) {
        said = mend(&["-f", "-y"])?;
    }
    if failed(&said) {
        return Ok(Err(format!("e2fsck cannot mend it: {}", words(&said.stdout_text()))));
    }
    let said = tool(Cmd::new("e2fsck").args(["-f", "-n", root]))?;
    if said.status.code != Some(0) {
        return Ok(Err(format!("e2fsck leaves mistakes: {}", words(&said.stdout_text()))));
    }
    let said = tool(Cmd::new("debugfs").args(["-R", &format!("cat {file}"), root]))?;
    Ok(Ok(said.stdout_text()))
}

fn tool(cmd: Cmd) -> Verdict<Output> {
    cmd.output().or_fail(Class::Host, "cannot run a tool of e2fsprogs")
}
