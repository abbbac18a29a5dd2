//! A machine that is powered on.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Child, Cmd, Status, interrupt};
use fs_err as fs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    Console, ConsoleError, Disk, Event, MachineError, Profile, Qmp, QmpError, Spec,
    argv::{argv, command_line},
};

/// How long QEMU may take to connect its sockets, wall clock: it does so before it runs a guest.
const CONNECT: Duration = Duration::from_secs(60);
/// How often a wait looks whether QEMU died or somebody interrupted, in nanoseconds.
const TICK_NS: i64 = 100_000_000;
/// How long after QEMU's end its last words may take to be read.
const DRAIN: Duration = Duration::from_secs(5);
/// The unit of the times in `/proc/PID/stat`: `USER_HZ`, 100 on every architecture we run on (proc_pid_stat(5)).
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// Whether a machine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its processors execute instructions (or wait for an interrupt, or loop in a panic: see [`Console::panicked`]), or it
    /// is paused and will.
    Running,
    /// It does not, and why.
    Stopped(StopReason),
}

/// Why a machine stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// The guest reset itself and wants to boot again.
    GuestReset,
    /// The guest powered itself off.
    GuestShutdown,
    /// The guest told QEMU that it panicked.
    Panic,
    /// We cut its power, or somebody told QEMU to quit.
    Killed,
    /// QEMU ended by itself, with these last words.
    Crashed {
        /// How QEMU ended.
        status: Status,
        /// The end of what QEMU said.
        stderr: String,
    },
}

impl std::fmt::Display for StopReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GuestReset => f.write_str("the guest reset itself"),
            Self::GuestShutdown => f.write_str("the guest powered itself off"),
            Self::Panic => f.write_str("the guest's kernel panicked"),
            Self::Killed => f.write_str("its power was cut"),
            Self::Crashed { status, stderr } if stderr.is_empty() => {
                write!(f, "QEMU ended ({status})")
            }
            Self::Crashed { status, stderr } => write!(f, "QEMU ended ({status}): {stderr}"),
        }
    }
}

/// A machine that is powered on. Dropping it cuts its power.
pub struct Machine {
    pub(crate) name: String,
    pub(crate) profile: Profile,
    pub(crate) disks: Vec<Disk>,
    /// Ids of disks that were unplugged.
    pub(crate) unplugged: Mutex<BTreeSet<String>>,
    pub(crate) child: Child,
    pub(crate) qmp: Qmp,
    console: Console,
    /// CPU time of each vCPU thread as last read: it is not lost when QEMU ends.
    vcpus: Mutex<BTreeMap<i64, Duration>>,
    /// How long each vCPU thread, and the one that serves the devices, waited for a processor, as last read.
    starved: Mutex<BTreeMap<i64, Duration>>,
    cut: AtomicBool,
}

impl Machine {
    /// Starts QEMU, connects to it, and lets the guest run.
    ///
    /// In the spec's directory it keeps `console.log`, `console.timed.log`, `qmp.jsonl`, and `command.sh`, the same
    /// machine by hand.
    ///
    /// # Errors
    /// Every [`MachineError`]. Nothing is left running.
    pub fn power_on(spec: Spec) -> Result<Self, MachineError> {
        let by_hand = command_line(&spec);
        let machine = Self::start(spec, &[], &by_hand)?;
        let run = machine.qmp.execute(qapi::qmp::cont {});
        run.map_err(|source| not_started(&machine.name, &machine.child, &by_hand, source))?;
        Ok(machine)
    }

    /// Starts QEMU with `more` arguments and connects to it; the guest does not run yet. `by_hand` is the same machine for
    /// a shell.
    pub(crate) fn start(spec: Spec, more: &[&str], by_hand: &str) -> Result<Self, MachineError> {
        spec.check()?;
        for dir in [&spec.dir, &spec.sockets] {
            fs::create_dir_all(dir).map_err(io(format!("make the directory {dir}")))?;
        }
        let log = spec.dir.join("command.sh");
        fs::write(&log, format!("{by_hand}\n")).map_err(io(format!("write {log}")))?;
        let log = spec.dir.join("qmp.jsonl");
        let qmp_log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(io(format!("open {log}")))?;
        for log in spec.disks.iter().filter_map(|disk| disk.write_log.as_ref()) {
            fs::write(log, "").map_err(io(format!("begin {log}")))?;
        }
        let qmp_socket = Listener::bind(spec.qmp_socket())?;
        let console_socket = Listener::bind(spec.console_socket())?;

        let argv = argv(&spec);
        let child = Cmd::new(&argv[0])
            .args(&argv[1..])
            .args(more)
            // Nodes answer each other's packets one by one, and every wakeup would take a core from a node whose caches are warm: on
            // two cores, the nodes of two clusters were switched 11,000 times a second, and are 2,200 times.
            .batch()
            .spawn()
            .map_err(|source| MachineError::Start { machine: spec.name.clone(), source })?;
        let deadline = Instant::now() + CONNECT;
        let name = &spec.name;
        let qmp_stream = qmp_socket.accept(name, &child, "QMP", deadline, by_hand)?;
        let console_stream = console_socket.accept(name, &child, "console", deadline, by_hand)?;

        let console = Console::open(console_stream, &spec.dir).map_err(|err| match err {
            ConsoleError::Io { what, source } => MachineError::Io { what: what.to_owned(), source },
            other => MachineError::Io {
                what: "open the console".into(),
                source: std::io::Error::other(other),
            },
        })?;
        let qmp_failed = |source| not_started(name, &child, by_hand, source);
        let qmp = Qmp::connect(qmp_stream, qmp_log).map_err(qmp_failed)?;
        let cpus = qmp.execute(qapi::qmp::query_cpus_fast {}).map_err(qmp_failed)?;
        let vcpus: BTreeMap<_, _> =
            cpus.iter().filter_map(thread_of).map(|thread| (thread, Duration::ZERO)).collect();
        let mut starved = vcpus.clone();
        starved.insert(i64::from(child.pid()), Duration::ZERO);
        Ok(Self {
            name: spec.name,
            profile: spec.profile,
            disks: spec.disks,
            unplugged: Mutex::default(),
            child,
            qmp,
            console,
            vcpus: Mutex::new(vcpus),
            starved: Mutex::new(starved),
            cut: AtomicBool::new(false),
        })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// QEMU's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its serial console.
    #[must_use]
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// QEMU's control connection.
    #[must_use]
    pub fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// How much its virtual processors have worked so far: CPU time of QEMU's vCPU threads on the host, summed over them,
    /// in steps of 10 ms. A guest that waits for an interrupt does not work. Keeps its value when the machine stops.
    ///
    /// # Errors
    /// `Io` when the times of a running QEMU cannot be read.
    pub fn cpu_time(&self) -> Result<Duration, MachineError> {
        let mut vcpus = self.vcpus.lock().unwrap_or_else(PoisonError::into_inner);
        for (thread, time) in vcpus.iter_mut() {
            let path = format!("/proc/{}/task/{thread}/stat", self.child.pid());
            match fs::read_to_string(&path).and_then(|stat| cpu_time_of(&stat)) {
                Ok(now) => *time = (*time).max(now),
                Err(_) if self.child.try_wait().is_some() || !Utf8Path::new(&path).exists() => {}
                Err(source) => {
                    return Err(io(format!("read the CPU time of {}", self.name))(source));
                }
            }
        }
        Ok(vcpus.values().sum())
    }

    /// How long it could have worked so far but got no processor of the host: summed over QEMU's vCPU threads and the thread
    /// that serves the devices, to the nanosecond. Keeps its value when the machine stops; zero on a kernel that does not
    /// count it (`CONFIG_SCHED_INFO`).
    pub fn starved(&self) -> Duration {
        let mut threads = self.starved.lock().unwrap_or_else(PoisonError::into_inner);
        for (thread, time) in threads.iter_mut() {
            let path = format!("/proc/{}/task/{thread}/schedstat", self.child.pid());
            if let Some(now) = fs::read_to_string(path).ok().as_deref().and_then(starved_of) {
                *time = (*time).max(now);
            }
        }
        threads.values().sum()
    }

    /// Whether it runs, and if not, why.
    #[must_use]
    pub fn state(&self) -> State {
        self.child.try_wait().map_or(State::Running, |status| State::Stopped(self.reason(status)))
    }

    /// Waits until it stops; `None` when `keep_waiting`, asked four times a second, says no.
    pub fn wait_stopped(&self, keep_waiting: &mut dyn FnMut() -> bool) -> Option<StopReason> {
        loop {
            if let Some(status) = self.child.wait_timeout(Duration::from_millis(250)) {
                return Some(self.reason(status));
            }
            if !keep_waiting() {
                return None;
            }
        }
    }

    /// Presses the power button and returns: the guest shuts down if it cares, see [`Self::wait_stopped`]. A board without
    /// such a button, like the Pi 3B, ignores it.
    ///
    /// # Errors
    /// `Qmp`, also when it is off already.
    pub fn power_off(&self) -> Result<(), MachineError> {
        let pressed = self.qmp.execute(qapi::qmp::system_powerdown {});
        pressed.map(drop).map_err(|source| self.qmp_error(source))
    }

    /// Cuts its power: QEMU is killed in the middle of whatever it does, and reaped. Says why it stopped, which is
    /// something else than [`StopReason::Killed`] when it had stopped before.
    pub fn cut(&self) -> StopReason {
        if self.child.try_wait().is_none() {
            // Read first: the times are gone with the process.
            let _ = (self.cpu_time(), self.starved());
            self.cut.store(true, Ordering::SeqCst);
        }
        let status = self.child.kill();
        self.reason(status)
    }

    fn reason(&self, status: Status) -> StopReason {
        // What QEMU said last tells why, and may still be on its way.
        let _ = self.qmp.wait_closed(DRAIN);
        match shutdown_cause(&self.qmp.events()) {
            Some("guest-reset" | "subsystem-reset") => StopReason::GuestReset,
            Some("guest-shutdown") => StopReason::GuestShutdown,
            Some("guest-panic") => StopReason::Panic,
            Some("host-qmp-quit" | "host-signal" | "host-ui") => StopReason::Killed,
            _ if self.cut.load(Ordering::SeqCst) => StopReason::Killed,
            _ => StopReason::Crashed { status, stderr: self.child.stderr_tail() },
        }
    }

    pub(crate) fn qmp_error(&self, source: QmpError) -> MachineError {
        MachineError::Qmp { machine: self.name.clone(), source }
    }
}

/// QEMU's `ShutdownCause` (qapi/run-state.json) as text: a cause newer than qapi's schema must not turn into "none".
fn shutdown_cause(events: &[Event]) -> Option<&str> {
    events.iter().rev().find(|event| event.name == "SHUTDOWN")?.data.get("reason")?.as_str()
}

/// The host's thread of a virtual processor. Pis are ARM.
fn thread_of(cpu: &qapi::qmp::CpuInfoFast) -> Option<i64> {
    match cpu {
        qapi::qmp::CpuInfoFast::aarch64(base) | qapi::qmp::CpuInfoFast::arm(base) => {
            Some(base.thread_id)
        }
        _ => None,
    }
}

/// User and system time from a line of `/proc/PID/task/TID/stat`: fields 14 and 15, counted behind the program's name, which
/// stands in parentheses and may hold anything.
fn cpu_time_of(stat: &str) -> std::io::Result<Duration> {
    let ticks = || {
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let user: u32 = fields.next()?.parse().ok()?;
        let system: u32 = fields.next()?.parse().ok()?;
        user.checked_add(system)
    };
    ticks()
        .map(|ticks| CLOCK_TICK * ticks)
        .ok_or_else(|| std::io::Error::other(format!("not understood: {stat}")))
}

/// The time a thread was ready to run and did not, from its `schedstat`: the second number, in nanoseconds
/// (Documentation/scheduler/sched-stats.rst).
fn starved_of(schedstat: &str) -> Option<Duration> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

pub(crate) fn io(what: String) -> impl FnOnce(std::io::Error) -> MachineError {
    move |source| MachineError::Io { what, source }
}

/// What a refused or unanswered command means while a machine starts: a processor, a device or a saved state that cannot be
/// had ends QEMU after it has connected; it closes before it is gone.
pub(crate) fn not_started(
    machine: &str,
    child: &Child,
    by_hand: &str,
    source: QmpError,
) -> MachineError {
    let closed = matches!(source, QmpError::Closed { .. } | QmpError::Io { .. });
    match child.wait_timeout(if closed { DRAIN } else { Duration::ZERO }) {
        Some(status) => exited(machine, child, by_hand, status),
        None => MachineError::Qmp { machine: machine.to_owned(), source },
    }
}

fn exited(machine: &str, child: &Child, by_hand: &str, status: Status) -> MachineError {
    MachineError::Exited {
        machine: machine.to_owned(),
        status,
        stderr: child.stderr_tail(),
        command: by_hand.to_owned(),
    }
}

/// A socket on which QEMU is expected; its file goes with it.
struct Listener {
    listener: UnixListener,
    path: Utf8PathBuf,
}

impl Listener {
    fn bind(path: Utf8PathBuf) -> Result<Self, MachineError> {
        // One may be left of an owner that was killed.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(io(format!("listen on {path}")))?;
        Ok(Self { listener, path })
    }

    fn accept(
        &self,
        machine: &str,
        child: &Child,
        what: &'static str,
        deadline: Instant,
        by_hand: &str,
    ) -> Result<UnixStream, MachineError> {
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK_NS };
        loop {
            let mut ready = [PollFd::new(&self.listener, PollFlags::IN)];
            // An interrupted poll is one that saw nothing.
            if poll(&mut ready, Some(&tick)).unwrap_or(0) > 0 {
                let (stream, _) =
                    self.listener.accept().map_err(io(format!("accept on {}", self.path)))?;
                return Ok(stream);
            }
            if let Some(status) = child.try_wait() {
                return Err(exited(machine, child, by_hand, status));
            }
            if interrupt::requested() {
                return Err(MachineError::Interrupted { machine: machine.to_owned() });
            }
            if Instant::now() >= deadline {
                let machine = machine.to_owned();
                return Err(MachineError::NoConnection {
                    machine,
                    what,
                    seconds: CONNECT.as_secs(),
                });
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "4242 (CPU 0/TCG) (x)) S 1 2 3 0 -1 4194368 100 0 0 0 250 30 0 0 20 0 3 0";
        assert_eq!(cpu_time_of(stat).unwrap(), Duration::from_millis(2800));
        assert!(cpu_time_of("4242 (x) S 1 2").is_err());
    }

    #[test]
    fn starvation_is_the_second_number() {
        assert_eq!(starved_of("5000 3854231 17\n"), Some(Duration::from_nanos(3_854_231)));
        assert_eq!(starved_of("5000"), None);
    }
}
