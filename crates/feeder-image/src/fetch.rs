//! Bringing locked files into the store.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use feeder_process::interrupt;
use feeder_store::{Store, StoreError};
use feeder_ui::{Progress, Task, plural, size};

use crate::{ImageError, Lock, LockedPackage, Mirror};

/// More would not be faster on an ordinary line, and unkind to a mirror.
const AT_ONCE: usize = 4;

/// What [`fetch`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// Files that came from the mirror.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Fetches every locked file that the store does not have. Size and SHA-256 of each are checked before it is kept.
///
/// # Errors
///
/// The first file that could not be had ends it: [`ImageError::Gone`], [`ImageError::Mismatch`],
/// [`ImageError::Network`]. What was complete by then stays.
pub fn fetch(
    store: &Store,
    lock: &Lock,
    mirror: &Mirror,
    progress: &Progress,
) -> Result<Fetched, ImageError> {
    let missing: VecDeque<_> =
        lock.packages().iter().filter(|package| store.blob(&package.sha256).is_none()).collect();
    let (files, total) = (missing.len(), missing.iter().map(|package| package.size).sum());
    let task = progress.task("packages");
    if files == 0 {
        task.done(format!("{} from store", lock.packages().len()));
        return Ok(Fetched { files, bytes: 0 });
    }

    let work = Work {
        store,
        mirror,
        agent: agent(),
        queue: Mutex::new(missing),
        failure: Mutex::new(None),
        bytes: AtomicU64::new(0),
        total,
        task: &task,
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(files) {
            scope.spawn(|| work.run());
        }
    });
    if let Some(error) = work.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        task.failed("could not be fetched");
        return Err(error);
    }
    task.done(format!(
        "{} of {} fetched, {}",
        files,
        plural(lock.packages().len(), "file"),
        size(total)
    ));
    Ok(Fetched { files, bytes: total })
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .http_status_as_error(false)
        .user_agent("feeder")
        .build()
        .into()
}

struct Work<'a> {
    store: &'a Store,
    mirror: &'a Mirror,
    agent: ureq::Agent,
    queue: Mutex<VecDeque<&'a LockedPackage>>,
    failure: Mutex<Option<ImageError>>,
    /// Fetched so far, of all files together.
    bytes: AtomicU64,
    total: u64,
    task: &'a Task,
}

impl Work<'_> {
    /// Takes files from the queue until it is empty or somebody failed.
    fn run(&self) {
        while let Some(package) = self.next() {
            if let Err(error) = self.one(package) {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                self.queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
        }
    }

    fn next(&self) -> Option<&LockedPackage> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn one(&self, package: &LockedPackage) -> Result<(), ImageError> {
        let mut left = 2;
        loop {
            let came = Cell::new(0);
            match self.attempt(package, &came) {
                // A connection that was refused or broke off may work the next time; a wrong file would not change.
                Err(ImageError::Network { .. }) if left > 0 && !interrupt::requested() => {
                    left -= 1;
                    self.bytes.fetch_sub(came.get(), Ordering::Relaxed);
                }
                result => return result,
            }
        }
    }

    fn attempt(&self, package: &LockedPackage, came: &Cell<u64>) -> Result<(), ImageError> {
        let LockedPackage { path, sha256, size, .. } = package;
        let (mirror, path) = (self.mirror.clone(), path.clone());
        let response = match self.agent.get(mirror.url(&path)).call() {
            Ok(response) => response,
            Err(error) => {
                return Err(ImageError::Network { mirror, path, source: error.into_io() });
            }
        };
        match response.status().as_u16() {
            200 => {}
            status @ (404 | 410) => return Err(ImageError::Gone { mirror, path, status }),
            status => {
                let source = io::Error::other(format!("HTTP status {status}"));
                return Err(ImageError::Network { mirror, path, source });
            }
        }
        let body = Counted {
            inner: response.into_body().into_reader(),
            came,
            all: &self.bytes,
            total: self.total,
            task: self.task,
        };
        match self.store.put_blob(body, Some((*sha256, *size))) {
            Ok(_) => Ok(()),
            Err(StoreError::Read { .. }) if interrupt::requested() => {
                Err(ImageError::Interrupted { doing: format!("fetching {path}") })
            }
            Err(StoreError::Read { bytes, source }) => {
                let why = format!("it broke off after {bytes} of {size} bytes: {source}");
                Err(ImageError::Network {
                    mirror,
                    path,
                    source: io::Error::new(source.kind(), why),
                })
            }
            // A connection that was closed early and one that sent something else cannot always be told apart.
            Err(StoreError::Mismatch { size: got, .. }) if got < *size => {
                let source = io::Error::other(format!("it broke off after {got} of {size} bytes"));
                Err(ImageError::Network { mirror, path, source })
            }
            Err(StoreError::Mismatch { got, size: got_size, .. }) => Err(ImageError::Mismatch {
                mirror,
                path,
                expected: *sha256,
                expected_size: *size,
                got: if got_size > *size {
                    "more bytes than that".into()
                } else {
                    format!("{got_size} bytes with SHA-256 {got}")
                },
            }),
            Err(error) => Err(error.into()),
        }
    }
}

/// Tells the progress, and ends when an interrupt was requested.
struct Counted<'a, R> {
    inner: R,
    /// Bytes of this attempt, to be taken back when it fails.
    came: &'a Cell<u64>,
    /// Of all files together.
    all: &'a AtomicU64,
    total: u64,
    task: &'a Task,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if interrupt::requested() {
            return Err(io::Error::other("interrupted"));
        }
        let count = self.inner.read(buf)?;
        self.came.set(self.came.get() + count as u64);
        let bytes = self.all.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        self.task.bytes(bytes, Some(self.total));
        Ok(count)
    }
}
