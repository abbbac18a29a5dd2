//! How far the logs of several disks were at the same moment, while they grow.
//!
//! Logs have no clock, and none says what was in another when an entry came. Here the kernel tells of every write to one of
//! them, and then all their counts are read until two readings in a row agree: so many requests were in each at one and
//! the same moment. A request is counted before the guest is told that it is done.

use std::{
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::FileExt},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use camino::Utf8PathBuf;
use fs_err as fs;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{WriteLogError, format};

/// Readings until the counts of a moment that has words are agreed on; other moments have one chance.
const READINGS: usize = 1000;
/// How long not to look whether the end has come.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A moment, and what was in the logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Requests in each log, in the order in which the logs were named.
    pub counts: Vec<usize>,
    /// What somebody said at this moment.
    pub said: Option<String>,
}

/// Follows logs until it is told to stop.
#[derive(Debug)]
pub struct Follow {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), WriteLogError>>,
}

#[derive(Debug)]
struct Shared {
    logs: Vec<(Utf8PathBuf, fs::File)>,
    moments: Mutex<Vec<Moment>>,
    stop: AtomicBool,
}

impl Follow {
    /// Begins with the logs of machines that run, or may run later: the files must be there.
    ///
    /// # Errors
    /// `Io`.
    pub fn start(logs: &[Utf8PathBuf]) -> Result<Self, WriteLogError> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(|errno| io("watch write logs", errno))?;
        let mut open = Vec::new();
        for log in logs {
            let file = fs::File::open(log)
                .map_err(|source| WriteLogError::Io { what: format!("read {log}"), source })?;
            inotify::add_watch(&watch, log.as_std_path(), inotify::WatchFlags::MODIFY)
                .map_err(|errno| io(&format!("watch {log}"), errno))?;
            open.push((log.clone(), file));
        }
        let shared = Arc::new(Shared {
            logs: open,
            moments: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let follower = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("write-logs".into())
            .spawn(move || follower.follow(&watch))
            .map_err(|source| WriteLogError::Io { what: "watch write logs".into(), source })?;
        Ok(Self { shared, thread })
    }

    /// Gives this moment words.
    ///
    /// # Errors
    /// `Io`, also when the logs grow so fast that no two readings agree.
    pub fn say(&self, words: &str) -> Result<(), WriteLogError> {
        for _ in 0..READINGS {
            if self.shared.look(Some(words))? {
                return Ok(());
            }
        }
        Err(io("read write logs that grow", Errno::AGAIN))
    }

    /// Ends it, and gives all moments in their order.
    ///
    /// # Errors
    /// `Io`: from some moment on nobody looked.
    pub fn stop(self) -> Result<Vec<Moment>, WriteLogError> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join().map_err(|_panic| io("watch write logs", Errno::INTR))?;
        ended?;
        self.shared.look(None)?;
        let moments = &self.shared.moments;
        Ok(std::mem::take(&mut *moments.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Shared {
    fn follow(&self, watch: &OwnedFd) -> Result<(), WriteLogError> {
        let mut room = [const { MaybeUninit::uninit() }; 4096];
        while !self.stop.load(Ordering::Relaxed) {
            match poll(&mut [PollFd::new(watch, PollFlags::IN)], Some(&TICK)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(io("watch write logs", errno)),
            }
            // Only that something came matters; what it was is read from the logs.
            let mut events = inotify::Reader::new(watch, &mut room);
            while events.next().is_ok() {}
            self.look(None)?;
        }
        Ok(())
    }

    /// Writes a moment down; `false` when the logs grew meanwhile.
    fn look(&self, words: Option<&str>) -> Result<bool, WriteLogError> {
        // Held from the reading on, so that moments are in their order whoever looks.
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = self.counts()?;
        if counts != self.counts()? {
            return Ok(false);
        }
        if words.is_some() || moments.last().is_none_or(|last| last.counts != counts) {
            moments.push(Moment { counts, said: words.map(str::to_owned) });
        }
        Ok(true)
    }

    fn counts(&self) -> Result<Vec<usize>, WriteLogError> {
        let count = |(path, file): &(Utf8PathBuf, fs::File)| {
            let mut bytes = [0; format::SUPER];
            // One that QEMU has not begun to write is empty.
            let read = file.file().read_at(&mut bytes, 0);
            match read {
                Ok(format::SUPER) => Ok(format::super_block(&bytes)
                    .map_or(0, |head| usize::try_from(head.entries).unwrap_or(usize::MAX))),
                Ok(_) => Ok(0),
                Err(source) => Err(WriteLogError::Io { what: format!("read {path}"), source }),
            }
        };
        self.logs.iter().map(count).collect()
    }
}

fn io(what: &str, errno: Errno) -> WriteLogError {
    WriteLogError::Io { what: what.to_owned(), source: errno.into() }
}
