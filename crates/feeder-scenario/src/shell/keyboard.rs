//! Where the lines of the prompt come from: standard input, or a script.

use std::{
    io::{self, IsTerminal},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{OptionalActions, Termios, tcgetattr, tcsetattr},
};

use crate::clock::locked;

/// How often a reader asks whether to stop, in nanoseconds: a signal that only sets a flag does not end a read.
const TICK_NS: i64 = 200_000_000;
/// The key that leaves a console, as in telnet: Ctrl-].
pub(crate) const LEAVE: u8 = 0x1d;

/// Somebody who types. Cheap to clone; a clone is the same keyboard.
#[derive(Clone)]
pub struct Keyboard {
    source: Arc<Mutex<Source>>,
}

struct Source {
    /// Typed and not yet taken.
    waiting: Vec<u8>,
    /// `None` for a script, and after the end.
    stdin: Option<io::Stdin>,
    terminal: bool,
}

/// What came of asking for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line, without its end.
    Line(String),
    /// Nothing will ever come again.
    End,
    /// Somebody wants the run to end.
    Stopped,
}

/// Keys typed at a console.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) text: String,
    /// Whether the console is to be left: by the key, or because input ended.
    pub(crate) left: bool,
}

impl Keyboard {
    /// Standard input: a terminal, or a pipe with commands.
    #[must_use]
    pub fn stdin() -> Self {
        let stdin = io::stdin();
        let terminal = stdin.is_terminal();
        Self::of(Source { waiting: Vec::new(), stdin: Some(stdin), terminal })
    }

    /// Lines that are known beforehand.
    #[must_use]
    pub fn script(text: &str) -> Self {
        Self::of(Source { waiting: text.as_bytes().to_vec(), stdin: None, terminal: false })
    }

    fn of(source: Source) -> Self {
        Self { source: Arc::new(Mutex::new(source)) }
    }

    /// Whether a person sits there.
    pub(crate) fn is_terminal(&self) -> bool {
        locked(&self.source).terminal
    }

    /// The next line. `stop` is asked several times a second.
    pub(crate) fn line(&self, stop: &dyn Fn() -> bool) -> Typed {
        let mut source = locked(&self.source);
        loop {
            if stop() {
                return Typed::Stopped;
            }
            if let Some(end) = source.waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = source.waiting.drain(..=end).collect();
                return Typed::Line(line_of(&line[..end]));
            }
            if source.stdin.is_none() {
                let rest = std::mem::take(&mut source.waiting);
                return if rest.is_empty() { Typed::End } else { Typed::Line(line_of(&rest)) };
            }
            source.fill(None);
        }
    }

    /// Keys for a console: those that wait, or those that come until `also` is readable or a moment has passed.
    pub(crate) fn keys(&self, also: BorrowedFd<'_>) -> Keys {
        let mut source = locked(&self.source);
        if source.waiting.is_empty() {
            source.fill(Some(also));
        }
        if let Some(end) = source.waiting.iter().position(|byte| *byte == LEAVE) {
            let typed: Vec<u8> = source.waiting.drain(..=end).collect();
            // The rest of a script's line is the line's end.
            if source.waiting.first() == Some(&b'\n') && !source.terminal {
                source.waiting.remove(0);
            }
            return Keys { text: text(&typed[..end]), left: true };
        }
        let typed = std::mem::take(&mut source.waiting);
        Keys { left: typed.is_empty() && source.stdin.is_none(), text: text(&typed) }
    }

    /// Every key at once and as it is, for as long as the result lives. `None` when there is no terminal.
    pub(crate) fn raw(&self) -> Option<Raw> {
        self.is_terminal().then(Raw::enter).flatten()
    }
}

impl std::fmt::Debug for Keyboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyboard").field("terminal", &self.is_terminal()).finish_non_exhaustive()
    }
}

fn line_of(bytes: &[u8]) -> String {
    text(bytes).trim_end_matches('\r').to_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Source {
    /// Takes what can be read, after waiting for it for a moment.
    fn fill(&mut self, also: Option<BorrowedFd<'_>>) {
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK_NS };
        let mut watched: Vec<PollFd<'_>> = Vec::new();
        watched.extend(self.stdin.as_ref().map(|stdin| PollFd::new(stdin, PollFlags::IN)));
        watched.extend(also.map(|also| PollFd::from_borrowed_fd(also, PollFlags::IN)));
        // An interrupted poll is one that saw nothing.
        let seen = poll(&mut watched, Some(&tick)).unwrap_or(0) > 0;
        let Some(stdin) = &self.stdin else { return };
        if !seen || watched[0].revents().is_empty() {
            return;
        }
        let mut buffer = [0; 4096];
        match rustix::io::read(stdin, &mut buffer) {
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // A terminal that hung up is an end, too.
            Ok(0) | Err(_) => self.stdin = None,
            Ok(read) => self.waiting.extend_from_slice(&buffer[..read]),
        }
    }
}

/// A terminal without line editing and signals. Dropping it gives back what was before.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> Option<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _gone = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_line_by_line_to_its_end() {
        let keyboard = Keyboard::script("nodes\r\n\nquit");
        let never = || false;
        let lines: Vec<Typed> = (0..4).map(|_| keyboard.line(&never)).collect();
        let line = |text: &str| Typed::Line(text.into());
        assert_eq!(lines, [line("nodes"), line(""), line("quit"), Typed::End]);
        assert_eq!(keyboard.line(&|| true), Typed::Stopped);
    }

    #[test]
    fn keys_go_to_the_console_until_the_one_that_leaves_it() {
        let keyboard = Keyboard::script("uname\r\x1d\nquit\n");
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(keyboard.keys(reader.as_fd()), Keys { text: "uname\r".into(), left: true });
        assert_eq!(keyboard.line(&|| false), Typed::Line("quit".into()));
        assert_eq!(keyboard.keys(reader.as_fd()), Keys { text: String::new(), left: true });
    }
}
