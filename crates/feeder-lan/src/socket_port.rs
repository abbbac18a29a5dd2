//! The switch's end of a QEMU network card: `-netdev dgram` on a pair of unix sockets.
//!
//! QEMU binds one path and sends to the other; this end binds the other and sends to the first. Three things to know:
//!
//! - A connected datagram socket accepts datagrams from its peer alone, and stays connected to a peer that has died. So the
//!   bound socket, which receives, is never connected: the next QEMU on the same path can talk at once. A second socket sends.
//! - An unconnected datagram socket always polls as writable. So the sending socket is connected, which makes POLLOUT mean that
//!   the peer has room, and connected again when QEMU was replaced.
//! - The kernel queues few datagrams per socket (`net.unix.max_dgram_qlen`, often 10). What does not fit waits here.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::LanError;

/// Frames that may wait for a slow peer, about what a Linux network card queues. Later ones are dropped.
pub(crate) const QUEUE: usize = 1024;
/// Bytes in a unix socket address, less the closing NUL.
const MAX_PATH: usize = 107;
/// How often a missing peer is looked for when there is something to send to it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// After the kernel's queue was found full: how long the peer may work on it undisturbed. Without this pause, the two ends
/// wake each other for every frame.
const PAUSE: Duration = Duration::from_micros(100);

/// What became of a frame for the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The peer has it, or will have it as soon as it reads.
    Accepted,
    /// Too many frames wait already.
    QueueFull,
    /// Nobody is there.
    LinkDown,
    /// The kernel does not take a frame of this size.
    TooLong,
}

/// The pair of sockets.
#[derive(Debug)]
pub(crate) struct SocketPort {
    qemu: Utf8PathBuf,
    lan: Utf8PathBuf,
    receiver: UnixDatagram,
    sender: UnixDatagram,
    connected: bool,
    link_ups: u64,
    look_again_at: Duration,
    queue: VecDeque<Vec<u8>>,
    paused_until: Option<Duration>,
}

impl SocketPort {
    /// Binds `lan`; frames will go to `qemu`, which is not to exist yet. Sockets left behind by dead processes are removed.
    pub(crate) fn bind(qemu: Utf8PathBuf, lan: Utf8PathBuf) -> Result<SocketPort, LanError> {
        for path in [&qemu, &lan] {
            if path.as_str().len() > MAX_PATH {
                return Err(LanError::SocketPath {
                    path: path.clone(),
                    length: path.as_str().len(),
                    max: MAX_PATH,
                });
            }
        }
        let failed = |what: &str| {
            let what = format!("{what} {lan}");
            |source| LanError::Socket { what, source }
        };
        remove_stale(&qemu)?;
        remove_stale(&lan)?;
        let receiver = UnixDatagram::bind(&lan).map_err(failed("bind the unix socket"))?;
        receiver.set_nonblocking(true).map_err(failed("set up the unix socket"))?;
        let sender = UnixDatagram::unbound().map_err(failed("make a socket beside"))?;
        sender.set_nonblocking(true).map_err(failed("set up the socket beside"))?;
        Ok(SocketPort {
            qemu,
            lan,
            receiver,
            sender,
            connected: false,
            link_ups: 0,
            look_again_at: Duration::ZERO,
            queue: VecDeque::new(),
            paused_until: None,
        })
    }

    /// The socket to poll for frames from the peer.
    pub(crate) fn receiver(&self) -> &UnixDatagram {
        &self.receiver
    }

    /// The socket to poll for room at the peer; then comes [`Self::flush`]. `None`: nothing waits, or there is a pause.
    pub(crate) fn blocked_sender(&self) -> Option<&UnixDatagram> {
        (!self.queue.is_empty() && self.paused_until.is_none()).then_some(&self.sender)
    }

    /// Until when the peer is left alone with what it has; then comes [`Self::end_pause`].
    pub(crate) fn paused(&self) -> Option<Duration> {
        self.paused_until
    }

    /// Ends a pause whose time has come.
    pub(crate) fn end_pause(&mut self, now: Duration) {
        self.paused_until = self.paused_until.filter(|until| now < *until);
    }

    /// Frames that wait for the peer here, beside those that the kernel has taken for it.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How often the link came up.
    pub(crate) fn link_ups(&self) -> u64 {
        self.link_ups
    }

    /// Reads one datagram, `None` when there is none. A datagram longer than `buffer` is cut.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        // A unix datagram socket has no errors to report on reading but "nothing there" and "interrupted".
        let length = self.receiver.recv(buffer).ok()?;
        // It talks, so it is there: look for it before the next frame, not some time later.
        self.look_again_at = Duration::ZERO;
        Some(length)
    }

    /// Sends a frame, or queues it.
    pub(crate) fn send(&mut self, now: Duration, frame: &[u8]) -> Sent {
        if !self.queue.is_empty() {
            return self.enqueue(frame);
        }
        match self.transmit(now, frame) {
            Transmit::Done => Sent::Accepted,
            Transmit::Full => {
                self.paused_until = Some(now + PAUSE);
                self.enqueue(frame)
            }
            Transmit::NoPeer => Sent::LinkDown,
            Transmit::TooLong => Sent::TooLong,
        }
    }

    /// Sends what waits, as far as the peer takes it. Gives how many frames were lost with the link.
    pub(crate) fn flush(&mut self, now: Duration) -> u64 {
        self.paused_until = None;
        let mut lost = 0;
        while let Some(frame) = self.queue.pop_front() {
            match self.transmit(now, &frame) {
                Transmit::Done => {}
                Transmit::Full => {
                    self.queue.push_front(frame);
                    self.paused_until = Some(now + PAUSE);
                    break;
                }
                Transmit::NoPeer => {
                    lost += 1 + self.queue.len() as u64;
                    self.queue.clear();
                }
                Transmit::TooLong => lost += 1,
            }
        }
        lost
    }

    /// Removes both sockets from the file system; QEMU leaves its own behind.
    pub(crate) fn remove(&self) {
        for path in [&self.lan, &self.qemu] {
            // Not there is as good as removed, and a leftover is replaced when the path is next bound.
            let _ = std::fs::remove_file(path);
        }
    }

    fn enqueue(&mut self, frame: &[u8]) -> Sent {
        if self.queue.len() >= QUEUE {
            return Sent::QueueFull;
        }
        self.queue.push_back(frame.to_vec());
        Sent::Accepted
    }

    fn transmit(&mut self, now: Duration, frame: &[u8]) -> Transmit {
        // Twice: the peer we were connected to may have died and have a successor on the same path.
        for _ in 0..2 {
            if !self.connected && !self.connect(now) {
                return Transmit::NoPeer;
            }
            match self.sender.send(frame) {
                Ok(_) => return Transmit::Done,
                Err(err) if full(&err) => return Transmit::Full,
                Err(err)
                    if err.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) =>
                {
                    return Transmit::TooLong;
                }
                // ECONNREFUSED: it is dead.
                Err(_) => {
                    self.connected = false;
                    self.look_again_at = Duration::ZERO;
                }
            }
        }
        Transmit::NoPeer
    }

    fn connect(&mut self, now: Duration) -> bool {
        if now < self.look_again_at {
            return false;
        }
        self.connected = self.sender.connect(&self.qemu).is_ok();
        if self.connected {
            self.link_ups += 1;
        } else {
            self.look_again_at = now + LOOK_AGAIN;
        }
        self.connected
    }
}

enum Transmit {
    Done,
    Full,
    NoPeer,
    TooLong,
}

fn full(err: &io::Error) -> bool {
    err.kind() == ErrorKind::WouldBlock
        || err.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

/// Removes a socket which nobody listens on.
fn remove_stale(path: &Utf8Path) -> Result<(), LanError> {
    let failed = |what: &str| {
        let what = format!("{what} {path}");
        |source| LanError::Socket { what, source }
    };
    match std::fs::symlink_metadata(path) {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(failed("look at")(err)),
        Ok(meta) if !meta.file_type().is_socket() => {
            let source =
                io::Error::new(ErrorKind::AlreadyExists, "there is a file which is no socket");
            return Err(failed("bind the unix socket")(source));
        }
        Ok(_) => {}
    }
    let probe = UnixDatagram::unbound().map_err(failed("make a socket to test"))?;
    if probe.connect(path).is_ok() {
        return Err(LanError::SocketInUse { path: path.to_owned() });
    }
    std::fs::remove_file(path).map_err(failed("remove the abandoned socket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair {
        port: SocketPort,
        qemu: Utf8PathBuf,
        _dir: tempfile::TempDir,
    }

    fn port() -> Pair {
        let dir = tempfile::tempdir().expect("a directory");
        let path = Utf8PathBuf::try_from(dir.path().to_owned()).expect("UTF-8");
        let qemu = path.join("n.qemu");
        let port = SocketPort::bind(qemu.clone(), path.join("n.lan")).expect("a port");
        Pair { port, qemu, _dir: dir }
    }

    fn later(n: u64) -> Duration {
        LOOK_AGAIN * u32::try_from(n).expect("small")
    }

    #[test]
    fn peers_come_and_go() {
        let Pair { mut port, qemu, _dir } = port();
        assert_eq!(port.send(later(0), b"nobody"), Sent::LinkDown);

        let first = UnixDatagram::bind(&qemu).expect("first peer");
        assert_eq!(port.send(later(1), b"one"), Sent::Accepted);
        let mut buffer = [0; 64];
        assert_eq!(first.recv(&mut buffer).expect("a frame"), 3);

        // Power cut: the path stays, nobody listens.
        drop(first);
        assert_eq!(port.send(later(2), b"lost"), Sent::LinkDown);

        // Its successor binds the same path; the frame that finds the old one dead reaches the new one.
        std::fs::remove_file(&qemu).expect("remove");
        let second = UnixDatagram::bind(&qemu).expect("second peer");
        assert_eq!(port.send(later(4), b"two"), Sent::Accepted);
        assert_eq!(second.recv(&mut buffer).expect("a frame"), 3);
        drop(second);
        std::fs::remove_file(&qemu).expect("remove");
        let third = UnixDatagram::bind(&qemu).expect("third peer");
        assert_eq!(port.send(later(4), b"three"), Sent::Accepted);
        assert_eq!(third.recv(&mut buffer).expect("a frame"), 5);
        assert_eq!(port.link_ups(), 3);
    }

    #[test]
    fn a_successor_is_heard_before_we_notice_that_the_first_died() {
        let Pair { mut port, qemu, _dir } = port();
        let first = UnixDatagram::bind(&qemu).expect("first peer");
        assert_eq!(port.send(later(0), b"hello"), Sent::Accepted);
        drop(first);
        std::fs::remove_file(&qemu).expect("remove");
        let second = UnixDatagram::bind(&qemu).expect("second peer");
        second.send_to(b"discover", &port.lan).expect("we accept datagrams from anybody");
        assert_eq!(port.receive(&mut [0; 64]), Some(8));
    }

    #[test]
    fn a_peer_that_does_not_read_fills_a_bounded_queue_and_then_gets_everything_in_order() {
        let Pair { mut port, qemu, _dir } = port();
        let peer = UnixDatagram::bind(&qemu).expect("a peer");
        peer.set_nonblocking(true).expect("non-blocking");
        let mut accepted = 0u32;
        while port.send(later(0), &accepted.to_be_bytes()) == Sent::Accepted {
            accepted += 1;
        }
        assert!(accepted as usize > QUEUE, "the kernel's own queue comes on top");
        assert_eq!(port.send(later(0), b"late"), Sent::QueueFull);
        assert!(
            port.blocked_sender().is_none() && port.paused().is_some(),
            "first a pause, then POLLOUT"
        );

        let mut read = 0u32;
        let mut buffer = [0; 64];
        while read < accepted {
            match peer.recv(&mut buffer) {
                Ok(length) => {
                    assert_eq!(buffer[..length], read.to_be_bytes());
                    read += 1;
                }
                Err(_) => {
                    let waiting = port.queue.len();
                    assert_eq!(port.flush(later(1)), 0);
                    assert!(port.queue.len() < waiting, "frame {read} of {accepted} is missing");
                }
            }
        }
        assert!(port.queue.is_empty());
    }

    #[test]
    fn frames_waiting_for_a_peer_that_dies_are_counted() {
        let Pair { mut port, qemu, _dir } = port();
        let peer = UnixDatagram::bind(&qemu).expect("a peer");
        while port.queue.len() < 5 {
            assert_eq!(port.send(later(0), b"x"), Sent::Accepted);
        }
        drop(peer);
        assert_eq!(port.flush(later(1)), 5);
    }

    #[test]
    fn stale_sockets_are_replaced_and_living_ones_respected() {
        let Pair { port, qemu, _dir } = port();
        let lan = port.lan.clone();
        let error = SocketPort::bind(qemu.clone(), lan.clone()).expect_err("in use");
        assert!(matches!(error, LanError::SocketInUse { .. }), "{error}");
        drop(port); // as a killed process does: the file stays
        let vm = UnixDatagram::bind(&qemu).expect("a peer that runs already");
        let error = SocketPort::bind(qemu.clone(), lan.clone()).expect_err("in use");
        assert!(matches!(error, LanError::SocketInUse { .. }), "{error}");
        drop(vm);
        let port = SocketPort::bind(qemu.clone(), lan.clone()).expect("bound again");
        assert!(!qemu.exists());
        port.remove();
        assert!(!lan.exists());
        std::fs::write(&lan, "precious").expect("a file");
        SocketPort::bind(qemu, lan.clone()).expect_err("what is no socket is not removed");
        assert!(lan.exists());
    }

    #[test]
    fn long_paths_are_refused_with_a_remedy() {
        let long = Utf8PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
        let error = SocketPort::bind(long.clone(), long).expect_err("too long").to_string();
        assert!(error.contains("125 bytes") && error.contains("shorter directory"), "{error}");
    }

    #[test]
    fn jumbo_datagrams_pass_and_monsters_do_not_end_the_link() {
        let Pair { mut port, qemu, _dir } = port();
        let peer = UnixDatagram::bind(&qemu).expect("a peer");
        assert_eq!(port.send(later(0), &vec![7; 65_000]), Sent::Accepted);
        assert_eq!(peer.recv(&mut vec![0; 70_000]).expect("a frame"), 65_000);
        assert_eq!(port.send(later(0), &vec![7; 64 << 20]), Sent::TooLong);
        assert_eq!(port.send(later(0), b"still there"), Sent::Accepted);
    }
}
