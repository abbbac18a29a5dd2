//! TFTP (RFC 1350, RFC 2347 to 2349), as far as it is told: beginnings, ends and errors.

use feeder_wire::frame::word;

/// A packet that matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Request { file: String },
    Data { block: u16, length: usize },
    Error { code: u16, message: String },
    Options { block_size: Option<u64>, size: Option<u64> },
}

/// Sizes of whole blocks that clients ask for. A block of such a size is taken for one in the middle of a file.
const WHOLE: &[usize] = &[512, 1024, 1400, 1408, 1428, 1432, 1448, 1456, 1468];

pub(super) fn parse(payload: &[u8]) -> Option<Packet> {
    let rest = payload.get(2..)?;
    Some(match word(payload, 0)? {
        1 => Packet::Request { file: strings(rest).next()? },
        3 => Packet::Data { block: word(rest, 0)?, length: rest.len().saturating_sub(2) },
        5 => Packet::Error {
            code: word(rest, 0)?,
            message: strings(rest.get(2..)?).next().unwrap_or_default(),
        },
        6 => {
            let words: Vec<String> = strings(rest).collect();
            let option = |name: &str| {
                let pair = words.chunks_exact(2).find(|pair| pair[0].eq_ignore_ascii_case(name))?;
                pair[1].parse().ok()
            };
            Packet::Options { block_size: option("blksize"), size: option("tsize") }
        }
        _ => return None,
    })
}

/// Whether a datagram may be one that [`parse`] is needed for. Acknowledgements and blocks in the middle of a file are not;
/// they are nearly all there is on a LAN whose nodes boot. Of a file that ends with a block of a [`WHOLE`] size, while its
/// blocks have another one, the end is not seen.
pub(super) fn matters(payload: &[u8]) -> bool {
    match payload {
        [0, 1 | 5 | 6, ..] => true,
        [0, 3, _, _, data @ ..] => !WHOLE.contains(&data.len()),
        _ => false,
    }
}

/// The strings of a packet, each with its closing zero.
fn strings(bytes: &[u8]) -> impl Iterator<Item = String> {
    bytes
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|string| string.strip_suffix(&[0]))
        .map(|string| String::from_utf8_lossy(string).into_owned())
}
