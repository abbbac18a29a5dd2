//! The directory of evidence that every run has, and the short one for its sockets.

use std::{
    fs::{Permissions, TryLockError},
    os::unix::fs::PermissionsExt,
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_ui::{Exit, Expected};
use serde::{Deserialize, Serialize};

/// A unix socket's path has at most this many bytes (`sun_path` in unix(7), less the closing zero).
const SOCKET_PATH: usize = 107;
/// Bytes that are left for a socket's own name under [`RunDir::sockets`].
const SOCKET_NAME: usize = 48;
/// How directories for sockets begin.
const SOCKETS: &str = "feeder-";
/// Held as long as the run lives; by the kernel, so that no crash can leave it held.
const LOCK: &str = "run.lock";
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
    _locks: [fs_err::File; 2],
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
        let lock = take_lock(&path)?;
        let started = Started {
            scenario: scenario.into(),
            started: now.to_string(),
            pid: std::process::id(),
        };
        write(&path.join(STARTED), &json(&started))?;
        point_latest(&runs, &path)?;
        let sockets = new_sockets_dir()?;
        let sockets_lock = take_lock(&sockets)?;
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

/// What [`gc`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Freed {
    /// Runs whose evidence is gone.
    pub runs: usize,
    /// Directories of sockets that dead runs had left.
    pub sockets: usize,
    /// Directories of scratch files that dead runs had left.
    pub scratch: usize,
}

/// Removes what dead runs left: their sockets and scratch files, and all evidence but that of the newest `keep` runs of
/// each scenario. Runs that are alive are not touched, nor is what `--keep` asked to keep in runs that stay.
///
/// # Errors
/// The first thing that cannot be read or removed.
pub fn gc(root: &Utf8Path, keep: usize) -> Result<Freed, RunDirError> {
    let mut freed = Freed::default();
    for scenario in subdirectories(root)? {
        let mut dead = Vec::new();
        for run in subdirectories(&scenario)? {
            if is_dead(&run) {
                dead.push(run);
            }
        }
        // Names begin with the time, so that the oldest sort first.
        dead.sort();
        let old = dead.len().saturating_sub(keep);
        for run in &dead[..old] {
            fs_err::remove_dir_all(run).map_err(io("remove", run))?;
            freed.runs += 1;
        }
        let latest = scenario.join("latest");
        if latest.is_symlink() && !latest.exists() {
            fs_err::remove_file(&latest).map_err(io("remove", &latest))?;
        }
        for run in &dead[old..] {
            let scratch = run.join("scratch");
            if scratch.is_dir() && !run.join("report.json").exists() {
                fs_err::remove_dir_all(&scratch).map_err(io("remove", &scratch))?;
                freed.scratch += 1;
            }
        }
    }
    for base in socket_bases() {
        for sockets in subdirectories(&base)? {
            let ours = sockets.file_name().is_some_and(|name| name.starts_with(SOCKETS));
            // What cannot be locked or removed is alive, or another user's.
            if ours && is_dead(&sockets) && fs_err::remove_dir_all(&sockets).is_ok() {
                freed.sockets += 1;
            }
        }
    }
    Ok(freed)
}

/// Whether a run has made this directory and is no more. A directory whose lock cannot be had is somebody's.
fn is_dead(dir: &Utf8Path) -> bool {
    let Ok(lock) = fs_err::File::open(dir.join(LOCK)) else { return false };
    match lock.file().try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// Holds the lock of a new directory. The file gets its name when the lock is held, so that nobody ever sees it free.
/// Rust opens files so that children do not inherit them, or a machine that outlives us would keep its run alive.
fn take_lock(dir: &Utf8Path) -> Result<fs_err::File, RunDirError> {
    let (new, path) = (dir.join(".lock"), dir.join(LOCK));
    let file = fs_err::File::create(&new).map_err(io("make", &new))?;
    file.file().try_lock().map_err(|error| io("lock", &new)(error.into()))?;
    fs_err::rename(&new, &path).map_err(io("name", &path))?;
    Ok(file)
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
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap();
        (dir, path)
    }

    #[test]
    fn a_run_has_its_marker_and_latest_points_at_it() {
        let (_guard, root) = root();
        let first = RunDir::create(&root, "netboot", 10).unwrap();
        let second = RunDir::create(&root, "netboot", 10).unwrap();
        assert_ne!(first.path(), second.path(), "two runs in one second are two");
        assert_eq!(first.started().unwrap().pid, std::process::id());
        let latest = root.join("netboot/latest");
        assert_eq!(latest.canonicalize_utf8().unwrap(), second.path().canonicalize_utf8().unwrap());
        let report = |run: &RunDir| shown(run.path(), "report.json");
        assert!(report(&second).ends_with("netboot/latest/report.json"));
        assert!(!report(&first).as_str().contains("latest"));
    }

    #[test]
    fn sockets_are_short_private_and_gone_in_the_end() {
        let (_guard, root) = root();
        let mut run = RunDir::create(&root, "netboot", 10).unwrap();
        let sockets = run.sockets().to_owned();
        assert!(sockets.as_str().len() + 1 + SOCKET_NAME <= SOCKET_PATH, "{sockets}");
        assert_eq!(fs_err::metadata(&sockets).unwrap().permissions().mode() & 0o777, 0o700);
        let name = "n".repeat(SOCKET_NAME);
        std::os::unix::net::UnixListener::bind(sockets.join(name)).unwrap();
        fs_err::write(run.scratch().join("disk.img"), "x").unwrap();
        run.keep_scratch();
        let scratch = run.scratch().to_owned();
        let evidence = run.path().to_owned();
        drop(run);
        assert!(!sockets.exists() && scratch.exists() && evidence.join(STARTED).exists());
    }

    #[test]
    fn the_newest_dead_runs_stay_and_living_ones_too() {
        let (_guard, root) = root();
        let alive = RunDir::create(&root, "netboot", 2).unwrap();
        let dead = |second: u32| root.join(format!("netboot/2025-11-23T06-43-0{second}-4711"));
        for second in [3, 1, 4, 2] {
            fs_err::create_dir(dead(second)).unwrap();
            fs_err::write(dead(second).join(LOCK), "").unwrap();
        }
        fs_err::create_dir(root.join("netboot/notes")).unwrap();
        assert_eq!(gc(&root, 3).unwrap().runs, 1);
        assert!(!dead(1).exists() && dead(2).exists());
        drop(RunDir::create(&root, "netboot", 2).unwrap());
        assert!(!dead(2).exists() && dead(3).exists(), "a new run prunes, too");
        assert!(alive.path().exists());
        assert!(root.join("netboot/notes").exists(), "what is no run is not ours");
    }

    #[test]
    fn what_a_killed_run_left_is_found() {
        let (_guard, root) = root();
        let run = RunDir::create(&root, "netboot", 10).unwrap();
        let (evidence, sockets) = (run.path().to_owned(), run.sockets().to_owned());
        // As after SIGKILL: the lock is released by the kernel, and nothing is removed.
        drop(run);
        fs_err::create_dir(evidence.join("scratch")).unwrap();
        fs_err::create_dir(&sockets).unwrap();
        fs_err::write(sockets.join(LOCK), "").unwrap();
        let freed = gc(&root, 10).unwrap();
        // The sockets may have been found by a run that another test began meanwhile.
        assert_eq!(freed.scratch, 1);
        assert!(evidence.exists() && !evidence.join("scratch").exists() && !sockets.exists());
    }

    #[test]
    fn a_long_base_is_passed_over() {
        assert!(fits(Utf8Path::new("/run/user/1000")));
        assert!(!fits(Utf8Path::new(&format!("/{}", "x".repeat(60)))));
    }

    #[test]
    fn a_refusing_file_system_names_the_path() {
        let error = RunDir::create(Utf8Path::new("/proc/nowhere"), "netboot", 1).unwrap_err();
        assert!(error.to_string().contains("/proc/nowhere/netboot"), "{error}");
        assert_eq!(error.exit(), Exit::Host);
    }
}
