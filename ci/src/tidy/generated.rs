//! Files that are written by code.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::Finding;

/// A generated file: its path, and the function that writes it.
type Generated = (&'static str, fn() -> String);

const GENERATED: &[Generated] = &[
    ("docs/exit-codes.md", feeder_ui::Exit::markdown),
    ("docs/cluster.toml.md", feeder_cluster::describe::page),
    ("docs/cluster.schema.json", feeder_cluster::describe::json_schema),
];

pub(super) fn stale(root: &Utf8Path) -> Vec<Finding> {
    let stale = GENERATED.iter().filter(|(path, text)| !is_current(root, path, text));
    let finding = |path: &str| Finding {
        file: path.into(),
        line: None,
        what: "differs from what the code says; write it again with `cargo xtask tidy --fix`"
            .into(),
    };
    stale.map(|(path, _)| finding(path)).collect()
}

pub(super) fn write(root: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut written = Vec::new();
    for (path, text) in GENERATED.iter().filter(|(path, text)| !is_current(root, path, text)) {
        fs_err::write(root.join(path), text())?;
        written.push(Utf8PathBuf::from(*path));
    }
    Ok(written)
}

fn is_current(root: &Utf8Path, path: &str, text: &fn() -> String) -> bool {
    fs_err::read_to_string(root.join(path)).is_ok_and(|found| found == text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stale_is_found_and_written_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = Utf8Path::from_path(dir.path()).expect("a UTF-8 path");
        fs_err::create_dir(root.join("docs")).expect("a directory");
        fs_err::write(root.join("docs/exit-codes.md"), "old").expect("a file");
        let all: Vec<&str> = GENERATED.iter().map(|(path, _)| *path).collect();
        let files: Vec<Utf8PathBuf> = stale(root).into_iter().map(|finding| finding.file).collect();
        assert_eq!(files, all, "those that are not there are stale, too");
        assert_eq!(write(root).expect("writable"), all);
        assert_eq!(stale(root), []);
        assert_eq!(write(root).expect("writable"), Vec::<Utf8PathBuf>::new());
    }
}
