//! A program that runs beside us.

use std::{
    ffi::OsString,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        mpsc::{self, Sender},
    },
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    Cmd, ProcessError, Status,
    group::Group,
    interrupt, run,
    start::{self, Started, Stdout},
    text::Tail,
};

/// A running program, leader of its own process group. Dropping it kills the group and reaps.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    command: String,
    group: Group,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    status: Option<Status>,
    stderr: Tail,
    stderr_closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Child {
    /// Its process id, which is the id of its process group too. May belong to another process after its end.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The command as one would type it.
    #[must_use]
    pub fn command_line(&self) -> &str {
        &self.command
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn try_wait(&self) -> Option<Status> {
        self.shared.state().status
    }

    /// Waits for its end.
    pub fn wait(&self) -> Status {
        let mut state = self.shared.state();
        loop {
            if let Some(status) = state.status {
                return status;
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits at most `timeout` for its end. An [`interrupt`] does not end this wait: taking down needs it.
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Status> {
        let state = self.shared.state();
        let wait = self.shared.changed.wait_timeout_while(state, timeout, |s| s.status.is_none());
        wait.unwrap_or_else(PoisonError::into_inner).0.status
    }

    /// Asks its group to end (SIGTERM), kills it when `grace` is over, and reaps.
    pub fn terminate(&self, grace: Duration) -> Status {
        self.group.signal(Signal::TERM);
        self.wait_timeout(grace).unwrap_or_else(|| self.kill())
    }

    /// Kills its group and reaps.
    pub fn kill(&self) -> Status {
        self.group.signal(Signal::KILL);
        self.wait()
    }

    /// The last lines, at most 1 KiB, of its standard error so far. Complete once it has ended.
    #[must_use]
    pub fn stderr_tail(&self) -> String {
        self.shared.state().stderr.text()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn spawn(cmd: &Cmd) -> Result<Child, ProcessError> {
    let argv = start::argv(cmd)?;
    if interrupt::requested() && !cmd.even_if_interrupted {
        return Err(ProcessError::Interrupted { command: cmd.command_line() });
    }
    let argv = tied_to_us(argv, cmd.batch)?;
    let Started { handle, group, pid, stderr, .. } = on_spawner_thread(cmd, argv)?;
    let shared = Arc::new(Shared::default());
    let child = Child { pid, command: cmd.command_line(), group, shared: Arc::clone(&shared) };

    let reader = Arc::clone(&shared);
    // Closed by the end of the program.
    let (alive, lives) = io::pipe().map_err(|source| start::io_error(cmd, "start", source))?;
    run::thread(cmd, "stderr", move || {
        run::pump(stderr, &alive, &mut |chunk| reader.state().stderr.push(chunk));
        reader.state().stderr_closed = true;
        reader.changed.notify_all();
    })?;
    run::thread(cmd, "waiter", move || {
        let status = handle.wait().map(|output| Status::from(output.status));
        group.end();
        drop(lives);
        let state = shared.state();
        let told = shared.changed.wait_while(state, |state| !state.stderr_closed);
        let mut state = told.unwrap_or_else(PoisonError::into_inner);
        // An error of wait means that it is no child of ours any more: it is gone, in an unknown way.
        state.status = Some(status.unwrap_or(Status { code: None, signal: None }));
        shared.changed.notify_all();
    })?;
    Ok(child)
}

/// Wraps a command so that the kernel kills it when we end, however we end, and runs it as a batch job if it is to.
fn tied_to_us(argv: Vec<OsString>, batch: bool) -> Result<Vec<OsString>, ProcessError> {
    if !cfg!(target_os = "linux") {
        return Ok(argv);
    }
    // prctl(PR_SET_PDEATHSIG) in the child would need unsafe code, and so would its policy; util-linux has both as programs.
    let tied: &[&str] = &["setpriv", "--pdeathsig", "KILL", "--"];
    let scheduled: &[&str] = if batch { &["chrt", "--batch", "0"] } else { &[] };
    for wrapper in [tied, scheduled] {
        if let Some(program) = wrapper.first() {
            start::require((*program).as_ref(), std::env::var_os("PATH").as_deref())?;
        }
    }
    let wrapper = tied.iter().chain(scheduled).map(OsString::from);
    Ok(wrapper.chain(argv).collect())
}

type Job = Box<dyn FnOnce() + Send>;

/// Starts a program from the one thread that lives as long as the process: "the parent died" means, to Linux, that
/// the *thread* which started the child ended.
fn on_spawner_thread(cmd: &Cmd, argv: Vec<OsString>) -> Result<Started, ProcessError> {
    static SPAWNER: OnceLock<Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(move || inbox.into_iter().for_each(|job| job()))
            .expect("cannot start the thread that starts programs");
        jobs
    });
    let (answer, started) = mpsc::channel();
    let job_cmd = cmd.clone();
    let job: Job =
        Box::new(move || drop(answer.send(start::start(&job_cmd, &argv, Stdout::Discarded))));
    spawner.send(job).expect("the spawner thread lives as long as the process");
    started.recv().expect("the spawner thread answers every job")
}
