//! Writing a file in one step.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use camino::Utf8Path;
use feeder_process::quote;

/// Characters of base64 on a line.
const LINE: usize = 76;

/// Who a file belongs to, by name or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The user.
    pub user: &'a str,
    /// The group.
    pub group: &'a str,
}

/// A script that puts `content` at the absolute path `path`: the old file is there until all of the new one is on disk.
///
/// The bytes go to `.NAME.feeder-new` beside the file, which never can be read by more than the file will; they are
/// made durable and renamed over it. A run that is cut off leaves at most that file, and the next run replaces it. Missing parent folders are
/// an error; a folder in the file's place too. Run by root: what belongs to root is not given away first. `mode` is the permission bits.
#[must_use]
pub fn write_file_script(
    path: &Utf8Path,
    content: &[u8],
    mode: u32,
    owner: Option<Owner<'_>>,
) -> String {
    let new = path.with_file_name(format!(".{}.feeder-new", path.file_name().unwrap_or_default()));
    let (new, path) = (quote(new.as_str()).into_owned(), quote(path.as_str()));
    // Every process counts on a slow board: what the shell can do or see itself starts none. A new file gets at most
    // read and write from the umask; with more than that it is closed to others until its owner is right.
    let plain = mode & !0o666 == 0;
    let umask = if plain { 0o777 & !mode } else { 0o077 };
    let mut script = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(script, "{text}");
    };
    line(format_args!("set -e"));
    line(format_args!("if [ -d {path} ] && [ ! -L {path} ]; then"));
    line(format_args!("echo {path} 'is a directory, not a file' >&2; exit 1"));
    line(format_args!("fi"));
    line(format_args!("if [ -e {new} ] || [ -L {new} ]; then rm -f {new}; fi"));
    // With -C the shell creates the file itself and follows no link that somebody put there.
    line(format_args!("(umask {umask:04o}; set -C; base64 -d >{new}) <<'END'"));
    for chunk in STANDARD.encode(content).as_bytes().chunks(LINE) {
        line(format_args!("{}", String::from_utf8_lossy(chunk)));
    }
    line(format_args!("END"));
    match owner {
        None => {}
        // The usual case, and the usual owner of what root writes.
        Some(Owner { user: "root", group: "root" }) => {
            line(format_args!(
                "if [ ! -O {new} ] || [ ! -G {new} ]; then chown root:root {new}; fi"
            ));
        }
        Some(Owner { user, group }) => {
            line(format_args!("chown {} {new}", quote(&format!("{user}:{group}"))));
        }
    }
    if !plain {
        line(format_args!("chmod {mode:04o} {new}"));
    }
    line(format_args!("sync {new}"));
    line(format_args!("mv -fT {new} {path}"));
    script
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use camino::Utf8PathBuf;
    use proptest::prelude::*;

    use super::*;
    use crate::{Host, Local, RemoteError};

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn the_script() {
        let owner = Owner { user: "root", group: "www-data" };
        let script = write_file_script("/etc/it's".into(), &[0, 255, 10], 0o640, Some(owner));
        insta::assert_snapshot!(script);
    }

    #[test]
    fn a_folder_in_the_way_is_left_alone() {
        let (_guard, dir) = folder();
        let error = Local::new("here").put(&dir, b"x", 0o644).unwrap_err();
        assert!(error.to_string().contains("is a directory, not a file"), "{error}");
    }

    #[test]
    fn a_link_is_replaced_not_followed() {
        let (_guard, dir) = folder();
        std::fs::write(dir.join("other"), "other").unwrap();
        std::os::unix::fs::symlink("other", dir.join("file")).unwrap();
        std::os::unix::fs::symlink("other", dir.join(".file.feeder-new")).unwrap();
        Local::new("here").put(&dir.join("file"), b"mine", 0o600).unwrap();
        assert_eq!(std::fs::read_to_string(dir.join("other")).unwrap(), "other");
        assert_eq!(std::fs::read_to_string(dir.join("file")).unwrap(), "mine");
        assert!(!dir.join(".file.feeder-new").exists());
    }

    #[test]
    fn no_folder_no_file() {
        let (_guard, dir) = folder();
        let error = Local::new("here").put(&dir.join("none/file"), b"x", 0o644).unwrap_err();
        assert!(matches!(error, RemoteError::Script { .. }), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_byte_arrives(content: Vec<u8>, name in "[ -.0-~\u{e4}]{1,20}", mode in 0u32..0o1000) {
            prop_assume!(name != "." && name != "..");
            let (_guard, dir) = folder();
            let path = dir.join(&name);
            for _ in 0..2 {
                Local::new("here").put(&path, &content, mode).unwrap();
                prop_assert_eq!(&std::fs::read(&path).unwrap(), &content);
                prop_assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, mode);
            }
            prop_assert_eq!(dir.read_dir_utf8().unwrap().count(), 1);
        }
    }
}
