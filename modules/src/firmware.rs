//! Files on the boot partition.

use camino::Utf8Path;

/// A script after which all of the boot partition that has this folder is on the medium. `sync -f` hands all of a FAT to the disk;
/// the folder's own sync has the disk write its cache, too.
pub(crate) fn flushed(folder: &Utf8Path) -> String {
    format!("sync -f {folder}\nsync {folder}\n")
}

/// A script that gives a file what the commands `content` print, so that there is always the old file or the new one.
pub(crate) fn rewritten(file: &Utf8Path, content: &str) -> String {
    let folder = file.parent().unwrap_or(file);
    format!(
        "set -eu\n{{ {content}; }} >{file}.feeder-new\nsync {file}.feeder-new\nmv {file}.feeder-new {file}\n{}",
        flushed(folder)
    )
}
