//! What the router's web server understands: GET and HEAD for the files of a directory, HTTP/1.1 with persistent connections
//! and pipelining, as apt uses them (RFC 9112). No sockets here; the files are the caller's.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

/// A request must fit into this many bytes.
pub(crate) const MAX_REQUEST: usize = 16 * 1024;

/// Whether the client wants the file itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
}

/// A request that can be answered with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Below the root of the server, without "..".
    pub(crate) path: Utf8PathBuf,
    pub(crate) keep_alive: bool,
}

/// What the first bytes of a connection hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// No whole request yet.
    Incomplete,
    /// A request, and how many bytes it took.
    Request(Request, usize),
    /// Not a request that could be answered with a file; after this answer the connection ends.
    Refused(Status),
}

/// How a response begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    TooLarge,
    NotImplemented,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::TooLarge => "431 Request Header Fields Too Large",
            Status::NotImplemented => "501 Not Implemented",
        }
    }
}

/// Reads the first request in `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    // RFC 9112, section 2.2: empty lines before a request are passed over.
    let skipped = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let Some(end) = bytes[skipped..].windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() >= MAX_REQUEST {
            Parsed::Refused(Status::TooLarge)
        } else {
            Parsed::Incomplete
        };
    };
    let consumed = skipped + end + 4;
    if consumed > MAX_REQUEST {
        return Parsed::Refused(Status::TooLarge);
    }
    let Ok(head) = std::str::from_utf8(&bytes[skipped..skipped + end]) else {
        return Parsed::Refused(Status::BadRequest);
    };
    match parse_head(head) {
        Ok(request) => Parsed::Request(request, consumed),
        Err(status) => Parsed::Refused(status),
    }
}

fn parse_head(head: &str) -> Result<Request, Status> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Status::BadRequest);
    };
    let mut keep_alive = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(Status::BadRequest),
    };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Status::BadRequest)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("connection") {
            let has =
                |what: &str| value.split(',').any(|word| word.trim().eq_ignore_ascii_case(what));
            keep_alive = (keep_alive || has("keep-alive")) && !has("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding")
            || (name.eq_ignore_ascii_case("content-length") && value != "0")
        {
            // Requests for files have no body, and what follows one could not be told from the next request.
            return Err(Status::NotImplemented);
        }
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => return Err(Status::MethodNotAllowed),
    };
    let path = path_of(target).ok_or(Status::BadRequest)?;
    Ok(Request { method, path, keep_alive })
}

/// The file that a request target means, relative to the root. `None`: no path, or one that leads out of the root.
fn path_of(target: &str) -> Option<Utf8PathBuf> {
    // Clients behind a proxy setting send the whole address.
    let target = match target.strip_prefix("http://") {
        Some(rest) => &rest[rest.find('/')?..],
        None => target,
    };
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = Utf8PathBuf::from(percent_decode(path)?);
    let inside = path
        .components()
        .all(|part| matches!(part, Utf8Component::Normal(_) | Utf8Component::CurDir));
    (inside && !path.as_str().contains('\0')).then_some(path)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        out.push((digit(bytes.next())? << 4 | digit(bytes.next())?) as u8);
    }
    String::from_utf8(out).ok()
}

/// The head of a response with a body of `length` bytes.
pub(crate) fn response_head(
    status: Status,
    length: u64,
    path: &Utf8Path,
    keep_alive: bool,
) -> Vec<u8> {
    let kind = match path.extension() {
        _ if status != Status::Ok => "text/plain",
        Some("deb") => "application/vnd.debian.binary-package",
        Some("gz") => "application/gzip",
        Some("xz") => "application/x-xz",
        _ => "application/octet-stream",
    };
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let allow = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {}\r\nServer: feeder-lan\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Connection: {connection}\r\n\r\n",
        status.line()
    )
    .into_bytes()
}

/// What a refused client gets to read.
pub(crate) fn refusal(status: Status) -> Vec<u8> {
    format!("{}\n", status.line()).into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str, keep_alive: bool) -> Request {
        Request { method: Method::Get, path: path.into(), keep_alive }
    }

    #[test]
    fn two_pipelined_requests_as_apt_sends_them() {
        let first = "GET /debian/dists/trixie/InRelease HTTP/1.1\r\nHost: mirror\r\nUser-Agent: Debian APT-HTTP/1.3 (3.0.3)\r\n\r\n";
        let second = "GET /debian/pool/main/g/g%2b%2b/g%2b%2b_12%7edeb13_arm64.deb HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n";
        let both = format!("{first}{second}");
        assert_eq!(
            parse(both.as_bytes()),
            Parsed::Request(get("debian/dists/trixie/InRelease", true), first.len())
        );
        assert_eq!(
            parse(&both.as_bytes()[first.len()..]),
            Parsed::Request(
                get("debian/pool/main/g/g++/g++_12~deb13_arm64.deb", false),
                second.len()
            )
        );
    }

    #[test]
    fn targets() {
        for (target, path) in [
            ("/a/b", Some("a/b")),
            ("/", Some("")),
            ("/a?query", Some("a")),
            ("http://mirror:80/a", Some("a")),
            ("/a/./b//c", Some("a/./b//c")),
            ("/../etc/passwd", None),
            ("/a/../../etc/passwd", None),
            ("/%2e%2e/etc/passwd", None),
            ("/a%2f..%2f..%2fetc", None),
            ("//etc/passwd", None),
            ("/%2fetc/passwd", None),
            ("/a%00b", None),
            ("/a%4", None),
            ("/a%zz", None),
            ("/%ff", None),
            ("*", None),
            ("http://mirror", None),
        ] {
            assert_eq!(path_of(target).as_deref(), path.map(Utf8Path::new), "{target}");
        }
    }

    #[test]
    fn what_is_not_served_is_refused() {
        for (request, status) in [
            ("PUT / HTTP/1.1\r\n\r\n", Status::MethodNotAllowed),
            ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", Status::NotImplemented),
            ("GET / HTTP/2.0\r\n\r\n", Status::BadRequest),
            ("GET /\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", Status::BadRequest),
            ("GET /../x HTTP/1.1\r\n\r\n", Status::BadRequest),
        ] {
            assert_eq!(parse(request.as_bytes()), Parsed::Refused(status), "{request:?}");
        }
        let endless = vec![b'x'; MAX_REQUEST];
        assert_eq!(parse(&endless), Parsed::Refused(Status::TooLarge));
        assert_eq!(parse(&endless[1..]), Parsed::Incomplete);
    }

    #[test]
    fn connections_persist_as_the_version_says() {
        for (version, connection, keep_alive) in [
            ("1.1", "", true),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.1", "connection: close\r\n", false),
        ] {
            let request = format!("HEAD /f HTTP/{version}\r\n{connection}\r\n");
            let Parsed::Request(request, _) = parse(request.as_bytes()) else {
                panic!("{request:?}")
            };
            assert_eq!((request.method, request.keep_alive), (Method::Head, keep_alive));
        }
    }

    proptest! {
        /// No request, whatever its bytes, names a file outside the root.
        #[test]
        fn no_way_out(target in "/?[./%a25eE0fF\\\\]{0,30}") {
            if let Some(path) = path_of(&target) {
                prop_assert!(path.is_relative());
                prop_assert!(!path.components().any(|part| part == Utf8Component::ParentDir));
            }
        }

        #[test]
        fn garbage_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
        }
    }
}
