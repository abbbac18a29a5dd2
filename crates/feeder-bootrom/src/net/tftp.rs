//! TFTP packets (RFC 1350) with options (RFC 2347, RFC 2348 blksize, RFC 2349 tsize).

pub(crate) const SERVER_PORT: u16 = 69;
/// Block size without option (RFC 1350).
pub(crate) const PLAIN_BLOCK: usize = 512;

/// What a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    Data { block: u16, bytes: &'a [u8] },
    Error { code: u16, message: String },
    Oack { size: Option<u64>, block_size: Option<u64> },
}

pub(crate) fn parse(packet: &[u8]) -> Option<Packet<'_>> {
    let (operation, rest) = packet.split_at_checked(2)?;
    let word = || Some(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?));
    match operation {
        [0, 3] => Some(Packet::Data { block: word()?, bytes: &rest[2..] }),
        [0, 5] => {
            let text = rest[2.min(rest.len())..].split(|&byte| byte == 0).next()?;
            Some(Packet::Error { code: word()?, message: String::from_utf8_lossy(text).into() })
        }
        [0, 6] => {
            let mut words = rest.split(|&byte| byte == 0).map(String::from_utf8_lossy);
            let (mut size, mut block_size) = (None, None);
            while let (Some(name), Some(value)) = (words.next(), words.next()) {
                match name.to_ascii_lowercase().as_str() {
                    "tsize" => size = value.parse().ok(),
                    "blksize" => block_size = value.parse().ok(),
                    _ => {}
                }
            }
            Some(Packet::Oack { size, block_size })
        }
        _ => None,
    }
}

/// A read request in octet mode.
pub(crate) fn rrq(name: &str, options: &[(&str, String)]) -> Vec<u8> {
    let mut packet = vec![0, 1];
    for word in [name, "octet"] {
        packet.extend(word.as_bytes());
        packet.push(0);
    }
    for (option, value) in options {
        for word in [*option, value] {
            packet.extend(word.as_bytes());
            packet.push(0);
        }
    }
    packet
}

pub(crate) fn ack(block: u16) -> Vec<u8> {
    [&[0, 4][..], &block.to_be_bytes()].concat()
}

pub(crate) fn error(code: u16, message: &str) -> Vec<u8> {
    [&[0, 5][..], &code.to_be_bytes(), message.as_bytes(), &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lengths as tcpdump shows them: boot-net.adoc and raspberrypi/firmware#1041.
    #[test]
    fn requests_have_the_length_of_captured_ones() {
        assert_eq!(rrq("bootcode.bin", &[]).len(), 21);
        assert_eq!(rrq("bootsig.bin", &[]).len(), 20);
        let tsize = [("tsize", "0".to_owned())];
        assert_eq!(rrq("e1ffda08/start.elf", &tsize).len(), 35);
        assert_eq!(rrq("config.txt", &tsize).len(), 27);
        // The bytes of raspberrypi/firmware#1041, comment of 2018-09-27.
        assert_eq!(rrq("fixup.dat", &tsize), b"\0\x01fixup.dat\0octet\0tsize\x000\0");
    }

    #[test]
    fn answers_are_read() {
        assert_eq!(parse(b"\0\x03\0\x07abc"), Some(Packet::Data { block: 7, bytes: b"abc" }));
        assert_eq!(
            parse(b"\0\x05\0\x01file not found\0"),
            Some(Packet::Error { code: 1, message: "file not found".into() })
        );
        assert_eq!(
            parse(b"\0\x06tsize\x006660\0"),
            Some(Packet::Oack { size: Some(6660), block_size: None })
        );
        assert_eq!(
            parse(b"\0\x06BLKSIZE\x001024\0tsize\x001\0x\0"),
            Some(Packet::Oack { size: Some(1), block_size: Some(1024) })
        );
    }

    proptest! {
        #[test]
        fn any_packet_is_survived(operation in 0_u8..8, rest in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&[&[0, operation][..], &rest].concat());
            let _ = parse(&rest);
        }
    }
}
