//! The pcapng blocks that a capture of this LAN consists of, as bytes.
//!
//! Source: draft-ietf-opsawg-pcapng. Little endian throughout, timestamps in nanoseconds. Functions append one whole block to
//! a buffer, so that a buffer always ends at a block's end and a file cut between buffers stays readable.

use std::net::Ipv4Addr;
use std::time::Duration;

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
const LINKTYPE_ETHERNET: u16 = 1;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
/// Outbound, seen from the network card of the node that the interface is named after: the node sent the frame.
const FLAGS_OUTBOUND: u32 = 0b10;
const NRB_RECORD_END: u16 = 0;
const NRB_RECORD_IPV4: u16 = 1;

/// The longest option text that is written. The field could hold 65,535 bytes; readers are happier with less.
const MAX_TEXT: usize = 32 * 1024;

/// Appends the section header which opens a file.
pub fn section_header(out: &mut Vec<u8>, application: &str) {
    block(out, SECTION_HEADER, |out| {
        put_u32(out, BYTE_ORDER_MAGIC);
        put_u16(out, 1); // major
        put_u16(out, 0); // minor
        out.extend_from_slice(&(-1i64).to_le_bytes()); // section length: not known
        option(out, SHB_USERAPPL, application.as_bytes());
        put_u32(out, OPT_END.into());
    });
}

/// Appends the description of an Ethernet interface. The first one in a section has number 0, the next number 1, and so on.
pub fn interface(out: &mut Vec<u8>, name: &str, description: &str) {
    block(out, INTERFACE_DESCRIPTION, |out| {
        put_u16(out, LINKTYPE_ETHERNET);
        put_u16(out, 0); // reserved
        put_u32(out, 0); // snap length: none
        option(out, IF_NAME, clip(name));
        option(out, IF_DESCRIPTION, clip(description));
        option(out, IF_TSRESOL, &[9]); // 10^-9 s
        put_u32(out, OPT_END.into());
    });
}

/// Appends one frame: when its node sent it (time since the Unix epoch), on which interface, and a remark about it.
pub fn packet(
    out: &mut Vec<u8>,
    interface: u32,
    at: Duration,
    frame: &[u8],
    comment: Option<&str>,
) {
    let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    block(out, ENHANCED_PACKET, |out| {
        put_u32(out, interface);
        put_u32(out, (nanos >> 32) as u32);
        put_u32(out, nanos as u32);
        put_u32(out, length); // captured
        put_u32(out, length); // on the wire
        padded(out, frame);
        if let Some(comment) = comment {
            option(out, OPT_COMMENT, clip(comment));
        }
        option(out, EPB_FLAGS, &FLAGS_OUTBOUND.to_le_bytes());
        put_u32(out, OPT_END.into());
    });
}

/// Appends names for addresses, which readers show in place of the addresses.
pub fn names<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = (Ipv4Addr, &'a str)>) {
    block(out, NAME_RESOLUTION, |out| {
        for (address, name) in names {
            let mut value = address.octets().to_vec();
            value.extend_from_slice(clip(name));
            value.push(0);
            option(out, NRB_RECORD_IPV4, &value); // records have the shape of options
        }
        put_u32(out, NRB_RECORD_END.into());
    });
}

/// Writes type and length around `body`. The length stands at both ends, so that files can be read backwards.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put_u32(out, kind);
    put_u32(out, 0); // filled in below
    body(out);
    let length = (out.len() - start + 4) as u32;
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    put_u32(out, length);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    put_u16(out, code);
    put_u16(out, value.len() as u16);
    padded(out, value);
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.extend_from_slice(&[0; 3][..bytes.len().wrapping_neg() & 3]);
}

/// At most [`MAX_TEXT`] bytes of `text`, cut between characters.
fn clip(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(MAX_TEXT)]
}

fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
    use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
    use pcap_file::pcapng::{Block, PcapNgReader};
    use proptest::prelude::*;

    use super::*;

    fn file(frames: &[(Vec<u8>, Option<String>)]) -> Vec<u8> {
        let mut out = Vec::new();
        section_header(&mut out, "test");
        interface(&mut out, "master", "a node");
        names(
            &mut out,
            [(Ipv4Addr::new(10, 0, 0, 2), "master"), (Ipv4Addr::new(10, 0, 0, 3), "cluster01")],
        );
        for (index, (frame, comment)) in frames.iter().enumerate() {
            packet(&mut out, 0, Duration::new(7, index as u32), frame, comment.as_deref());
        }
        out
    }

    proptest! {
        /// Another implementation reads back every frame and every comment, whatever their lengths.
        #[test]
        fn another_reader_agrees(frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..1600), prop::option::of("\\PC{0,40}")), 0..8)) {
            let bytes = file(&frames);
            let mut reader = PcapNgReader::new(&bytes[..]).expect("section header");
            let mut seen = Vec::new();
            while let Some(block) = reader.next_block() {
                match block.expect("a block") {
                    Block::InterfaceDescription(idb) => {
                        prop_assert!(idb.options.contains(&InterfaceDescriptionOption::IfName("master".into())));
                    }
                    Block::EnhancedPacket(epb) => {
                        let comment = epb.options.iter().find_map(|option| match option {
                            EnhancedPacketOption::Comment(text) => Some(text.to_string()),
                            _ => None,
                        });
                        prop_assert!(epb.options.contains(&EnhancedPacketOption::Flags(2)));
                        seen.push((epb.data.to_vec(), comment));
                    }
                    Block::NameResolution(nrb) => prop_assert_eq!(nrb.records.len(), 2),
                    other => prop_assert!(false, "unexpected block {other:?}"),
                }
            }
            prop_assert_eq!(seen, frames);
        }
    }

    #[test]
    fn long_comments_are_cut_between_characters() {
        let comment = "ä".repeat(MAX_TEXT);
        let bytes = file(&[(vec![0; 60], Some(comment))]);
        let mut reader = PcapNgReader::new(&bytes[..]).expect("section header");
        let mut length = 0;
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(epb) = block.expect("a block")
                && let Some(EnhancedPacketOption::Comment(text)) = epb.options.first()
            {
                length = text.len();
            }
        }
        assert_eq!(length, MAX_TEXT);
    }
}
