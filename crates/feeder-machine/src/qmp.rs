//! QMP, QEMU's control protocol: JSON lines over a unix socket (docs/interop/qmp-spec.rst).
//!
//! Commands, answers and events are qapi's types; the transport is ours. qapi's own reads every message into a closed
//! enum and matches answers by order, so that one event newer than its schema breaks every later command. Here answers
//! are matched by id, an unknown event is just an event without a type, and every command has a deadline.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use qapi::{Command, Execute};
use serde_json::Value;

/// How long an answer may take, wall clock. QEMU answers from its main loop, which a busy host delays.
const DEADLINE: Duration = Duration::from_secs(60);

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU refused.
    #[error("QEMU refused {command}: {description} ({class})")]
    Refused {
        /// The command's name.
        command: &'static str,
        /// QEMU's class of error.
        class: String,
        /// QEMU's own words.
        description: String,
    },
    /// QEMU answered with something that qapi does not know.
    #[error("QEMU's answer to {command} is not understood: {source}")]
    Answer {
        /// The command's name.
        command: &'static str,
        /// Where it differs.
        source: serde_json::Error,
    },
    /// No answer in time.
    #[error("QEMU did not answer {command} within {} s", deadline.as_secs())]
    Deadline {
        /// The command's name.
        command: &'static str,
        /// How long we waited.
        deadline: Duration,
    },
    /// QEMU is gone.
    #[error("QEMU closed the connection before answering {command}")]
    Closed {
        /// The command's name.
        command: &'static str,
    },
    /// The socket.
    #[error("cannot send {command} to QEMU: {source}")]
    Io {
        /// The command's name.
        command: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Something that happened in QEMU.
#[derive(Debug, Clone)]
pub struct Event {
    /// QEMU's name for it: `SHUTDOWN`, `RESET`, …
    pub name: String,
    /// What it says about itself; null when nothing.
    pub data: Value,
    /// The host's clock, since 1970.
    pub at: Duration,
    /// Typed, when qapi's schema knows it in this shape.
    pub typed: Option<qapi::qmp::Event>,
}

/// A connection to one QEMU.
#[derive(Debug)]
pub struct Qmp {
    stream: Mutex<UnixStream>,
    shared: Arc<Shared>,
    next_id: AtomicU64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    closed: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    waiting: HashMap<u64, Sender<Value>>,
    subscribers: Vec<Sender<Event>>,
    events: Vec<Event>,
    log: Option<Box<dyn Write + Send>>,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Evidence is worth having, but a full disk must not stop the machine.
    fn log(&mut self, line: &str) {
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{}", line.trim_end());
        }
    }
}

impl Qmp {
    /// Greets QEMU on a connected socket; every line in either direction goes to `log`.
    ///
    /// # Errors
    /// When nobody greets in time, or the handshake is refused.
    pub fn connect(stream: UnixStream, log: impl Write + Send + 'static) -> Result<Self, QmpError> {
        const GREETING: &str = "the greeting";
        let reader =
            stream.try_clone().map_err(|source| QmpError::Io { command: GREETING, source })?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State { log: Some(Box::new(log)), ..State::default() }),
            ..Shared::default()
        });
        let (greeted, greeting) = mpsc::channel();
        let for_reader = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("qmp".into())
            .spawn(move || read(reader, &for_reader, &greeted))
            .map_err(|source| QmpError::Io { command: GREETING, source })?;
        let qmp = Self { stream: Mutex::new(stream), shared, next_id: AtomicU64::new(1) };
        match greeting.recv_timeout(DEADLINE) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => {
                return Err(QmpError::Deadline { command: GREETING, deadline: DEADLINE });
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(QmpError::Closed { command: GREETING });
            }
        }
        qmp.execute(qapi::qmp::qmp_capabilities { enable: None })?;
        Ok(qmp)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// Every [`QmpError`].
    pub fn execute<C: Command>(&self, command: C) -> Result<C::Ok, QmpError> {
        self.execute_within(command, DEADLINE)
    }

    /// The same with another deadline, wall clock.
    ///
    /// # Errors
    /// Every [`QmpError`].
    pub fn execute_within<C: Command>(
        &self,
        command: C,
        deadline: Duration,
    ) -> Result<C::Ok, QmpError> {
        let answer = self.exchange(command, deadline)?;
        let command = C::NAME;
        if let Some(error) = answer.get("error") {
            let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
            return Err(QmpError::Refused {
                command,
                class: text("class"),
                description: text("desc"),
            });
        }
        let value = answer.get("return").cloned().unwrap_or_default();
        serde_json::from_value(value).map_err(|source| QmpError::Answer { command, source })
    }

    fn exchange<C: Command>(&self, arguments: C, deadline: Duration) -> Result<Value, QmpError> {
        let command = C::NAME;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut line = serde_json::to_string(&Execute::new(arguments, Some(id)))
            .map_err(|source| QmpError::Answer { command, source })?;
        line.push('\n');
        let (answered, answer) = mpsc::channel();
        {
            let mut state = self.shared.state();
            if state.closed {
                return Err(QmpError::Closed { command });
            }
            state.log(&line);
            state.waiting.insert(id, answered);
        }
        let sent =
            self.stream.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        let answer = match sent {
            Err(err) if err.kind() == io::ErrorKind::BrokenPipe => {
                Err(QmpError::Closed { command })
            }
            Err(source) => Err(QmpError::Io { command, source }),
            Ok(()) => answer.recv_timeout(deadline).map_err(|err| match err {
                RecvTimeoutError::Timeout => QmpError::Deadline { command, deadline },
                RecvTimeoutError::Disconnected => QmpError::Closed { command },
            }),
        };
        self.shared.state().waiting.remove(&id);
        answer
    }

    /// Events from now on; the channel ends with the connection.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<Event> {
        let (sender, receiver) = mpsc::channel();
        let mut state = self.shared.state();
        if !state.closed {
            state.subscribers.push(sender);
        }
        receiver
    }

    /// Every event so far, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared.state().events.clone()
    }

    /// Waits at most `limit` until QEMU has closed the connection and everything it said was read.
    #[must_use]
    pub fn wait_closed(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.state();
        while !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self
                .shared
                .closed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl Drop for Qmp {
    fn drop(&mut self) {
        // Ends the reader, which holds the other handle on the socket.
        let _ = self.stream.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both);
    }
}

fn read(stream: UnixStream, shared: &Shared, greeted: &Sender<()>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line).into_owned();
        let message: Value = serde_json::from_str(&text).unwrap_or_default();
        line.clear();
        let mut state = shared.state();
        state.log(&text);
        if message.get("QMP").is_some() {
            let _ = greeted.send(());
        } else if let Some(name) = message.get("event").and_then(Value::as_str) {
            let event = event(name, &message);
            state.subscribers.retain(|subscriber| subscriber.send(event.clone()).is_ok());
            state.events.push(event);
        } else if let Some(waiting) =
            message.get("id").and_then(Value::as_u64).and_then(|id| state.waiting.remove(&id))
        {
            // Whoever gave up waiting has removed itself; a lost race is no harm.
            let _ = waiting.send(message);
        }
    }
    let mut state = shared.state();
    state.closed = true;
    state.waiting.clear();
    state.subscribers.clear();
    shared.closed.notify_all();
}

fn event(name: &str, message: &Value) -> Event {
    let number = |key: &str| message["timestamp"][key].as_u64().unwrap_or_default();
    Event {
        name: name.to_owned(),
        data: message.get("data").cloned().unwrap_or_default(),
        at: Duration::from_secs(number("seconds")) + Duration::from_micros(number("microseconds")),
        typed: serde_json::from_value(message.clone()).ok(),
    }
}
