//! Running a program to its end.

use std::{
    io::{self, PipeReader, Read},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::Signal,
};

use crate::{
    Cmd, ProcessError, Status, interrupt,
    start::{self, Started, Stdout},
    text::{self, Lines},
};

/// How long an interrupted program may take to clean up between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(3);
/// How long a pipe must have been empty after the program's end until we stop listening to whoever else holds it. What the
/// program itself wrote is in the pipe by then, however late we come to read it.
const DRAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
/// How often a wait looks at [`interrupt::requested`].
const TICK: Duration = Duration::from_millis(50);

/// One of a program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a finished program left.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error; bytes that are no UTF-8 are replaced.
    pub stderr: String,
}

impl Output {
    /// Standard output as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

type OnLine<'a> = &'a mut dyn FnMut(Stream, &str);

pub(crate) fn checked(cmd: Cmd, on_line: OnLine<'_>) -> Result<Output, ProcessError> {
    let output = unchecked(&cmd, on_line)?;
    if output.status.success() {
        return Ok(output);
    }
    let mut stderr_tail = text::tail(output.stderr.as_bytes());
    if stderr_tail.is_empty() {
        stderr_tail = text::tail(&output.stdout);
    }
    Err(ProcessError::Failed { command: cmd.command_line(), status: output.status, stderr_tail })
}

pub(crate) fn unchecked(cmd: &Cmd, on_line: OnLine<'_>) -> Result<Output, ProcessError> {
    let interrupted = || interrupt::requested() && !cmd.even_if_interrupted;
    let argv = start::argv(cmd)?;
    if interrupted() {
        return Err(ProcessError::Interrupted { command: cmd.command_line() });
    }
    let Started { handle, group, stdout, stderr, .. } = start::start(cmd, &argv, Stdout::Piped)?;

    let (events, inbox) = mpsc::channel();
    // Closed by the end of the program.
    let (alive, lives) = io::pipe().map_err(|source| start::io_error(cmd, "start", source))?;
    for (stream, pipe) in [(Stream::Stdout, stdout), (Stream::Stderr, Some(stderr))] {
        let (events, Some(pipe)) = (events.clone(), pipe) else { continue };
        let alive = alive.try_clone().map_err(|source| start::io_error(cmd, "start", source))?;
        thread(cmd, "output", move || tell(pipe, &alive, stream, &events))?;
    }
    thread(cmd, "waiter", move || {
        let status = handle.wait().map(|output| Status::from(output.status));
        drop(events.send(Event::Exited(status)));
        drop(lives);
    })?;

    let mut outputs = [Collected::default(), Collected::default()];
    let mut status = None;
    let mut open = outputs.len();
    let mut asked: Option<Instant> = None;
    while status.is_none() || open > 0 {
        match inbox.recv_timeout(TICK) {
            Ok(Event::Bytes(stream, chunk)) => {
                outputs[stream as usize].push(&chunk, |line| on_line(stream, line));
            }
            Ok(Event::Closed) => open -= 1,
            Ok(Event::Exited(end)) => status = Some(end),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if interrupted() && status.is_none() {
            match asked {
                None => {
                    asked = Some(Instant::now());
                    group.signal(Signal::TERM);
                }
                Some(since) if since.elapsed() >= GRACE => group.signal(Signal::KILL),
                Some(_) => {}
            }
        }
    }
    group.end();

    let [mut stdout, mut stderr] = outputs;
    stdout.lines.finish(|line| on_line(Stream::Stdout, line));
    stderr.lines.finish(|line| on_line(Stream::Stderr, line));
    if asked.is_some() {
        return Err(ProcessError::Interrupted { command: cmd.command_line() });
    }
    let status = status
        .unwrap_or_else(|| Err(io::Error::other("the thread that waits for it is gone")))
        .map_err(|source| start::io_error(cmd, "wait for", source))?;
    Ok(Output {
        status,
        stdout: stdout.bytes,
        stderr: String::from_utf8_lossy(&stderr.bytes).into_owned(),
    })
}

pub(crate) fn interactive(cmd: &Cmd) -> Result<Status, ProcessError> {
    let argv = start::argv(cmd)?;
    let output = start::expression(cmd, &argv)
        .run()
        .map_err(|source| start::io_error(cmd, "start", source))?;
    Ok(output.status.into())
}

enum Event {
    Bytes(Stream, Vec<u8>),
    Closed,
    Exited(io::Result<Status>),
}

#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    lines: Lines,
}

impl Collected {
    fn push(&mut self, chunk: &[u8], on_line: impl FnMut(&str)) {
        self.bytes.extend_from_slice(chunk);
        self.lines.push(chunk, on_line);
    }
}

fn tell(pipe: PipeReader, alive: &PipeReader, stream: Stream, events: &Sender<Event>) {
    pump(pipe, alive, &mut |chunk| drop(events.send(Event::Bytes(stream, chunk.to_vec()))));
    drop(events.send(Event::Closed));
}

/// Hands out what comes through a pipe, until it is closed, or until the program has ended (`alive` is closed) and the pipe
/// stays empty.
pub(crate) fn pump(mut pipe: PipeReader, alive: &PipeReader, each: &mut dyn FnMut(&[u8])) {
    let mut buffer = vec![0; 64 * 1024];
    let mut ended = false;
    loop {
        let mut both = [PollFd::new(&pipe, PollFlags::IN), PollFd::new(alive, PollFlags::IN)];
        let polled = if ended { poll(&mut both[..1], Some(&DRAIN)) } else { poll(&mut both, None) };
        match polled {
            Err(Errno::INTR) => continue,
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        ended |= !both[1].revents().is_empty();
        if both[0].revents().is_empty() {
            continue;
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => each(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

pub(crate) fn thread(
    cmd: &Cmd,
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<(), ProcessError> {
    match std::thread::Builder::new().name(name.into()).spawn(body) {
        Ok(_) => Ok(()),
        Err(source) => Err(start::io_error(cmd, "start a thread for", source)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_written_before_the_end_is_read_however_late() {
        let (pipe, mut program) = io::pipe().unwrap();
        // A daemon that holds the pipe, and stays.
        let _daemon = program.try_clone().unwrap();
        let (alive, lives) = io::pipe().unwrap();
        let text = vec![b'x'; 50_000];
        program.write_all(&text).unwrap();
        drop((program, lives));
        let mut read = Vec::new();
        pump(pipe, &alive, &mut |chunk| read.extend_from_slice(chunk));
        assert_eq!(read.len(), text.len());
    }
}
