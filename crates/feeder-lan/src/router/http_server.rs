//! The router's web server: HTTP connections on smoltcp sockets, bodies straight from files.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};

use super::http::{self, MAX_REQUEST, Method, Parsed, Request, Status};

/// The server's port.
pub(crate) const PORT: u16 = 80;

/// Sockets that wait for a connection at any time: smoltcp has no backlog, a SYN without a waiting socket is refused.
const WAITING: usize = 16;
/// Connections at once. One more, and the one that was silent longest goes: clients that lost their power say no goodbye.
const CONNECTIONS: usize = 64;
const RECEIVE_BUFFER: usize = 16 * 1024;
const SEND_BUFFER: usize = 256 * 1024;
/// After closing: how often a silent client is asked for a sign of life. See [`close`].
const KEEP_ALIVE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(1);
/// How long a client may stay silent after the connection was closed on this side.
const CLOSE_TIME: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(300);

/// The server and its connections.
#[derive(Debug)]
pub(crate) struct HttpServer {
    root: Utf8PathBuf,
    waiting: Vec<SocketHandle>,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    socket: SocketHandle,
    /// Bytes of requests that are not answered yet.
    requests: Vec<u8>,
    /// The head of the response, or a small body, not sent yet.
    text: Vec<u8>,
    body: Option<Body>,
    /// The connection ends after what is being sent.
    last: bool,
    closed: bool,
    active: Duration,
}

#[derive(Debug)]
struct Body {
    file: File,
    left: u64,
}

impl HttpServer {
    pub(crate) fn new(root: Utf8PathBuf) -> HttpServer {
        HttpServer { root, waiting: Vec::new(), connections: Vec::new() }
    }

    /// Moves bytes between files and sockets. True: something changed, so there may be frames to send.
    pub(crate) fn serve(&mut self, now: Duration, sockets: &mut SocketSet<'static>) -> bool {
        let mut changed = self.accept(now, sockets);
        self.connections.retain_mut(|connection| {
            let socket = sockets.get_mut::<Socket>(connection.socket);
            let moved = connection.serve(&self.root, socket);
            if moved {
                connection.active = now;
                changed = true;
            }
            if socket.state() != State::Closed {
                return true;
            }
            // One more look after closing: by then the stack has sent a reset, or cannot, as the client is not to be found.
            if connection.closed {
                sockets.remove(connection.socket);
                return false;
            }
            connection.closed = true;
            changed = true;
            true
        });
        changed
    }

    fn accept(&mut self, now: Duration, sockets: &mut SocketSet<'static>) -> bool {
        let mut changed = false;
        let connections = &mut self.connections;
        self.waiting.retain(|handle| {
            let waits = sockets.get::<Socket>(*handle).is_listening();
            if !waits {
                connections.push(Connection {
                    socket: *handle,
                    requests: Vec::new(),
                    text: Vec::new(),
                    body: None,
                    last: false,
                    closed: false,
                    active: now,
                });
                changed = true;
            }
            waits
        });
        while self.connections.len() > CONNECTIONS {
            let oldest =
                self.connections.iter().enumerate().min_by_key(|(_, connection)| connection.active);
            let Some((oldest, _)) = oldest else { break };
            let connection = self.connections.swap_remove(oldest);
            sockets.remove(connection.socket);
        }
        while self.waiting.len() < WAITING {
            let buffer = |size| SocketBuffer::new(vec![0; size]);
            let mut socket = Socket::new(buffer(RECEIVE_BUFFER), buffer(SEND_BUFFER));
            // Responses are written whole; waiting for acknowledgements of their last bytes only costs time.
            socket.set_nagle_enabled(false);
            if socket.listen(PORT).is_err() {
                break; // a fresh socket always listens
            }
            self.waiting.push(sockets.add(socket));
        }
        changed
    }
}

impl Connection {
    /// True: bytes moved.
    fn serve(&mut self, root: &Utf8Path, socket: &mut Socket<'_>) -> bool {
        let mut moved = self.read_requests(socket);
        loop {
            if !self.send(socket, &mut moved) {
                return moved;
            }
            if self.last {
                close(socket);
                return moved;
            }
            match http::parse(&self.requests) {
                Parsed::Request(request, consumed) => {
                    self.requests.drain(..consumed);
                    self.respond(root, &request);
                }
                Parsed::Refused(status) => {
                    self.refuse(status, Utf8Path::new(""), false, Method::Get);
                    self.requests.clear();
                }
                Parsed::Incomplete => {
                    // The client has sent all it wanted to, and has its answers.
                    if !socket.may_recv() && socket.may_send() {
                        close(socket);
                        return true;
                    }
                    return moved;
                }
            }
        }
    }

    fn read_requests(&mut self, socket: &mut Socket<'_>) -> bool {
        let room = MAX_REQUEST - self.requests.len().min(MAX_REQUEST);
        if room == 0 || !socket.can_recv() {
            return false;
        }
        let read = socket.recv(|bytes| {
            let taken = bytes.len().min(room);
            self.requests.extend_from_slice(&bytes[..taken]);
            (taken, taken)
        });
        read.is_ok_and(|taken| taken > 0)
    }

    /// True: everything is sent.
    fn send(&mut self, socket: &mut Socket<'_>, moved: &mut bool) -> bool {
        while !self.text.is_empty() || self.body.is_some() {
            if !socket.can_send() {
                return false;
            }
            if !self.text.is_empty() {
                let Ok(sent) = socket.send_slice(&self.text) else { return false };
                self.text.drain(..sent);
            } else if let Some(body) = &mut self.body {
                let read = socket.send(|buffer| {
                    let wanted = buffer.len().min(usize::try_from(body.left).unwrap_or(usize::MAX));
                    match body.file.read(&mut buffer[..wanted]) {
                        Ok(read) => (read, Some(read)),
                        Err(_) => (0, None),
                    }
                });
                match read {
                    Ok(Some(read)) if read > 0 => body.left -= read as u64,
                    // The file became shorter or cannot be read. Only a reset tells the client that this is not all.
                    _ => {
                        socket.abort();
                        self.body = None;
                    }
                }
                if self.body.as_ref().is_some_and(|body| body.left == 0) {
                    self.body = None;
                }
            }
            *moved = true;
        }
        true
    }

    fn respond(&mut self, root: &Utf8Path, request: &Request) {
        // Links inside the root are followed: a repository may well consist of links into a store.
        let opened =
            File::open(root.join(&request.path)).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((meta, file)) if meta.is_file() => {
                self.text =
                    http::response_head(Status::Ok, meta.len(), &request.path, request.keep_alive);
                self.body = (request.method == Method::Get && meta.len() > 0)
                    .then(|| Body { file, left: meta.len() });
                self.last = !request.keep_alive;
            }
            _ => self.refuse(Status::NotFound, &request.path, request.keep_alive, request.method),
        }
    }

    fn refuse(&mut self, status: Status, path: &Utf8Path, keep_alive: bool, method: Method) {
        let body = http::refusal(status);
        self.text = http::response_head(status, body.len() as u64, path, keep_alive);
        if method == Method::Get {
            self.text.extend_from_slice(&body);
        }
        self.last = !keep_alive;
    }
}

/// Ends a connection when all has been sent.
///
/// Without the keep-alive, the end may never be told: when only the FIN is missing, the third duplicate acknowledgement (a
/// link that duplicates or reorders frames makes many) has smoltcp 0.14 drop its retransmission timer for a fast
/// retransmission, which finds no data to send. A due keep-alive then carries the FIN, and starts the timer again.
fn close(socket: &mut Socket<'_>) {
    socket.set_keep_alive(Some(KEEP_ALIVE));
    socket.set_timeout(Some(CLOSE_TIME));
    socket.close();
}
