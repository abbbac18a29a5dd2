//! What a serial console prints, without what only a terminal understands.

/// Removes escape sequences from a stream of bytes: CSI, OSC and the other strings of ECMA-48, two-byte escapes.
///
/// systemd colours its lines and, since version 257, frames sessions in OSC strings.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    state: Escape,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Start,
    /// After ESC and an intermediate byte: one more comes.
    Intermediate,
    /// `ESC [`, until a byte in `@`..`~`.
    Csi,
    /// `ESC ]`, `ESC P`, `ESC X`, `ESC ^`, `ESC _`, until BEL or `ESC \`.
    Text,
    /// ESC inside such a text.
    TextEnd,
}

impl Plain {
    /// Keeps the printable bytes, tabs and line ends of `bytes` at its front and returns how many they are.
    pub(crate) fn filter(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        for i in 0..bytes.len() {
            let byte = bytes[i];
            if self.keeps(byte) {
                bytes[kept] = byte;
                kept += 1;
            }
        }
        kept
    }

    fn keeps(&mut self, byte: u8) -> bool {
        use Escape::{Csi, Intermediate, None, Start, Text, TextEnd};
        self.state = match (self.state, byte) {
            (Text, 0x1b) => TextEnd,
            (Text, 0x07) | (TextEnd, b'\\') => None,
            // A line end inside a string means that its end was lost: better a stray character than a lost console.
            (Text | TextEnd | Csi | Start | Intermediate, b'\n') => {
                self.state = None;
                return true;
            }
            (_, 0x1b) => Start,
            (Text | TextEnd, _) => Text,
            (Start, b'[') => Csi,
            (Start, b']' | b'P' | b'X' | b'^' | b'_') => Text,
            (Start | Intermediate, 0x20..=0x2f) => Intermediate,
            (Start | Intermediate, _) => None,
            (Csi, 0x40..=0x7e) => None,
            (Csi, _) => Csi,
            (None, _) => {
                return byte >= 0x20 && byte != 0x7f || matches!(byte, b'\n' | b'\r' | b'\t');
            }
        };
        false
    }
}

/// Makes lines of what was filtered. A carriage return that is not part of a line end starts the line over, as on
/// a screen.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    line: Vec<u8>,
    returned: bool,
}

impl Screen {
    /// Calls `done` with every line that is complete.
    pub(crate) fn push(&mut self, bytes: &[u8], mut done: impl FnMut(String)) {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    done(self.current());
                    self.line.clear();
                    self.returned = false;
                }
                b'\r' => self.returned = true,
                _ => {
                    if std::mem::take(&mut self.returned) {
                        self.line.clear();
                    }
                    self.line.push(byte);
                }
            }
        }
    }

    /// The line that is not complete yet: a prompt, for example.
    pub(crate) fn current(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, chunk: usize) -> String {
        let mut plain = Plain::default();
        let mut kept = Vec::new();
        for bytes in text.as_bytes().chunks(chunk) {
            let mut bytes = bytes.to_vec();
            let n = plain.filter(&mut bytes);
            kept.extend_from_slice(&bytes[..n]);
        }
        String::from_utf8(kept).unwrap()
    }

    #[test]
    fn escapes_go_whatever_the_chunks() {
        let text = "\x1b[0;32m  OK  \x1b[0m● Started\x1b(B \x1b]3008;start=boot;machineid=x\x1b\\it.\x1b]0;title\x07\x1b[K\n\x1bclogin: \x1b7";
        for chunk in [1, 2, 3, 1000] {
            assert_eq!(plain(text, chunk), "  OK  ● Started it.\nlogin: ", "chunks of {chunk}");
        }
    }

    #[test]
    fn a_string_without_end_costs_one_line() {
        assert_eq!(plain("a\x1b]0;lost\nb\x1b[31\nc", 100), "a\nb\nc");
    }

    #[test]
    fn a_carriage_return_overwrites() {
        let mut screen = Screen::default();
        let mut lines = Vec::new();
        screen.push(b"one\r\ntwo\r\r\n[*  ] job\r[ * ] job\r\nlogin: ", |line| lines.push(line));
        assert_eq!(lines, ["one", "two", "[ * ] job"]);
        assert_eq!(screen.current(), "login: ");
    }
}
