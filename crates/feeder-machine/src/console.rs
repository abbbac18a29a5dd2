//! The serial console: kept, read line by line, waited on.
//!
//! rexpect does the waiting. It sees the console through a tee which keeps the raw bytes, drops escape sequences and
//! knows a kernel panic when it comes by. rexpect takes bytes for characters, so a pattern is ASCII.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use camino::Utf8Path;
use fs_err::{File, OpenOptions};
use rexpect::{
    ReadUntil,
    error::Error as Rexpect,
    reader::{Options, Regex},
    session::StreamSession,
};

use crate::terminal::{Plain, Screen};

/// How often a wait asks whether to go on, in milliseconds.
const POLL_MS: u64 = 250;
/// How many lines are remembered for messages; all of them are in the log.
const REMEMBERED: usize = 500;
/// How many lines an error shows.
const SHOWN: usize = 8;
/// What Linux says when it gives up (kernel/panic.c).
const PANIC: &str = "Kernel panic - not syncing";

/// Why waiting on a console ended without what was awaited.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The guest's kernel gave up.
    #[error("waited for /{wanted}/ on the console, but the kernel panicked: {line}")]
    Panicked {
        /// The pattern.
        wanted: String,
        /// The kernel's words.
        line: String,
    },
    /// The machine is gone.
    #[error(
        "waited for /{wanted}/ on the console, but the machine stopped; last seen:{}",
        shown(last)
    )]
    Closed {
        /// The pattern.
        wanted: String,
        /// The last lines, oldest first.
        last: Vec<String>,
    },
    /// The caller said that it was enough.
    #[error("waited for /{wanted}/ on the console in vain; last seen:{}", shown(last))]
    GaveUp {
        /// The pattern.
        wanted: String,
        /// The last lines, oldest first.
        last: Vec<String>,
    },
    /// The pattern cannot match.
    #[error("cannot wait for /{wanted}/ on a console: {why}")]
    Pattern {
        /// The pattern.
        wanted: String,
        /// What is wrong with it.
        why: String,
    },
    /// The socket, or a log.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

fn shown(last: &[String]) -> String {
    if last.is_empty() {
        " nothing".into()
    } else {
        last.iter().map(|line| format!("\n  | {line}")).collect()
    }
}

/// A line of the console, without its end and without escape sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Since the console was opened, wall clock.
    pub at: Duration,
    /// The text; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// What a wait found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What came before it, since the last wait.
    pub before: String,
    /// What matched.
    pub matched: String,
}

/// A machine's serial console.
pub struct Console {
    session: Mutex<StreamSession<io::Sink>>,
    writer: Mutex<UnixStream>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    screen: Screen,
    lines: VecDeque<Line>,
    subscribers: Vec<Sender<Line>>,
    panic: Option<String>,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Console {
    /// Takes a connected console. The bytes go to `console.log` in `dir` as they come, the lines with the time since
    /// now to `console.timed.log`; both are appended to, since a machine that is powered on again goes on there.
    ///
    /// # Errors
    /// `Io`.
    pub fn open(stream: UnixStream, dir: &Utf8Path) -> Result<Self, ConsoleError> {
        let io = |what| move |source| ConsoleError::Io { what, source };
        let append = |name: &str| {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(dir.join(name))
                .map_err(io("open a console's log"))
        };
        let shared = Arc::<Mutex<Shared>>::default();
        let tee = Tee {
            stream: stream.try_clone().map_err(io("duplicate a console's socket"))?,
            raw: append("console.log")?,
            timed: append("console.timed.log")?,
            start: Instant::now(),
            plain: Plain::default(),
            shared: Arc::clone(&shared),
        };
        let options = Options::new().timeout_ms(Some(POLL_MS));
        // Input goes around rexpect, so that one thread can answer while another waits.
        let session = StreamSession::new(tee, io::sink(), options);
        Ok(Self { session: Mutex::new(session), writer: Mutex::new(stream), shared })
    }

    /// Waits until `pattern`, a regular expression in ASCII, is printed, and goes on behind it next time. One wait at a
    /// time sees a piece of output.
    ///
    /// `keep_waiting` is asked four times a second.
    ///
    /// # Errors
    /// `Panicked` and `Closed` as soon as they are seen, `GaveUp` when `keep_waiting` says no, `Pattern`.
    pub fn expect(
        &self,
        pattern: &str,
        keep_waiting: &mut dyn FnMut() -> bool,
    ) -> Result<Seen, ConsoleError> {
        let wanted = || pattern.to_owned();
        let bad = |why: String| ConsoleError::Pattern { wanted: wanted(), why };
        if !pattern.is_ascii() {
            return Err(bad("only ASCII can be awaited".into()));
        }
        let regex = Regex::new(pattern).map_err(|err| bad(err.to_string()))?;
        let mut session = lock(&self.session);
        loop {
            let ended = match session.exp_any(vec![ReadUntil::Regex(regex.clone())]) {
                Ok((before, matched)) => return Ok(Seen { before, matched }),
                Err(Rexpect::Timeout { .. }) => false,
                Err(Rexpect::EOF { .. }) => true,
                Err(err) => return Err(bad(err.to_string())),
            };
            if let Some(line) = self.panicked() {
                return Err(ConsoleError::Panicked { wanted: wanted(), line });
            }
            if ended {
                return Err(ConsoleError::Closed {
                    wanted: wanted(),
                    last: self.last_lines(SHOWN),
                });
            }
            if !keep_waiting() {
                return Err(ConsoleError::GaveUp {
                    wanted: wanted(),
                    last: self.last_lines(SHOWN),
                });
            }
        }
    }

    /// Types `text`; a newline is Enter.
    ///
    /// # Errors
    /// `Io` when the machine is gone.
    pub fn send(&self, text: &str) -> Result<(), ConsoleError> {
        lock(&self.writer)
            .write_all(text.as_bytes())
            .map_err(|source| ConsoleError::Io { what: "type on the console", source })
    }

    /// Lines from now on, each when it is complete; the channel ends with the machine.
    #[must_use]
    pub fn lines(&self) -> Receiver<Line> {
        let (sender, receiver) = mpsc::channel();
        let mut shared = lock(&self.shared);
        if !shared.closed {
            shared.subscribers.push(sender);
        }
        receiver
    }

    /// The last `n` lines, at most 500, oldest first; a line that is not complete, such as a prompt, is the last.
    #[must_use]
    pub fn last_lines(&self, n: usize) -> Vec<String> {
        let shared = lock(&self.shared);
        let current = Some(shared.screen.current()).filter(|line| !line.is_empty());
        let lines: Vec<String> =
            shared.lines.iter().map(|line| line.text.clone()).chain(current).collect();
        lines[lines.len().saturating_sub(n)..].to_vec()
    }

    /// The kernel's last words, when it panicked.
    #[must_use]
    pub fn panicked(&self) -> Option<String> {
        lock(&self.shared).panic.clone()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Ends the reader, which holds the other handle on the socket.
        let _ = lock(&self.writer).shutdown(Shutdown::Both);
    }
}

/// What rexpect reads: the console without escape sequences, kept on the way.
struct Tee {
    stream: UnixStream,
    raw: File,
    timed: File,
    start: Instant,
    plain: Plain,
    shared: Arc<Mutex<Shared>>,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = match self.stream.read(buffer) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                // rexpect would ask again for ever after an error: a broken console is one that ended.
                Ok(0) | Err(_) => {
                    let mut shared = lock(&self.shared);
                    shared.closed = true;
                    shared.subscribers.clear();
                    return Ok(0);
                }
                Ok(n) => n,
            };
            // Evidence is worth having, but a full disk must not stop the machine.
            let _ = self.raw.write_all(&buffer[..n]);
            let kept = self.plain.filter(&mut buffer[..n]);
            self.note(&buffer[..kept]);
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

impl Tee {
    fn note(&mut self, bytes: &[u8]) {
        let at = self.start.elapsed();
        let mut shared = lock(&self.shared);
        let mut screen = std::mem::take(&mut shared.screen);
        screen.push(bytes, |text| {
            let _ = writeln!(self.timed, "[{:9.3}] {text}", at.as_secs_f64());
            if shared.panic.is_none()
                && let Some(found) = text.find(PANIC)
            {
                shared.panic = Some(text[found..].to_owned());
            }
            let line = Line { at, text };
            shared.subscribers.retain(|subscriber| subscriber.send(line.clone()).is_ok());
            if shared.lines.len() == REMEMBERED {
                shared.lines.pop_front();
            }
            shared.lines.push_back(line);
        });
        shared.screen = screen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Guest {
        serial: UnixStream,
        console: Console,
        dir: tempfile::TempDir,
    }

    fn guest() -> Guest {
        let (serial, ours) = UnixStream::pair().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let console = Console::open(ours, dir.path().try_into().unwrap()).unwrap();
        Guest { serial, console, dir }
    }

    #[test]
    fn a_wait_finds_goes_on_behind_and_answers() {
        let mut guest = guest();
        guest.serial.write_all("\x1b[1m● boot\x1b[0m\r\ncluster00 login: ".as_bytes()).unwrap();
        let seen = guest.console.expect(r"(\w+) login: $", &mut || true).unwrap();
        assert_eq!(seen.matched, "cluster00 login: ");
        assert_eq!(guest.console.last_lines(2), ["● boot", "cluster00 login: "]);
        guest.console.send("pi\n").unwrap();
        let mut typed = [0; 3];
        guest.serial.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"pi\n");
        let lines = guest.console.lines();
        guest.serial.write_all(b"pi\r\nwelcome\r\n").unwrap();
        assert_eq!(guest.console.expect("welcome", &mut || true).unwrap().before, "pi\r\n");
        assert_eq!(lines.recv().unwrap().text, "cluster00 login: pi");
        let raw = fs_err::read(guest.dir.path().join("console.log")).unwrap();
        assert!(raw.starts_with("\x1b[1m● boot".as_bytes()), "the log keeps every byte");
        let timed = fs_err::read_to_string(guest.dir.path().join("console.timed.log")).unwrap();
        assert!(
            timed
                .lines()
                .next()
                .is_some_and(|l| l.starts_with("[    0.") && l.ends_with("] ● boot")),
            "{timed}"
        );
    }

    #[test]
    fn a_wait_ends_early_when_there_is_no_hope() {
        let mut guest = guest();
        let mut asked = 0;
        let mut thrice = || {
            asked += 1;
            asked < 3
        };
        guest.serial.write_all(b"[    1.0] something\r\n").unwrap();
        let err = guest.console.expect("login", &mut thrice).unwrap_err();
        insta::assert_snapshot!(err, @r"
        waited for /login/ on the console in vain; last seen:
          | [    1.0] something
        ");
        guest
            .serial
            .write_all(b"[    2.0] Kernel panic - not syncing: No init found.\r\n")
            .unwrap();
        let err = guest.console.expect("login", &mut || true).unwrap_err();
        insta::assert_snapshot!(err, @"waited for /login/ on the console, but the kernel panicked: Kernel panic - not syncing: No init found.");
        assert!(guest.console.panicked().is_some());
    }

    #[test]
    fn a_wait_ends_with_the_machine() {
        let mut guest = guest();
        let lines = guest.console.lines();
        guest.serial.write_all(b"Shutting down\r\nbye").unwrap();
        drop(guest.serial);
        let err = guest.console.expect("login", &mut || true).unwrap_err();
        assert!(
            matches!(&err, ConsoleError::Closed { last, .. } if last == &["Shutting down", "bye"]),
            "{err}"
        );
        assert_eq!(lines.iter().count(), 1, "and so does a subscription");
    }

    #[test]
    fn a_pattern_that_cannot_match_is_refused() {
        let guest = guest();
        for pattern in ["(", "● Started"] {
            let err = guest.console.expect(pattern, &mut || false).unwrap_err();
            assert!(matches!(err, ConsoleError::Pattern { .. }), "{err}");
        }
    }
}
