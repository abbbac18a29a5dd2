//! The router's name server: A records for what it was told and for its DHCP clients, "no such name" for the rest.
//! RFC 1035, and RFC 4343 for letter case. No I/O.

use std::net::Ipv4Addr;

/// The name server's port.
pub(crate) const PORT: u16 = 53;

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;
/// How long answers may be kept, in seconds: short, because clients come and go.
const TTL: u32 = 60;

const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_AUTHORITATIVE: u16 = 0x0400;
const FLAG_RECURSION_AVAILABLE: u16 = 0x0080;
/// What is taken over from the query: kind of query, "recursion desired".
const MASK_FROM_QUERY: u16 = 0x7900;
const MASK_OPCODE: u16 = 0x7800;

const FORMAT_ERROR: u16 = 1;
const NO_SUCH_NAME: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;

/// Answers a query. `lookup` gets a name in lower case, without the final dot. `None`: not a query, no answer.
pub(crate) fn answer(query: &[u8], lookup: impl Fn(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let flags = word(query, 2)?;
    if query.len() < HEADER || flags & FLAG_RESPONSE != 0 {
        return None;
    }
    let respond = |code: u16, question: &[u8], address: Option<Ipv4Addr>| {
        let flags = FLAG_RESPONSE
            | FLAG_AUTHORITATIVE
            | FLAG_RECURSION_AVAILABLE
            | (flags & MASK_FROM_QUERY)
            | code;
        let mut out = query[..2].to_vec(); // the client's number for this query
        for count in [flags, u16::from(!question.is_empty()), u16::from(address.is_some()), 0, 0] {
            out.extend_from_slice(&count.to_be_bytes());
        }
        out.extend_from_slice(question);
        if let Some(address) = address {
            out.extend_from_slice(&[0xc0, HEADER as u8]); // the name: see the question
            for field in [TYPE_A, CLASS_IN] {
                out.extend_from_slice(&field.to_be_bytes());
            }
            out.extend_from_slice(&TTL.to_be_bytes());
            out.extend_from_slice(&4u16.to_be_bytes());
            out.extend_from_slice(&address.octets());
        }
        out
    };
    if flags & MASK_OPCODE != 0 {
        return Some(respond(NOT_IMPLEMENTED, &[], None));
    }
    let (Some(1), Some((name, end))) = (word(query, 4), name(query)) else {
        return Some(respond(FORMAT_ERROR, &[], None));
    };
    let (Some(kind), Some(question)) = (word(query, end), query.get(HEADER..end + 4)) else {
        return Some(respond(FORMAT_ERROR, &[], None));
    };
    let found = lookup(&name).filter(|_| word(query, end + 2) == Some(CLASS_IN));
    Some(match found {
        Some(address) if kind == TYPE_A || kind == TYPE_ANY => respond(0, question, Some(address)),
        // The name exists and has no record of that kind. "No such name" would make resolvers give up on the A record too.
        Some(_) => respond(0, question, None),
        None => respond(NO_SUCH_NAME, question, None),
    })
}

/// The name that is asked for and where it ends. Queries have no use for compressed names.
fn name(query: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => return (name.len() <= 253).then_some((name, at)),
            1..=63 => {
                let label = query.get(at..at + length)?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
                at += length;
            }
            _ => return None,
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIRROR: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);

    fn lookup(name: &str) -> Option<Ipv4Addr> {
        (name == "deb.example.org").then_some(MIRROR)
    }

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut out = vec![0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            out.push(label.len() as u8);
            out.extend_from_slice(label.as_bytes());
        }
        out.push(0);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
        out
    }

    /// Response code, number of answers, last four bytes.
    fn ask(query: &[u8]) -> (u16, u16, [u8; 4]) {
        let response = answer(query, lookup).expect("a response");
        assert_eq!(response[..2], query[..2]);
        let flags = word(&response, 2).expect("flags");
        assert_ne!(flags & FLAG_RESPONSE, 0);
        (
            flags & 0xf,
            word(&response, 6).expect("count"),
            *response.last_chunk().expect("long enough"),
        )
    }

    #[test]
    fn known_names_in_any_letter_case() {
        assert_eq!(ask(&query("deb.example.org", TYPE_A)), (0, 1, MIRROR.octets()));
        assert_eq!(ask(&query("DEB.Example.org", TYPE_A)), (0, 1, MIRROR.octets()));
    }

    #[test]
    fn other_types_exist_without_records_and_other_names_do_not_exist() {
        let (code, answers, _) = ask(&query("deb.example.org", 28));
        assert_eq!((code, answers), (0, 0));
        let (code, answers, _) = ask(&query("example.org", TYPE_A));
        assert_eq!((code, answers), (NO_SUCH_NAME, 0));
    }

    #[test]
    fn extensions_behind_the_question_are_passed_over() {
        let mut query = query("deb.example.org", TYPE_A);
        query[11] = 1; // one additional record: EDNS
        query.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(ask(&query), (0, 1, MIRROR.octets()));
    }

    #[test]
    fn malformed_queries_are_told_so_and_responses_ignored() {
        let mut truncated = query("deb.example.org", TYPE_A);
        truncated.truncate(20);
        assert_eq!(ask(&truncated).0, FORMAT_ERROR);
        let mut response = query("deb.example.org", TYPE_A);
        response[2] |= 0x80;
        assert_eq!(
            answer(&response, lookup),
            None,
            "or two servers would talk to each other for ever"
        );
        let mut update = query("deb.example.org", TYPE_A);
        update[2] |= 0x28;
        assert_eq!(ask(&update).0, NOT_IMPLEMENTED);
    }

    proptest! {
        #[test]
        fn garbage_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            answer(&bytes, lookup);
        }
    }
}
