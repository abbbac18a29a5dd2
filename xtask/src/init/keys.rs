//! The user's public keys.

use camino::{Utf8Path, Utf8PathBuf};

/// The first line of a file.
pub(super) fn read(path: &Utf8Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The files of `~/.ssh` that hold a public key, each with its key; the one that `ssh-keygen` makes by default comes first.
pub(super) fn of_user(fits: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let Some(home) = std::env::var("HOME").ok().filter(|home| !home.is_empty()) else {
        return Vec::new();
    };
    let entries = Utf8PathBuf::from(home).join(".ssh").read_dir_utf8();
    let paths = entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.into_path()));
    let mut keys: Vec<(String, String)> = paths
        .filter(|path| path.extension() == Some("pub"))
        .filter_map(|path| Some((path.file_name()?.to_owned(), read(&path).ok()?)))
        .filter(|(_, key)| fits(key))
        .collect();
    keys.sort_by_key(|(name, _)| (name != "id_ed25519.pub", name.clone()));
    keys
}
