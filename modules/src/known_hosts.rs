//! Host keys of workers, made by the master and recorded here: no worker is ever trusted on first use.

use camino::Utf8Path;

/// A known_hosts text in which exactly these keys stand under these names; lines about others stay as they are.
///
/// `keys` are names with the public key as in the `.pub` file: type, key, comment.
fn recorded(text: &str, keys: &[(String, String)]) -> String {
    let ours = |line: &str| {
        let name = line.split_whitespace().next().unwrap_or_default();
        keys.iter().any(|(node, _)| node == name)
    };
    let mut lines: Vec<String> =
        text.lines().filter(|line| !ours(line)).map(str::to_owned).collect();
    for (node, key) in keys {
        let words: Vec<&str> = key.split_whitespace().take(2).collect();
        lines.push(format!("{node} {}", words.join(" ")));
    }
    lines.join("\n") + "\n"
}

/// Records keys in a known_hosts file, which need not exist; all or nothing.
pub(crate) fn record(path: &Utf8Path, keys: &[(String, String)]) -> std::io::Result<()> {
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let wanted = recorded(&text, keys);
    if wanted == text {
        return Ok(());
    }
    replace(path, &wanted)
}

/// Writes a file as a whole; who reads it meanwhile has the old one or the new one. Its folder need not exist.
pub(crate) fn replace(path: &Utf8Path, text: &str) -> std::io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    fs_err::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default();
    let partial = folder.join(format!(".{name}.{}.partial", std::process::id()));
    fs_err::write(&partial, text)?;
    fs_err::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::recorded;

    #[test]
    fn a_new_key_replaces_the_old_and_leaves_others_alone() {
        let keys = [("cluster01".to_owned(), "ssh-ed25519 NEW root@cluster01\n".to_owned())];
        let text = "cluster00 ssh-ed25519 MASTER\ncluster01 ssh-ed25519 OLD\n";
        let new = recorded(text, &keys);
        assert_eq!(new, "cluster00 ssh-ed25519 MASTER\ncluster01 ssh-ed25519 NEW\n");
        assert_eq!(recorded(&new, &keys), new);
    }
}
