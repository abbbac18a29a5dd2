//! A person at a serial console.

use std::{
    io::{self, Read, Seek, SeekFrom},
    os::fd::{AsFd, OwnedFd},
};

use camino::Utf8Path;
use fs_err::File;
use rustix::fs::inotify;

use super::{ConsoleEnd, Keyboard};

/// What is shown of the time before, in bytes: a screen of it.
const BEFORE: u64 = 2000;

/// Shows a console and types on it, until the person leaves, input ends, or `stop` says so.
///
/// # Errors
/// The log cannot be read or watched.
pub(crate) fn sit_at(
    mut end: ConsoleEnd,
    keyboard: &Keyboard,
    show: &dyn Fn(&str),
    stop: &dyn Fn() -> bool,
) -> io::Result<()> {
    let mut log = Log::open(&end.log)?;
    let _raw = keyboard.raw();
    loop {
        show(&log.more()?);
        let keys = keyboard.keys(log.changes.as_fd());
        let there = keys.text.is_empty() || (end.type_in)(&keys.text);
        if keys.left || !there || stop() {
            show(&log.more()?);
            return Ok(());
        }
    }
}

/// A file that grows.
struct Log {
    file: File,
    /// Readable when it has grown.
    changes: OwnedFd,
    /// The begin of a character whose rest has not come.
    begun: Vec<u8>,
}

impl Log {
    fn open(path: &Utf8Path) -> io::Result<Self> {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let changes = inotify::init(flags)?;
        inotify::add_watch(&changes, path.as_std_path(), inotify::WatchFlags::MODIFY)?;
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BEFORE)))?;
        Ok(Self { file, changes, begun: Vec::new() })
    }

    /// What has come since the last time, in whole characters.
    fn more(&mut self) -> io::Result<String> {
        // Which changes there were does not matter: everything that has come is read.
        while rustix::io::read(&self.changes, &mut [0_u8; 4096]).is_ok_and(|read| read > 0) {}
        let mut bytes = std::mem::take(&mut self.begun);
        self.file.read_to_end(&mut bytes)?;
        if let Err(error) = std::str::from_utf8(&bytes)
            && error.error_len().is_none()
        {
            self.begun = bytes.split_off(error.valid_up_to());
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::clock::locked;

    #[test]
    fn what_comes_is_shown_and_what_is_typed_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("console.log");
        let mut guest = File::create(&path).unwrap();
        guest.write_all(b"login: \xe2\x97").unwrap();
        let typed = Arc::new(Mutex::new(String::new()));
        let (heard, shown) = (Arc::clone(&typed), Mutex::new(String::new()));
        // The guest answers what is typed, and completes its character.
        let type_in = Box::new(move |text: &str| {
            locked(&heard).push_str(text);
            guest.write_all(b"\x8f hello\r\n").is_ok()
        });
        let end = ConsoleEnd { log: path, type_in };
        let keyboard = Keyboard::script("pi\n\x1d");
        sit_at(end, &keyboard, &|text| locked(&shown).push_str(text), &|| false).unwrap();
        assert_eq!(*locked(&typed), "pi\n");
        assert_eq!(*locked(&shown), "login: \u{25cf} hello\r\n");
    }

    #[test]
    fn output_alone_wakes_whoever_sits_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("console.log");
        let mut guest = File::create(&path).unwrap();
        let mut log = Log::open(&path).unwrap();
        assert_eq!(log.more().unwrap(), "");
        guest.write_all(b"kernel").unwrap();
        let mut ready = [rustix::event::PollFd::new(&log.changes, rustix::event::PollFlags::IN)];
        let minute = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut ready, Some(&minute)), Ok(1));
        assert_eq!(log.more().unwrap(), "kernel");
    }
}
