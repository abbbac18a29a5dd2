//! ONC RPC (RFC 5531) over UDP and TCP, as far as one frame shows: which folder a client wants to mount, which port it asks
//! for, and what the server says.

use feeder_wire::frame::long;

const PORTMAP: u32 = 100_000;
const NFS: u32 = 100_003;
const MOUNT: u32 = 100_005;
/// The procedure of a portmapper that tells a port (RFC 1833, section 3.1).
const GETPORT: u32 = 3;
/// The procedure of a mount server that gives a folder's handle (RFC 1813, appendix I).
const MNT: u32 = 1;
/// In front of a message in a stream: whether it is the last part, and its length (RFC 5531, section 11).
const LAST: u32 = 1 << 31;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// To mount a folder.
    Mount { path: String },
    /// For the port of a program.
    Port { program: &'static str },
}

/// Either half of a conversation; `xid` joins them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Call(u32, Call),
    /// What follows the identifier.
    Reply(u32, &'a [u8]),
}

/// The message in a segment that holds one and nothing else.
pub(super) fn in_stream(data: &[u8]) -> Option<&[u8]> {
    let message = data.get(4..)?;
    let length = u32::try_from(message.len()).ok()?;
    (long(data, 0)? == LAST | length).then_some(message)
}

/// Whether a message may be one that [`parse`] is needed for. Replies are told from each other by those who know the calls.
pub(super) fn matters(message: &[u8]) -> bool {
    match long(message, 4) {
        Some(0) => {
            long(message, 8) == Some(2) && matches!(long(message, 12), Some(PORTMAP | MOUNT))
        }
        Some(1) => matches!(long(message, 8), Some(0 | 1)),
        _ => false,
    }
}

pub(super) fn parse(message: &[u8]) -> Option<Message<'_>> {
    let xid = long(message, 0)?;
    if long(message, 4)? == 1 {
        return Some(Message::Reply(xid, message.get(8..)?));
    }
    if long(message, 4)? != 0 || long(message, 8)? != 2 {
        return None;
    }
    let (program, procedure) = (long(message, 12)?, long(message, 20)?);
    let credentials = opaque(message, 28)?;
    let verifier = opaque(message, credentials.after + 4)?;
    let arguments = message.get(verifier.after..)?;
    let call = match (program, procedure) {
        (MOUNT, MNT) => {
            Call::Mount { path: String::from_utf8_lossy(opaque(arguments, 0)?.value).into_owned() }
        }
        (PORTMAP, GETPORT) => Call::Port {
            program: match long(arguments, 0)? {
                MOUNT => "mountd",
                NFS => "nfs",
                _ => return None,
            },
        },
        _ => return None,
    };
    Some(Message::Call(xid, call))
}

/// The number with which a procedure's results begin, or why there are none.
pub(super) fn result(reply: &[u8]) -> Option<Result<u32, &'static str>> {
    if long(reply, 0)? != 0 {
        return Some(Err("the call was denied"));
    }
    let verifier = opaque(reply, 8)?;
    Some(match long(reply, verifier.after)? {
        0 => Ok(long(reply, verifier.after + 4)?),
        1 => Err("no such program"),
        2 => Err("no such version of the program"),
        _ => Err("the call was not understood"),
    })
}

/// What a mount server's status means (RFC 1813, appendix I, `mountstat3`).
pub(super) fn status(number: u32) -> String {
    match number {
        0 => "ok".into(),
        1 => "not the owner".into(),
        2 => "no such folder".into(),
        5 => "input/output error".into(),
        13 => "permission denied".into(),
        20 => "not a folder".into(),
        22 => "invalid argument".into(),
        63 => "name too long".into(),
        10004 => "not supported".into(),
        10006 => "server fault".into(),
        other => format!("mount status {other}"),
    }
}

struct Opaque<'a> {
    value: &'a [u8],
    /// Where the next item begins.
    after: usize,
}

/// A length and so many bytes, padded to a multiple of four (RFC 4506, section 4.10).
fn opaque(bytes: &[u8], at: usize) -> Option<Opaque<'_>> {
    let length = usize::try_from(long(bytes, at)?).ok()?;
    let begin = at.checked_add(4)?;
    let end = begin.checked_add(length)?;
    let value = bytes.get(begin..end)?;
    Some(Opaque { value, after: end.next_multiple_of(4) })
}
