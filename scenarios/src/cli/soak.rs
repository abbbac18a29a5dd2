//! `scenario soak`: many runs, of which every second is ended from outside, and a look at what they leave behind.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use feeder_process::{Child, Cmd, Status, interrupt};
use feeder_scenario::{Failure, Freed, Stage, snapshot::Shelf};
use feeder_ui::{Exit, Expected};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::{Format, Scene, output, reuse, say};

/// How the runs are ended, in turn. What `SIGKILL` leaves is cleaned up by the next run, hence twice as often.
const ENDS: [(Signal, &str); 4] = [
    (Signal::KILL, "SIGKILL"),
    (Signal::INT, "SIGINT"),
    (Signal::KILL, "SIGKILL"),
    (Signal::TERM, "SIGTERM"),
];
/// The golden section: multiples of it, without their whole parts, are spread evenly however many there are.
const GOLDEN: f64 = 0.618_033_988_749_895;
/// How long a run that was told to end may take for it before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the kernel may take to end the children of a process that was killed.
const ORPHANS: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Soak {
    /// The scenario
    name: String,
    /// How many runs
    #[arg(long, default_value_t = 100)]
    runs: usize,
    /// Run all steps of each, from power-on; as a rule all but the last are taken over from earlier runs
    #[arg(long)]
    cold: bool,
}

/// What came of the runs.
#[derive(Debug, Default, Serialize)]
pub(super) struct Soaked {
    /// Runs that were left alone, and passed.
    pub passed: usize,
    /// Runs that were left alone, and did not.
    pub failed: usize,
    /// Runs that were ended from outside.
    pub ended: usize,
    /// What was found that should not be there, with the run after which it was.
    pub left: Vec<String>,
    /// What cleaning up after the last run still removed. What a killed run leaves is found by the next.
    pub last: Freed,
}

impl Soak {
    pub(super) fn obey<S: Stage>(self, scene: &Scene<'_, S>) -> Result<Exit, Box<dyn Expected>> {
        // Beside the evidence that somebody wants to look at.
        let root = scene.root.with_file_name("soak");
        let mut soaked = Soaked::default();
        let mut longest = Duration::ZERO;
        for number in 0..self.runs {
            if interrupt::requested() {
                return Ok(Exit::Interrupted);
            }
            let began = Instant::now();
            let child = self.start(&root, scene.format)?;
            // The first is left alone: it tells how long a run takes.
            let told = if number % 2 == 1 {
                let (signal, name) = ENDS[number / 2 % ENDS.len()];
                let moment = longest.mul_f64((number as f64 * GOLDEN).fract());
                soaked.ended += 1;
                format!(
                    "{name} after {}, {}",
                    feeder_ui::elapsed(moment),
                    end(&child, moment, signal)
                )
            } else {
                let status = wait(&child);
                longest = longest.max(began.elapsed());
                *(if status.success() { &mut soaked.passed } else { &mut soaked.failed }) += 1;
                format!("{status} after {}", feeder_ui::elapsed(began.elapsed()))
            };
            let place = format!("{}/{}", number + 1, self.runs);
            scene.progress.note(format!("{place:>9}  {told}"));
            let left = orphans(&root)?;
            soaked.left.extend(left.into_iter().map(|what| format!("after run {place}: {what}")));
        }
        soaked.last = feeder_scenario::gc(&root, super::KEEP_RUNS)?;
        reuse::gc(reuse::LIMIT_GIB)?;
        soaked.left.extend(remains(&root)?);
        say(&output::soaked(&soaked, scene.format))?;
        Ok(if soaked.left.is_empty() && soaked.failed == 0 { Exit::Ok } else { Exit::Harness })
    }

    fn start(&self, root: &Utf8Path, format: Format) -> Result<Child, Box<dyn Expected>> {
        let program = std::env::current_exe().map_err(|error| host("find this program", &error))?;
        let how = if self.cold { "--cold" } else { "--again" };
        let format = match format {
            Format::Human => "text",
            Format::Json => "json",
        };
        let arguments = ["run", &self.name, how, "--evidence", root.as_str(), "--format", format];
        let child = Cmd::new(program).args(arguments).spawn();
        child.map_err(|error| Failure::host(format!("cannot start a run: {error}")).into())
    }
}

fn host(doing: &str, error: &std::io::Error) -> Box<dyn Expected> {
    Failure::host(format!("cannot {doing}: {error}")).into()
}

/// Ends a run at a moment, unless it ends before by itself. Says how it ended.
fn end(child: &Child, moment: Duration, signal: Signal) -> String {
    if let Some(status) = child.wait_timeout(moment) {
        return format!("had ended before: {status}");
    }
    if let Some(pid) = i32::try_from(child.pid()).ok().and_then(Pid::from_raw) {
        // One that has just ended by itself is as good.
        let _gone = kill_process(pid, signal);
    }
    match child.wait_timeout(PATIENCE) {
        Some(status) => status.to_string(),
        None => format!("stuck: {}", child.kill()),
    }
}

fn wait(child: &Child) -> Status {
    loop {
        match child.wait_timeout(Duration::from_secs(1)) {
            Some(status) => return status,
            None if interrupt::requested() => return child.terminate(PATIENCE),
            None => {}
        }
    }
}

/// Programs that belong to runs with this evidence, though no run is alive.
fn orphans(root: &Utf8Path) -> Result<Vec<String>, Box<dyn Expected>> {
    let began = Instant::now();
    loop {
        let found = programs(root)?;
        // The kernel ends them; there is no event by which one that is nobody's child could be awaited.
        let over = found.is_empty() || began.elapsed() > ORPHANS;
        if over || interrupt::wait_timeout(Duration::from_millis(50)) {
            return Ok(found);
        }
    }
}

/// Programs that have the evidence in their arguments.
fn programs(root: &Utf8Path) -> Result<Vec<String>, Box<dyn Expected>> {
    let own = std::process::id();
    let ours = |pid: u32, arguments: &str| {
        pid != own && arguments.contains(root.as_str()) && !is_caller(pid)
    };
    let found = processes()?.into_iter().filter(|(pid, arguments)| ours(*pid, arguments));
    Ok(found.map(|(pid, arguments)| format!("process {pid}: {arguments}")).collect())
}

/// Shared connections of ssh whose socket is gone, so that nobody can use them, or close them.
fn connections() -> Result<Vec<String>, Box<dyn Expected>> {
    // ssh says so of itself: `ssh: /tmp/feeder-ssh-1S38L8/c [mux]`.
    let lost = |arguments: &str| {
        let socket = arguments.strip_prefix("ssh: ").and_then(|rest| rest.split(' ').next());
        socket.is_some_and(|path| path.contains("/feeder-ssh-") && !Utf8Path::new(path).exists())
    };
    let found = processes()?.into_iter().filter(|(_, arguments)| lost(arguments));
    Ok(found.map(|(pid, arguments)| format!("connection {pid}: {arguments}")).collect())
}

/// All processes, with their arguments. One that has ended meanwhile has none, and one that is only not yet reaped
/// neither.
fn processes() -> Result<Vec<(u32, String)>, Box<dyn Expected>> {
    let entries = fs_err::read_dir("/proc").map_err(|error| host("list processes", &error))?;
    let entries = entries.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
        let arguments = fs_err::read(entry.path().join("cmdline")).unwrap_or_default();
        Some((pid, String::from_utf8_lossy(&arguments).replace('\0', " ")))
    });
    Ok(entries.collect())
}

/// Whether it is one of those that have started this program, such as cargo or a shell.
fn is_caller(pid: u32) -> bool {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name, in parentheses, may hold anything.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let mut above = Some(std::process::id());
    while let Some(at) = above.filter(|at| *at > 1) {
        if at == pid {
            return true;
        }
        above = parent(at);
    }
    false
}

/// What is left after cleaning up, with no run alive: sockets, connections, scratch files, mounts, halves of what was to be kept.
fn remains(root: &Utf8Path) -> Result<Vec<String>, Box<dyn Expected>> {
    let store = Shelf::default_root();
    let store = store.parent().unwrap_or(&store);
    let mut left = BTreeSet::new();
    let again = feeder_scenario::gc(root, super::KEEP_RUNS)?;
    if again != Freed::default() {
        left.insert(format!("cleaning up twice found more: {again:?}"));
    }
    let scratch = below(root).into_iter().flat_map(|scenario| below(&scenario));
    let scratch = scratch.map(|run| run.join("scratch")).filter(|scratch| scratch.exists());
    left.extend(scratch.map(|path| format!("scratch files: {path}")));
    for half in ["staging", "snapshots/live"] {
        left.extend(below(&store.join(half)).into_iter().map(|path| format!("half made: {path}")));
    }
    left.extend(connections()?);
    let mounts = fs_err::read_to_string("/proc/self/mountinfo");
    let mounts = mounts.map_err(|error| host("read the mounts", &error))?;
    let ours = |line: &&str| [root, store].iter().any(|dir| line.contains(dir.as_str()));
    left.extend(mounts.lines().filter(ours).map(|line| format!("mount: {line}")));
    Ok(left.into_iter().collect())
}

fn below(dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = dir.read_dir_utf8().into_iter().flatten().flatten();
    // `latest` is a link to another.
    let real = entries.filter(|entry| !entry.path().is_symlink());
    real.map(|entry| entry.path().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_files_of_a_dead_run_are_found() {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::try_from(guard.path().to_owned()).unwrap();
        assert_eq!(programs(&root).unwrap(), Vec::<String>::new());
        // For a moment after its start, the kernel tells no arguments of a program.
        let found_by = |look: &dyn Fn() -> Vec<String>| {
            let began = Instant::now();
            loop {
                let found = look();
                if !found.is_empty() || began.elapsed() > ORPHANS {
                    return found;
                }
                std::thread::yield_now();
            }
        };
        let sleeper =
            Cmd::new("sh").args(["-c", "sleep 600; true", root.as_str()]).spawn().unwrap();
        let found = found_by(&|| programs(&root).unwrap());
        assert!(found.iter().any(|line| line.contains(&sleeper.pid().to_string())), "{found:?}");
        sleeper.kill();

        // As ssh calls itself when it shares a connection.
        let title = "ssh: /tmp/feeder-ssh-nobody/c [mux]";
        let mux = Cmd::new("bash").args(["-c", &format!("exec -a '{title}' sleep 600")]).spawn();
        let mux = mux.unwrap();
        let found = found_by(&|| connections().unwrap());
        assert!(found.iter().any(|line| line.contains(title)), "{found:?}");
        mux.kill();

        let scratch = root.join("netboot/2026-01-01T00-00-00-1/scratch");
        fs_err::create_dir_all(&scratch).unwrap();
        let left = remains(&root).unwrap();
        assert!(left.contains(&format!("scratch files: {scratch}")), "{left:?}");
    }

    #[test]
    fn moments_are_spread_over_the_whole_run() {
        let tenths: BTreeSet<u32> = (0..50)
            .map(|run| (f64::from(2 * run + 1) * GOLDEN).fract())
            .map(|moment| (moment * 10.0) as u32)
            .collect();
        assert_eq!(tenths.len(), 10);
    }
}
