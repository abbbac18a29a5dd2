//! Option 43 as PXE fills it: sub-options of code, length and value (PXE 2.1, RFC 4578 leaves it to it).

use std::fmt::Write;

/// Whether the bytes contain a text anywhere. The firmware searches bytes: a server that sends the
/// bare text is understood too (raspberrypi/firmware#764).
#[must_use]
pub fn contains(option: &[u8], text: &str) -> bool {
    option.windows(text.len().max(1)).any(|window| window == text.as_bytes())
}

/// What a human should see of option 43: the menu's texts (sub-option 9), else all of it with
/// unprintable bytes as `\xNN`.
#[must_use]
pub fn display(option: &[u8]) -> String {
    let texts: Vec<String> = menu(option).into_iter().map(printable).collect();
    if texts.is_empty() { printable(option) } else { texts.join("\" \"") }
}

/// Texts of the boot menu, when the option holds one.
fn menu(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut texts = Vec::new();
    while let [code, length, after @ ..] = rest {
        let Some((value, after)) = after.split_at_checked(usize::from(*length)) else { break };
        if *code == 9 {
            let mut items = value;
            // Each item: two bytes of type, one of length, the text.
            while let [_, _, length, after @ ..] = items {
                let Some((text, after)) = after.split_at_checked(usize::from(*length)) else {
                    break;
                };
                texts.push(text);
                items = after;
            }
        }
        rest = after;
    }
    texts
}

fn printable(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte == b' ' || byte.is_ascii_graphic() {
            text.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What dnsmasq sends for `pxe-service=0,"Raspberry Pi Boot"` (boot-net.adoc, tcpdump).
    const DNSMASQ: &[u8] = b"\x06\x01\x03\x0a\x04\x00PXE\x09\x14\x00\x00\x11Raspberry Pi Boot\xff";

    #[test]
    fn the_servers_bytes_are_understood() {
        assert_eq!(DNSMASQ.len(), 32);
        assert!(contains(DNSMASQ, "Raspberry Pi Boot"));
        assert!(!contains(DNSMASQ, "Raspberry Pi Boot   "));
        assert_eq!(display(DNSMASQ), "Raspberry Pi Boot");
        let spaces = b"\x06\x01\x03\x0a\x04\x00PXE\x09\x17\x00\x00\x14Raspberry Pi Boot   \xff";
        assert_eq!(spaces.len(), 35);
        assert!(contains(spaces, "Raspberry Pi Boot   "));
        assert_eq!(display(spaces), "Raspberry Pi Boot   ");
    }

    #[test]
    fn bare_text_and_rubbish_are_shown_as_they_are() {
        assert!(contains(b"Raspberry Pi Boot   ", "Raspberry Pi Boot"));
        assert_eq!(display(b"Raspberry Pi Boot   "), "Raspberry Pi Boot   ");
        assert_eq!(display(b"\x06\x01\x08\xff"), "\\x06\\x01\\x08\\xff");
        assert_eq!(display(b""), "");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = display(&bytes);
            prop_assert!(!contains(&bytes[..bytes.len().min(16)], "Raspberry Pi Boot"));
        }
    }
}
