//! Text in and out of processes: quoting, lines out of chunks, the end of a long output.

use std::{borrow::Cow, ffi::OsStr};

/// How much of a program's last words is kept for an error message, in bytes.
pub(crate) const TAIL: usize = 1024;

/// One word as a POSIX shell would read it back.
#[must_use]
pub fn quote(word: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./,:=@%+^".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

/// A whole command as one would type it.
pub(crate) fn command_line<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> String {
    let words: Vec<String> =
        words.into_iter().map(|w| quote(&w.to_string_lossy()).into_owned()).collect();
    words.join(" ")
}

/// The last bytes of a stream, cut to whole lines when shown.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        if let Some(extra) = self.bytes.len().checked_sub(TAIL).filter(|&n| n > 0) {
            self.bytes.drain(..extra);
            self.cut = true;
        }
    }

    /// At most [`TAIL`] bytes; begins with a whole line when the stream has one that short.
    pub(crate) fn text(&self) -> String {
        let mut bytes = &self.bytes[..];
        if self.cut
            && let Some(newline) = bytes.iter().position(|&b| b == b'\n')
            && newline + 1 < bytes.len()
        {
            bytes = &bytes[newline + 1..];
        }
        String::from_utf8_lossy(bytes).trim_end().to_owned()
    }
}

/// The tail of something that is there as a whole.
pub(crate) fn tail(bytes: &[u8]) -> String {
    let mut tail = Tail::default();
    tail.push(bytes);
    tail.text()
}

/// Cuts chunks into lines. A lone carriage return ends a line too: progress meters use it.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    after_cr: bool,
}

impl Lines {
    /// Calls `line` for every line that `chunk` completes, without its end.
    pub(crate) fn push(&mut self, chunk: &[u8], mut line: impl FnMut(&str)) {
        for &byte in chunk {
            let newline_of_crlf = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            if newline_of_crlf {
                continue;
            }
            if matches!(byte, b'\n' | b'\r') {
                line(&String::from_utf8_lossy(&self.rest));
                self.rest.clear();
            } else {
                self.rest.push(byte);
            }
        }
    }

    /// What came after the last line end, if anything.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(&str)) {
        if !self.rest.is_empty() {
            line(&String::from_utf8_lossy(&std::mem::take(&mut self.rest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_end_at_newline_carriage_return_and_both() {
        let mut got = Vec::new();
        let mut lines = Lines::default();
        for chunk in ["a\r", "\nb\r50%\r", "100%\n\nla", "st"] {
            lines.push(chunk.as_bytes(), |l| got.push(l.to_owned()));
        }
        lines.finish(|l| got.push(l.to_owned()));
        assert_eq!(got, ["a", "b", "50%", "100%", "", "last"]);
    }

    #[test]
    fn the_tail_begins_with_a_whole_line() {
        let mut tail = Tail::default();
        for n in 0..500 {
            tail.push(format!("line {n}\n").as_bytes());
        }
        let text = tail.text();
        assert!(text.len() <= TAIL && text.starts_with("line ") && text.ends_with("line 499"));
        assert!(text.lines().all(|l| l.starts_with("line ")), "{text}");
    }

    proptest! {
        #[test]
        fn chunking_does_not_change_lines(text in "[a\r\n]{0,40}", at in 0usize..40) {
            let whole = |cut: usize| {
                let mut got = Vec::new();
                let mut lines = Lines::default();
                let (a, b) = text.as_bytes().split_at(cut);
                for chunk in [a, b] { lines.push(chunk, |l| got.push(l.to_owned())); }
                lines.finish(|l| got.push(l.to_owned()));
                got
            };
            prop_assert_eq!(whole(0), whole(at.min(text.len())));
        }

        // The oracle is the shell itself.
        #[test]
        fn a_shell_reads_back_what_was_quoted(word in "[ -~\n\t\u{e4}']{0,12}") {
            let script = format!("printf %s {}", quote(&word));
            let out = crate::Cmd::new("sh").args(["-c", &script]).run().unwrap();
            prop_assert_eq!(out.stdout_text(), word);
        }
    }
}
