//! A root after a power cut: whether e2fsck mends it.

use camino::Utf8Path;
use feeder_process::{Cmd, Output};

use super::{copy, fat::words, table::Partition};
use crate::{Class, OrFail, Verdict};

/// Copies a root to `to`, mends that as the system does it at its start (`-p`, and with `fsck.repair=yes` also `-y`), has it
/// looked over again, and reads a file of it. What speaks against booting from it, or the file.
pub(super) fn mended(
    image: &Utf8Path,
    partition: &Partition,
    to: &Utf8Path,
    file: &str,
) -> Verdict<Result<String, String>> {
    // e2undo could put the image itself back, but e2fsck does not write its file when it replays a journal.
    copy::partition(image, partition, to)?;
    let mut said = tool(Cmd::new("e2fsck").args(["-p", to.as_str()]))?;
    if failed(&said) {
        said = tool(Cmd::new("e2fsck").args(["-f", "-y", to.as_str()]))?;
    }
    if failed(&said) {
        return Ok(Err(format!("e2fsck cannot mend it: {}", words(&said))));
    }
    let said = tool(Cmd::new("e2fsck").args(["-f", "-n", to.as_str()]))?;
    if said.status.code != Some(0) {
        return Ok(Err(format!("e2fsck leaves mistakes: {}", words(&said))));
    }
    let said = tool(Cmd::new("debugfs").args(["-R", &format!("cat {file}"), to.as_str()]))?;
    Ok(Ok(said.stdout_text()))
}

/// From 4 on something was left uncorrected (e2fsck(8)).
fn failed(said: &Output) -> bool {
    said.status.code.is_none_or(|code| code >= 4)
}

fn tool(cmd: Cmd) -> Verdict<Output> {
    cmd.output().or_fail(Class::Host, "cannot run a tool of e2fsprogs")
}
