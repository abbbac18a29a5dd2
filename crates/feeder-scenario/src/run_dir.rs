//! The directory of evidence that every run has, and the short one for its sockets.

mod gc;

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::lease;
use feeder_ui::{Exit, Expected};
use serde::{Deserialize, Serialize};

pub use gc::{Freed, gc};

/// A unix socket's path has at most this many bytes (`sun_path` in unix(7), less the closing zero).
const SOCKET_PATH: usize = 107;
/// Bytes that are left for a socket's own name under [`RunDir::sockets`].
const SOCKET_NAME: usize = 48;
/// How directories for sockets begin.
const SOCKETS: &str = "feeder-";
/// Written before anything of the scenario runs.
const STARTED: &str = "started.json";

/// Evidence of one run: `<root>/<scenario>/<time>-<pid>/`, with `<root>/<scenario>/latest` pointing at the newest.
/// Dropping it removes the sockets and the scratch files; the evidence stays.
#[derive(Debug)]
pub struct RunDir {
    path: Utf8PathBuf,
    sockets: Utf8PathBuf,
    scratch: Utf8PathBuf,
    keep_scratch: bool,
    // Closed last, after the removals in `drop`: until then nobody else cleans here.
    _locks: [std::fs::File; 2],
}

/// What is known of a run before it has done anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The scenario's name.
    pub scenario: String,
    /// When, as RFC 3339 in UTC.
    pub started: String,
    /// The process that runs it.
    pub pid: u32,
}

/// A run's directory could not be made or cleaned.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The file system refused.
    #[error("cannot {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: Utf8PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No directory for temporary files is short enough.
    #[error("the path {path} is too long for unix sockets, which end at {SOCKET_PATH} bytes")]
    LongPath {
        /// The shortest that was tried.
        path: Utf8PathBuf,
    },
}

impl Expected for RunDirError {
    fn exit(&self) -> Exit {
        Exit::Host
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::LongPath { .. } => Some("set TMPDIR to a short path, such as /tmp".into()),
        }
    }
}

impl RunDir {
    /// Makes the directory of a new run, writes the start marker, points `latest` at it, and removes what dead runs of
    /// the same scenario left: all but the newest `keep` of them.
    ///
    /// # Errors
    /// The file system refuses; nothing of a run has happened then.
    pub fn create(root: &Utf8Path, scenario: &str, keep: usize) -> Result<Self, RunDirError> {
        let runs = root.join(scenario);
        make_all(&runs)?;
        gc(root, keep)?;
        let now = jiff::Timestamp::now();
        let path = new_dir(&runs, &now.strftime("%Y-%m-%dT%H-%M-%S").to_string())?;
        let lock = lease::take(path.as_std_path()).map_err(io("lock", &path))?;
        let started = Started {
            scenario: scenario.into(),
            started: now.to_string(),
            pid: std::process::id(),
        };
        write(&path.join(STARTED), &json(&started))?;
        point_latest(&runs, &path)?;
        let sockets = new_sockets_dir()?;
        let sockets_lock = lease::take(sockets.as_std_path()).map_err(io("lock", &sockets))?;
        let scratch = path.join("scratch");
        make_all(&scratch)?;
        Ok(Self { path, sockets, scratch, keep_scratch: false, _locks: [lock, sockets_lock] })
    }

    /// The directory itself.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// A file of evidence.
    pub fn file(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    /// The directory of one machine's logs, made when it is not there.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn node(&self, name: &str) -> Result<Utf8PathBuf, RunDirError> {
        let path = self.path.join(name);
        make_all(&path)?;
        Ok(path)
    }

    /// A directory for unix sockets, private to this user, with room for names of 48 bytes. Gone when the run ends.
    pub fn sockets(&self) -> &Utf8Path {
        &self.sockets
    }

    /// A directory for disks and other large files that are no evidence. Gone when the run ends, unless
    /// [`RunDir::keep_scratch`] was called.
    pub fn scratch(&self) -> &Utf8Path {
        &self.scratch
    }

    /// Leaves the scratch files for somebody to look at.
    pub fn keep_scratch(&mut self) {
        self.keep_scratch = true;
    }

    /// What the start marker says.
    ///
    /// # Errors
    /// Somebody removed it.
    pub fn started(&self) -> Result<Started, RunDirError> {
        let path = self.path.join(STARTED);
        let text = fs_err::read(&path).map_err(io("read", &path))?;
        serde_json::from_slice(&text).map_err(|error| io("read", &path)(error.into()))
    }
}

/// The path by which people are sent to a file of a run: under `latest` while that is this run, and relative to the
/// current directory when it lies below.
pub fn shown(run: &Utf8Path, file: &str) -> Utf8PathBuf {
    let latest = run.with_file_name("latest");
    let is_latest = match (latest.canonicalize_utf8(), run.canonicalize_utf8()) {
        (Ok(latest), Ok(run)) => latest == run,
        _ => false,
    };
    let path = if is_latest { latest.join(file) } else { run.join(file) };
    let here = std::env::current_dir().ok().and_then(|here| Utf8PathBuf::try_from(here).ok());
    match here.and_then(|here| path.strip_prefix(&here).ok().map(Utf8Path::to_owned)) {
        Some(relative) => relative,
        None => path,
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // What cannot be removed now is found by the next `gc`; the run's verdict does not depend on it.
        let _left = fs_err::remove_dir_all(&self.sockets);
        if !self.keep_scratch {
            let _left = fs_err::remove_dir_all(&self.scratch);
        }
    }
}

/// `<stamp>-<pid>`, with a number behind it for runs of one process in one second.
fn new_dir(runs: &Utf8Path, stamp: &str) -> Result<Utf8PathBuf, RunDirError> {
    let first = runs.join(format!("{stamp}-{}", std::process::id()));
    let mut path = first.clone();
    for next in 2.. {
        match fs_err::create_dir(&path) {
            Ok(()) => break,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                path = format!("{first}-{next}").into();
            }
            Err(error) => return Err(io("make", &path)(error)),
        }
    }
    Ok(path)
}

/// A link is made beside and moved over the old one, so that at no moment there is none.
fn point_latest(runs: &Utf8Path, run: &Utf8Path) -> Result<(), RunDirError> {
    let name = run.file_name().unwrap_or_default();
    let new = runs.join(format!(".latest-{name}"));
    let latest = runs.join("latest");
    fs_err::os::unix::fs::symlink(name, &new).map_err(io("make", &new))?;
    fs_err::rename(&new, &latest).map_err(io("replace", &latest))
}

fn new_sockets_dir() -> Result<Utf8PathBuf, RunDirError> {
    let bases = socket_bases();
    let Some(base) = bases.iter().find(|base| fits(base)) else {
        let path = bases.into_iter().min_by_key(|base| base.as_str().len()).unwrap_or_default();
        return Err(RunDirError::LongPath { path });
    };
    let dir = tempfile::Builder::new()
        .prefix(SOCKETS)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(base)
        .map_err(io("make a directory in", base))?;
    Utf8PathBuf::try_from(dir.keep()).map_err(|error| io("use", base)(error.into_io_error()))
}

/// Room for `/feeder-XXXXXX/` and a name.
fn fits(base: &Utf8Path) -> bool {
    base.as_str().len() + SOCKETS.len() + 6 + 2 + SOCKET_NAME <= SOCKET_PATH
}

/// Where sockets may lie, the best first: the user's own runtime directory, the temporary one, `/tmp`.
fn socket_bases() -> Vec<Utf8PathBuf> {
    let mut bases: Vec<Utf8PathBuf> = ["XDG_RUNTIME_DIR", "TMPDIR"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .chain(["/tmp".to_owned()])
        .map(Utf8PathBuf::from)
        .filter(|path| path.is_absolute() && path.is_dir())
        .collect();
    bases.dedup();
    bases
}

fn subdirectories(dir: &Utf8Path) -> Result<Vec<Utf8PathBuf>, RunDirError> {
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("read", dir)(error)),
    };
    // A name that is not UTF-8 is not one of ours.
    let is_dir = |entry: &camino::Utf8DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    Ok(entries.filter_map(Result::ok).filter(is_dir).map(|entry| entry.path().to_owned()).collect())
}

fn make_all(path: &Utf8Path) -> Result<(), RunDirError> {
    fs_err::create_dir_all(path).map_err(io("make", path))
}

fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), RunDirError> {
    fs_err::write(path, bytes).map_err(io("write", path))
}

fn json(value: &Started) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

fn io(doing: &'static str, path: &Utf8Path) -> impl FnOnce(std::io::Error) -> RunDirError {
    let path = path.to_owned();
    move |source| RunDirError::Io { doing, path, source }
}

#[cfg(test)]
mod tests;
