//! Puts the sources of everything that a scenario runs into the binary, so that it can tell what a stored state was made by.
//!
//! It lists files and reads nothing of them: the digests are made by the binary, from the bytes that were compiled.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Error,
    path::{Component, Path, PathBuf},
};

/// What is compiled into tests alone, or not at all. A file that is included by name is taken in spite of it.
const NOT_COMPILED: &[&str] =
    &["tests", "benches", "examples", "snapshots", "proptest-regressions", "target"];
const NOT_COMPILED_FILES: &[&str] = &["snap", "md"];

fn main() -> Result<(), Error> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let root = manifest.parent().unwrap_or(&manifest);
    let mut files = BTreeMap::new();
    for dir in ["crates", "modules", "scenarios"] {
        println!("cargo:rerun-if-changed={}", root.join(dir).display());
        list(&root.join(dir), &mut files)?;
    }
    for file in ["Cargo.lock", "Cargo.toml", "rust-toolchain.toml", ".cargo/config.toml"] {
        let path = root.join(file);
        // One that is not there is not waited for, because cargo would build anew each time. When it comes and means
        // anything, it is another compiler or other flags, and cargo builds everything anew.
        if path.is_file() {
            println!("cargo:rerun-if-changed={}", path.display());
            files.insert(path, ());
        }
    }
    let mut table = String::from("&[\n");
    for path in files.keys() {
        let name = path.strip_prefix(root).unwrap_or(path);
        table.push_str(&format!(
            "    ({:?}, include_bytes!({path:?})),\n",
            name.display().to_string()
        ));
    }
    let compiler = out.join("compiler.txt");
    fs::write(&compiler, self::compiler()?)?;
    table.push_str(&format!("    (\"rustc -vV\", include_bytes!({compiler:?})),\n]\n"));
    fs::write(out.join("sources.rs"), table)
}

/// Adds the files below, and those that they include from elsewhere.
fn list(dir: &Path, files: &mut BTreeMap<PathBuf, ()>) -> Result<(), Error> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !NOT_COMPILED.contains(&name.as_str()) {
                list(&path, files)?;
            }
        } else if !NOT_COMPILED_FILES.contains(&extension.as_str()) {
            if extension == "rs" {
                for included in included(&path)? {
                    println!("cargo:rerun-if-changed={}", included.display());
                    files.insert(included, ());
                }
            }
            files.insert(path, ());
        }
    }
    Ok(())
}

/// The files that a source names in `include_str!` and its kin; also in a comment, which does no harm.
fn included(source: &Path) -> Result<Vec<PathBuf>, Error> {
    let text = fs::read_to_string(source)?;
    let calls = text.split("include").skip(1).filter_map(|rest| {
        let rest = ["_str!", "_bytes!", "!"].iter().find_map(|end| rest.strip_prefix(end))?;
        let literal = rest.trim_start_matches(['(', '[', '{', ' ', '\n']).strip_prefix('"')?;
        literal.split('"').next()
    });
    let dir = source.parent().unwrap_or(source);
    Ok(calls.map(|path| plain(&dir.join(path))).filter(|path| path.is_file()).collect())
}

/// Without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// The compiler, and how it is told to compile.
fn compiler() -> Result<Vec<u8>, Error> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    #[expect(clippy::disallowed_methods, reason = "a build script of what our own processes need")]
    let mut text = std::process::Command::new(rustc).arg("-vV").output()?.stdout;
    for name in ["TARGET", "PROFILE", "OPT_LEVEL", "DEBUG", "CARGO_ENCODED_RUSTFLAGS"] {
        let value = env::var(name).unwrap_or_default();
        text.extend_from_slice(format!("{name}: {value}\n").as_bytes());
    }
    Ok(text)
}
