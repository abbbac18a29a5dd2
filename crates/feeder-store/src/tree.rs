//! Trees on their way into the store: made durable, made read-only, or thrown away.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;

use crate::StoreError;

/// Flushes every file and directory below `path`, then `path`.
pub(crate) fn sync(path: &Utf8Path) -> Result<(), StoreError> {
    let meta = path.symlink_metadata().map_err(StoreError::io("look at", path))?;
    if meta.is_symlink() {
        return Ok(());
    }
    if meta.is_dir() {
        for entry in path.read_dir_utf8().map_err(StoreError::io("list", path))? {
            sync(entry.map_err(StoreError::io("list", path))?.path())?;
        }
    }
    sync_one(path)
}

/// Flushes one file, or the names in one directory.
pub(crate) fn sync_one(path: &Utf8Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("flush", path))
}

/// Takes the write permission from everything below `path`, but not from `path` itself: a directory that one may
/// not write cannot be renamed into another.
pub(crate) fn make_read_only_below(path: &Utf8Path) -> Result<(), StoreError> {
    for entry in path.read_dir_utf8().map_err(StoreError::io("list", path))? {
        let entry = entry.map_err(StoreError::io("list", path))?;
        let kind = entry.file_type().map_err(StoreError::io("look at", entry.path()))?;
        if kind.is_dir() {
            make_read_only_below(entry.path())?;
        }
        if !kind.is_symlink() {
            make_read_only(entry.path())?;
        }
    }
    Ok(())
}

/// Takes the write permission from `path`.
pub(crate) fn make_read_only(path: &Utf8Path) -> Result<(), StoreError> {
    change_mode(path, |mode| mode & !0o222)
}

/// Removes a tree, read-only directories in it included.
pub(crate) fn remove(path: &Utf8Path) -> Result<(), StoreError> {
    let meta = path.symlink_metadata().map_err(StoreError::io("look at", path))?;
    if !meta.is_dir() {
        return fs::remove_file(path).map_err(StoreError::io("remove", path));
    }
    if meta.permissions().mode() & 0o700 != 0o700 {
        change_mode(path, |mode| mode | 0o700)?;
    }
    for entry in path.read_dir_utf8().map_err(StoreError::io("list", path))? {
        remove(entry.map_err(StoreError::io("list", path))?.path())?;
    }
    fs::remove_dir(path).map_err(StoreError::io("remove", path))
}

fn change_mode(path: &Utf8Path, change: impl FnOnce(u32) -> u32) -> Result<(), StoreError> {
    let old =
        path.metadata().map_err(StoreError::io("look at", path))?.permissions().mode() & 0o7777;
    let new = change(old);
    if new == old {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(new))
        .map_err(StoreError::io("change the permissions of", path))
}
