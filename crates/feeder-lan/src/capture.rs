//! The capture file: every frame of the LAN in one pcapng, with the nodes' names and remarks about what happened.
//!
//! Frames are encoded into a large buffer on the thread that forwards them; another thread writes full buffers, so that a slow
//! disk delays frames only when it is far behind. A buffer is also handed over when its oldest frame is [`FLUSH_AFTER`] old and
//! after each remark: when the process is killed, the file lacks no more than that and ends at a block's end.

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use camino::Utf8Path;

use crate::error::LanError;
use crate::pcapng;

/// How old a frame may become before it is written.
const FLUSH_AFTER: Duration = Duration::from_millis(250);
const BUFFER: usize = 256 * 1024;
/// Buffers on their way to the disk (8 MiB) before forwarding waits for it: frames must not be missing from the capture.
const BUFFERS: usize = 32;

/// The interface that carries remarks. Frames on it were never on the wire.
const STEPS: u32 = 0;
/// IEEE "local experimental EtherType 1": what remarks travel under, so that every reader shows them as a frame.
const REMARK_ETHERTYPE: [u8; 2] = [0x88, 0xb5];
const REMARK_BYTES: usize = 1500;

/// An open capture.
pub struct Capture {
    /// Wall clock, since the Unix epoch, at which the LAN's own clock stood at zero.
    epoch: Duration,
    buffer: Vec<u8>,
    interfaces: u32,
    flush_at: Option<Duration>,
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    outcome: Arc<Outcome>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer thread has to tell.
#[derive(Default)]
struct Outcome {
    written: AtomicU64,
    cpu_nanos: AtomicU64,
    failed: OnceLock<String>,
}

impl Capture {
    /// Creates (or empties) the file and writes its header at once.
    ///
    /// # Errors
    /// [`LanError::Capture`] when the file cannot be created.
    pub fn create(path: &Utf8Path, epoch: Duration) -> Result<Capture, LanError> {
        let failed = |source| LanError::Capture { path: path.to_owned(), source };
        let mut file = File::create(path).map_err(failed)?;
        let mut header = Vec::new();
        pcapng::section_header(&mut header, concat!("feeder-lan ", env!("CARGO_PKG_VERSION")));
        pcapng::interface(
            &mut header,
            "steps",
            "remarks of the run: these frames were never on the wire",
        );
        file.write_all(&header).map_err(failed)?;

        let (full, to_write) = sync_channel(BUFFERS);
        let (recycle, empty) = channel();
        let outcome = Arc::new(Outcome::default());
        outcome.written.store(header.len() as u64, Ordering::Relaxed);
        let shared = Arc::clone(&outcome);
        let writer = std::thread::Builder::new()
            .name("lan-capture".into())
            .spawn(move || write_buffers(file, &to_write, &recycle, &shared))
            .map_err(failed)?;
        Ok(Capture {
            epoch,
            buffer: Vec::with_capacity(BUFFER + 4096),
            interfaces: 1,
            flush_at: None,
            full: Some(full),
            empty,
            outcome,
            writer: Some(writer),
        })
    }

    /// Adds an interface and gives its number.
    pub fn interface(&mut self, name: &str, description: &str) -> u32 {
        pcapng::interface(&mut self.buffer, name, description);
        self.interfaces += 1;
        self.interfaces - 1
    }

    /// Records a frame that a node sent at `now`, time since the LAN started.
    pub fn record(&mut self, now: Duration, interface: u32, frame: &[u8], comment: Option<&str>) {
        pcapng::packet(&mut self.buffer, interface, self.epoch + now, frame, comment);
        if self.buffer.len() >= BUFFER {
            self.flush();
        } else if self.flush_at.is_none() {
            self.flush_at = Some(now + FLUSH_AFTER);
        }
    }

    /// Records a remark as a frame of its own, which carries it as comment and as payload, and hands everything to the writer.
    pub fn remark(&mut self, now: Duration, text: &str) {
        self.note(now, text);
        self.flush();
    }

    /// Records a remark that can wait to be written, as frames do.
    pub fn note(&mut self, now: Duration, text: &str) {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&REMARK_ETHERTYPE);
        frame.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(REMARK_BYTES)]);
        self.record(now, STEPS, &frame, Some(text));
    }

    /// Records names of addresses.
    pub fn names<'a>(&mut self, names: impl IntoIterator<Item = (Ipv4Addr, &'a str)>) {
        pcapng::names(&mut self.buffer, names);
    }

    /// When [`Capture::tick`] wants to be called next.
    pub fn due(&self) -> Option<Duration> {
        self.flush_at
    }

    /// Hands frames that have waited long enough to the writer.
    pub fn tick(&mut self, now: Duration) {
        if self.flush_at.is_some_and(|at| at <= now) {
            self.flush();
        }
    }

    /// Bytes in the file so far, CPU time of the writer thread, and why writing failed, if it did.
    pub fn status(&self) -> (u64, Duration, Option<&str>) {
        let cpu = Duration::from_nanos(self.outcome.cpu_nanos.load(Ordering::Relaxed));
        (
            self.outcome.written.load(Ordering::Relaxed),
            cpu,
            self.outcome.failed.get().map(String::as_str),
        )
    }

    /// Writes what is left and waits until it is in the file.
    pub fn close(&mut self) {
        self.flush();
        self.full = None;
        if let Some(writer) = self.writer.take()
            && let Err(panic) = writer.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }

    fn flush(&mut self) {
        self.flush_at = None;
        let Some(full) = &self.full else { return };
        if self.buffer.is_empty() {
            return;
        }
        let next = self.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BUFFER + 4096));
        // The writer ends only when the sending side is dropped, which happens in `close`.
        let _ = full.send(std::mem::replace(&mut self.buffer, next));
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Also while panicking: then the capture is needed most.
        self.close();
    }
}

fn write_buffers(
    mut file: File,
    full: &Receiver<Vec<u8>>,
    empty: &Sender<Vec<u8>>,
    outcome: &Outcome,
) {
    while let Ok(mut buffer) = full.recv() {
        // After a failure (a full disk) the LAN goes on without capture; its summary says so.
        if outcome.failed.get().is_none() {
            match file.write_all(&buffer) {
                Ok(()) => {
                    outcome.written.fetch_add(buffer.len() as u64, Ordering::Relaxed);
                }
                Err(err) => {
                    let _ = outcome.failed.set(err.to_string());
                }
            }
        }
        buffer.clear();
        let _ = empty.send(buffer);
        outcome
            .cpu_nanos
            .store(crate::clock::thread_cpu_time().as_nanos() as u64, Ordering::Relaxed);
    }
}
