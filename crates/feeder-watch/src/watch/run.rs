//! Asking master and workers, once or for ever.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use feeder_cluster::{Cluster, Worker};
use feeder_modules::{Access, Layout};
use feeder_process::{Output, interrupt};
use feeder_remote::{Host, Privilege, RemoteError, Ssh, SshOptions, in_parallel};

use super::{
    Moment, Snapshot, WatchError,
    health::{self, Health},
    log,
    look::{self, Look},
    node::Sign,
    state::{Event, State},
};

/// How long one attempt to log in to a worker may take: those without power do not answer at all.
const CONNECT: Duration = Duration::from_secs(8);
/// How long a worker that was logged in to may say nothing: it is an idle line on one segment.
const SILENCE: Duration = Duration::from_secs(12);
/// From one look, or one login, to the next.
const INTERVAL: Duration = Duration::from_secs(5);
/// From one attempt to reach a lost master to the next.
const AGAIN: Duration = Duration::from_secs(3);
/// How often what is known is shown, at most.
const REDRAW: Duration = Duration::from_secs(1);

/// The state of all nodes now.
///
/// # Errors
/// The master cannot be reached, or cannot be asked.
pub fn snapshot(cluster: &Cluster, access: &Access) -> Result<Snapshot, WatchError> {
    let master = feeder_modules::connect(cluster, access)?;
    let Known { mut state, clock, .. } = Known::so_far(cluster, &master)?;
    let ask = |worker: &Worker| Probe::new(&master, cluster, access, worker).ask();
    let signs = in_parallel(&cluster.workers, ask);
    for (number, sign) in signs.into_iter().enumerate() {
        if let Some(sign) = sign? {
            state.apply(Event::Probed(number, clock.now(), sign));
        }
    }
    Ok(Snapshot::of(&state, cluster, clock.now()))
}

/// The master's clock, and ours at the same moment.
#[derive(Clone, Copy)]
struct Clock(Moment, Instant);

impl Clock {
    fn at(look: &Look) -> Self {
        Self(look.at, Instant::now())
    }

    fn now(self) -> Moment {
        self.0.on(self.1.elapsed())
    }
}

/// What the master knows when one begins.
struct Known {
    state: State,
    clock: Clock,
    /// Marks the last line of its journal that was read.
    cursor: Option<String>,
}

impl Known {
    /// What was logged comes first, because what is seen now is later.
    fn so_far(cluster: &Cluster, master: &dyn Host) -> Result<Self, WatchError> {
        let mut state = State::of(cluster);
        let logged = master.run(&log::so_far())?.stdout_text();
        logged.lines().filter_map(log::entry).for_each(|entry| state.apply(Event::Logged(entry)));
        let cursor = logged.lines().next_back().and_then(log::cursor);
        let look = look_once(cluster, master)?;
        let clock = Clock::at(&look);
        state.apply(Event::Looked(look));
        Ok(Self { state, clock, cursor })
    }
}

fn look_once(cluster: &Cluster, master: &dyn Host) -> Result<Look, WatchError> {
    let said = master.run(&look_script(cluster, Some(1)))?.stdout_text();
    let mut reader = look::Reader::default();
    said.lines().find_map(|line| reader.line(line)).ok_or_else(|| WatchError::NotUnderstood {
        host: master.name().to_owned(),
        said: said.lines().next().unwrap_or("nothing").to_owned(),
    })
}

fn look_script(cluster: &Cluster, times: Option<u32>) -> String {
    look::script(INTERVAL, times, Layout::default().base().as_str(), cluster.swarm.is_some())
}

/// Follows the state of all nodes and hands out a snapshot about once a second, until interrupted.
///
/// A master that is lost is waited for.
///
/// # Errors
/// The master cannot be reached at first, or lets nobody in; `show`'s own.
pub fn watch(
    cluster: &Cluster,
    access: &Access,
    show: &mut dyn FnMut(&Snapshot) -> Result<(), WatchError>,
) -> Result<(), WatchError> {
    let master = feeder_modules::connect(cluster, access)?;
    let Known { state, clock, mut cursor } = Known::so_far(cluster, &master)?;
    let (events, inbox) = mpsc::channel();
    std::thread::scope(|scope| {
        let (logged, looked) = (events.clone(), events.clone());
        scope.spawn(|| {
            follow(&master, logged, &mut |master, send| {
                master.stream(&log::from_now_on(cursor.as_deref()), &mut |line| {
                    cursor = log::cursor(line).or(cursor.take());
                    log::entry(line).map(Event::Logged).into_iter().for_each(&mut *send);
                })
            });
        });
        scope.spawn(|| {
            follow(&master, looked, &mut |master, send| {
                let mut reader = look::Reader::default();
                master.stream(&look_script(cluster, None), &mut |line| {
                    reader.line(line).map(Event::Looked).into_iter().for_each(&mut *send);
                })
            });
        });
        for (number, worker) in cluster.workers.iter().enumerate() {
            let (events, probe) = (events.clone(), Probe::new(&master, cluster, access, worker));
            scope.spawn(move || probe.go_on(number, &events));
        }
        drop(events);
        let shown = show_all(cluster, (state, clock), &inbox, show);
        // Everybody else waits for the master, and for nothing but an interrupt besides.
        interrupt::request();
        shown
    })
}

/// What threads hand over.
enum Message {
    /// Something happened.
    Event(Event),
    /// A worker answered now, or did not.
    Probed(usize, Sign),
    /// There is no use in going on.
    Failed(WatchError),
}

fn show_all(
    cluster: &Cluster,
    (mut state, mut clock): (State, Clock),
    inbox: &Receiver<Message>,
    show: &mut dyn FnMut(&Snapshot) -> Result<(), WatchError>,
) -> Result<(), WatchError> {
    let mut next = Instant::now();
    while !interrupt::requested() {
        match inbox.recv_timeout(REDRAW / 4) {
            Ok(Message::Event(event)) => {
                if let Event::Looked(look) = &event {
                    clock = Clock::at(look);
                }
                state.apply(event);
            }
            Ok(Message::Probed(number, sign)) => {
                state.apply(Event::Probed(number, clock.now(), sign));
            }
            Ok(Message::Failed(error)) => return Err(error),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if Instant::now() >= next {
            show(&Snapshot::of(&state, cluster, clock.now()))?;
            next = Instant::now() + REDRAW;
        }
    }
    Ok(())
}

/// What reads a script on the master along, and hands out events.
type Follow<'a> = dyn FnMut(&Ssh, &mut dyn FnMut(Event)) -> Result<Output, RemoteError> + Send + 'a;

/// Follows a script on the master, and starts it again when the connection is lost.
fn follow(master: &Ssh, events: Sender<Message>, script: &mut Follow<'_>) {
    while !interrupt::requested() {
        // Nobody listens any more when all is over.
        let ended = script(master, &mut |event| drop(events.send(Message::Event(event))));
        match ended {
            Err(RemoteError::Interrupted { .. }) => return,
            Err(error) if !error.is_transient() => {
                drop(events.send(Message::Failed(error.into())));
                return;
            }
            ended => {
                let why = ended.err().map_or_else(|| "it ended".to_owned(), |why| why.to_string());
                drop(events.send(Message::Event(Event::Lost(why))));
            }
        }
        if interrupt::wait_timeout(AGAIN) {
            return;
        }
    }
}

/// Logins to one worker, through the master's connection.
struct Probe {
    options: Option<SshOptions>,
}

impl Probe {
    fn new(master: &Ssh, cluster: &Cluster, access: &Access, worker: &Worker) -> Self {
        let at_home = access.node(cluster, worker.name.as_str());
        let options = at_home.map(|options| {
            // Where a worker answers from here is not where it answers from the master.
            let address = (worker.address, 22).into();
            let options =
                SshOptions { address, connect_timeout: CONNECT, silence: SILENCE, ..options };
            master.beyond(SshOptions { privilege: Privilege::User, ..options })
        });
        Self { options }
    }

    /// What a worker says; none when it cannot be asked.
    ///
    /// # Errors
    /// This machine cannot run ssh, or we were interrupted.
    fn ask(&self) -> Result<Option<Sign>, WatchError> {
        let Some(options) = &self.options else { return Ok(None) };
        match Ssh::connect(options.clone()) {
            Ok(host) => told(&host),
            Err(error) => sign(error),
        }
    }

    fn go_on(&self, number: usize, events: &Sender<Message>) {
        let Some(options) = &self.options else { return };
        let mut host = None;
        while !interrupt::requested() {
            let said = match host.take().map_or_else(|| Ssh::connect(options.clone()), Ok) {
                Ok(connected) => {
                    let said = told(&connected);
                    // One connection serves as long as it holds.
                    host = matches!(said, Ok(Some(Sign::Answered(_)))).then_some(connected);
                    said
                }
                Err(error) => sign(error),
            };
            match said {
                Ok(Some(sign)) => drop(events.send(Message::Probed(number, sign))),
                Ok(None) => {}
                Err(WatchError::Remote(RemoteError::Interrupted { .. })) => return,
                Err(error) => {
                    drop(events.send(Message::Failed(error)));
                    return;
                }
            }
            if interrupt::wait_timeout(INTERVAL) {
                return;
            }
        }
    }
}

fn told(host: &dyn Host) -> Result<Option<Sign>, WatchError> {
    match host.run(health::SCRIPT) {
        Ok(output) => Ok(Some(Sign::Answered(Health::parse(&output.stdout_text())))),
        Err(error) => sign(error),
    }
}

/// What a login that failed says of a worker.
fn sign(error: RemoteError) -> Result<Option<Sign>, WatchError> {
    match error {
        error if error.is_transient() => Ok(Some(Sign::Unanswered)),
        RemoteError::Interrupted { .. } | RemoteError::Here { .. } => Err(error.into()),
        error => Ok(Some(Sign::Closed(error.to_string()))),
    }
}
