//! Going through folders.

use std::io;

use camino::{FromPathBufError, Utf8Path, Utf8PathBuf};

/// All files below a folder, sorted; links count as what they lead to.
pub(crate) fn files_below(root: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs_err::read_dir(&dir)? {
            let path =
                Utf8PathBuf::try_from(entry?.path()).map_err(FromPathBufError::into_io_error)?;
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}
