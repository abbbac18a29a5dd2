//! TCP forwards: what connects to a port on the host's loopback is connected to a port of a guest.
//!
//! Bytes are copied between a host socket and a smoltcp socket in both directions. Each direction ends by itself (half-close)
//! and stops reading when its other side has no room (backpressure). A reset on one side becomes a reset on the other.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::sockopt::set_socket_linger;
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State};

/// Connections at once; more wait in the listeners' backlogs.
const CONNECTIONS: usize = 256;
const BUFFER: usize = 256 * 1024;
/// How long a guest may take to accept a connection. Its first packets may well be lost: TCP tries again after 1, 2, 4, 8 s.
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// How often a silent guest is asked whether it still knows the connection: one that was restarted answers with a reset. It
/// also gets an end across of which smoltcp has lost sight, as in `http_server::close`.
const KEEP_ALIVE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(15);
/// How long a guest may take to acknowledge the end of a connection.
const CLOSE_TIME: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(300);
/// RFC 6335: ports for the asking end of a connection.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 49152..=65535;

/// What a polled descriptor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Listener(usize),
    Connection(usize),
}

/// All forwards and their connections.
#[derive(Debug)]
pub(crate) struct Forwards {
    listeners: Vec<Listener>,
    connections: Vec<Connection>,
    next_port: u16,
}

#[derive(Debug)]
struct Listener {
    host: TcpListener,
    guest: SocketAddrV4,
    pending: bool,
}

#[derive(Debug)]
struct Connection {
    /// `None`: both directions are over, or the host's side was reset.
    host: Option<TcpStream>,
    socket: SocketHandle,
    guest: SocketAddrV4,
    port: u16,
    /// The connection is given up if the guest has not accepted it by then. `None`: it has.
    connect_by: Option<Duration>,
    /// As far as known; becomes false when the kernel says so.
    readable: bool,
    writable: bool,
    /// The host has sent all it will send.
    host_done: bool,
    /// The guest has sent all it will send, and the host knows.
    guest_done: bool,
}

impl Forwards {
    /// `seed` varies the first port, so that a new LAN does not repeat the connections that guests remember of an old one.
    pub(crate) fn new(seed: u64) -> Forwards {
        let span = u64::from(EPHEMERAL.end() - EPHEMERAL.start());
        let next_port = EPHEMERAL.start() + (seed % span) as u16;
        Forwards { listeners: Vec::new(), connections: Vec::new(), next_port }
    }

    /// The port from which the next connection comes.
    pub(crate) fn next_port(&self) -> u16 {
        self.next_port
    }

    /// Goes on from a port that [`Forwards::next_port`] gave in an earlier life.
    pub(crate) fn set_next_port(&mut self, port: u16) {
        if EPHEMERAL.contains(&port) {
            self.next_port = port;
        }
    }

    /// Opens a port on the host's loopback for a guest's port, or finds the one that is open already.
    pub(crate) fn open(&mut self, guest: SocketAddrV4) -> io::Result<SocketAddr> {
        if let Some(listener) = self.listeners.iter().find(|listener| listener.guest == guest) {
            return listener.host.local_addr();
        }
        let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        host.set_nonblocking(true)?;
        let address = host.local_addr()?;
        self.listeners.push(Listener { host, guest, pending: false });
        Ok(address)
    }

    /// Resets all connections to a guest on both sides.
    pub(crate) fn hang_up(&mut self, guest: Ipv4Addr, sockets: &mut SocketSet<'static>) {
        for connection in &mut self.connections {
            if *connection.guest.ip() == guest {
                connection.fail(sockets.get_mut::<Socket>(connection.socket));
            }
        }
    }

    /// Adds what is to be polled: descriptor, events, and the source to pass to [`Forwards::ready`].
    pub(crate) fn poll_set<'a>(
        &'a self,
        sockets: &SocketSet<'_>,
        mut add: impl FnMut(BorrowedFd<'a>, PollFlags, Source),
    ) {
        if self.connections.len() < CONNECTIONS {
            for (index, listener) in self.listeners.iter().enumerate() {
                add(listener.host.as_fd(), PollFlags::IN, Source::Listener(index));
            }
        }
        for (index, connection) in self.connections.iter().enumerate() {
            let Some(host) = &connection.host else { continue };
            let socket = sockets.get::<Socket>(connection.socket);
            let mut events = PollFlags::empty();
            events.set(
                PollFlags::IN,
                !connection.readable && !connection.host_done && socket.can_send(),
            );
            events.set(PollFlags::OUT, !connection.writable && socket.can_recv());
            // With no event asked for, a hang-up is still reported; while connecting that is what there is to wait for.
            if !events.is_empty() || connection.connect_by.is_some() {
                add(host.as_fd(), events, Source::Connection(index));
            }
        }
    }

    /// Takes note of what polling found. Indices are those of the last [`Forwards::poll_set`].
    pub(crate) fn ready(&mut self, source: Source, events: PollFlags) {
        let failed = events.intersects(PollFlags::ERR | PollFlags::HUP);
        match source {
            Source::Listener(index) => self.listeners[index].pending = true,
            Source::Connection(index) => {
                let connection = &mut self.connections[index];
                connection.readable |= failed || events.contains(PollFlags::IN);
                connection.writable |= failed || events.contains(PollFlags::OUT);
                if failed && connection.connect_by.is_some() {
                    // The host hung up before the guest had answered.
                    connection.connect_by = Some(Duration::ZERO);
                }
            }
        }
    }

    /// When [`Forwards::serve`] is to be called at the latest.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.connections.iter().filter_map(|connection| connection.connect_by).min()
    }

    /// Accepts connections and moves bytes. True: something changed, so there may be frames to send.
    pub(crate) fn serve(
        &mut self,
        now: Duration,
        interface: &mut Interface,
        sockets: &mut SocketSet<'static>,
    ) -> bool {
        let mut changed = self.accept(now, interface, sockets);
        self.connections.retain_mut(|connection| {
            let socket = sockets.get_mut::<Socket>(connection.socket);
            let was_closed = connection.host.is_none() && socket.state() == State::Closed;
            changed |= connection.serve(now, socket);
            // One more look after closing: by then the stack has sent a reset, or cannot, as the guest is not to be found.
            if was_closed {
                sockets.remove(connection.socket);
            }
            !was_closed
        });
        changed
    }

    fn accept(
        &mut self,
        now: Duration,
        interface: &mut Interface,
        sockets: &mut SocketSet<'static>,
    ) -> bool {
        let mut changed = false;
        for index in 0..self.listeners.len() {
            while self.listeners[index].pending && self.connections.len() < CONNECTIONS {
                let guest = self.listeners[index].guest;
                let Ok((host, _)) = self.listeners[index].host.accept() else {
                    // Nothing left to accept, or no descriptors for it: the listener will be polled again.
                    self.listeners[index].pending = false;
                    break;
                };
                let port = self.free_port(guest);
                if let Some(connection) =
                    Connection::open(now, host, guest, port, interface, sockets)
                {
                    self.connections.push(connection);
                    changed = true;
                }
            }
        }
        changed
    }

    fn free_port(&mut self, guest: SocketAddrV4) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            // Far fewer connections than ports: this ends.
            if !self
                .connections
                .iter()
                .any(|connection| connection.port == port && connection.guest == guest)
            {
                return port;
            }
        }
    }
}

impl Connection {
    fn open(
        now: Duration,
        host: TcpStream,
        guest: SocketAddrV4,
        port: u16,
        interface: &mut Interface,
        sockets: &mut SocketSet<'static>,
    ) -> Option<Connection> {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_nagle_enabled(false);
        let remote = (*guest.ip(), guest.port());
        if host.set_nonblocking(true).is_err()
            || socket.connect(interface.context(), remote, port).is_err()
        {
            reset(host);
            return None;
        }
        // Costs latency at worst.
        let _ = host.set_nodelay(true);
        Some(Connection {
            host: Some(host),
            socket: sockets.add(socket),
            guest,
            port,
            connect_by: Some(now + CONNECT_TIME),
            readable: true,
            writable: true,
            host_done: false,
            guest_done: false,
        })
    }

    /// True: something changed.
    fn serve(&mut self, now: Duration, socket: &mut Socket<'_>) -> bool {
        if self.host.is_none() {
            return false;
        }
        if let Some(limit) = self.connect_by {
            if matches!(socket.state(), State::SynSent | State::SynReceived) {
                if now < limit {
                    return false;
                }
                return self.fail(socket);
            }
            self.connect_by = None;
        }
        match self.host_to_guest(socket).and_then(|sent| Ok(sent | self.guest_to_host(socket)?)) {
            Ok(moved) => {
                if self.host_done && self.guest_done {
                    self.host = None;
                }
                moved
            }
            Err(_) => self.fail(socket),
        }
    }

    fn host_to_guest(&mut self, socket: &mut Socket<'_>) -> io::Result<bool> {
        let Some(host) = &mut self.host else { return Ok(false) };
        let mut moved = false;
        while self.readable && !self.host_done && socket.can_send() {
            let read = socket.send(|buffer| match host.read(buffer) {
                Ok(read) => (read, Ok(read)),
                Err(err) => (0, Err(err)),
            });
            match read.map_err(io::Error::other)? {
                Ok(0) => {
                    self.host_done = true;
                    socket.set_timeout(Some(CLOSE_TIME));
                    socket.close();
                    moved = true;
                }
                Ok(_) => moved = true,
                Err(err) if err.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(moved)
    }

    fn guest_to_host(&mut self, socket: &mut Socket<'_>) -> io::Result<bool> {
        let Some(host) = &mut self.host else { return Ok(false) };
        let mut moved = false;
        while self.writable && socket.can_recv() {
            let written = socket.recv(|bytes| match host.write(bytes) {
                Ok(written) => (written, Ok(written)),
                Err(err) => (0, Err(err)),
            });
            match written.map_err(io::Error::other)? {
                Ok(_) => moved = true,
                Err(err) if err.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        if !self.guest_done && !socket.may_recv() {
            match socket.recv(|_| (0, ())) {
                Err(RecvError::Finished) => {
                    host.shutdown(Shutdown::Write)?;
                    self.guest_done = true;
                    moved = true;
                }
                _ => return Err(ErrorKind::ConnectionReset.into()),
            }
        }
        Ok(moved)
    }

    /// Resets both sides.
    fn fail(&mut self, socket: &mut Socket<'_>) -> bool {
        self.connect_by = None;
        socket.abort();
        if let Some(host) = self.host.take() {
            reset(host);
        }
        true
    }
}

/// Closes a connection so that the other end sees an error, not an orderly end.
fn reset(host: TcpStream) {
    // If it fails, the other end sees an orderly end instead; there is nothing better to do.
    let _ = set_socket_linger(&host, Some(Duration::ZERO));
}
