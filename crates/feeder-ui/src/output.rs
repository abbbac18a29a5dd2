//! stdout: data, and nothing else.

use std::io::{self, Write};

/// Writes data to stdout. A reader that has gone away (`| head`) is no error.
///
/// # Errors
/// Whatever writing to stdout gives, but a broken pipe.
pub fn data(text: impl AsRef<str>) -> io::Result<()> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_ref().as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes one line of talk to stderr. Talk that cannot be written is lost: there is nobody to tell.
pub(crate) fn talk(text: &str) {
    let mut stderr = anstream::stderr().lock();
    let _lost = writeln!(stderr, "{text}");
}

/// Writes talk to stderr as it is, for a dialogue: a prompt without its line's end, a console's output. Talk that cannot be
/// written is lost.
pub fn talk_raw(text: &str) {
    let mut stderr = anstream::stderr().lock();
    let _lost = write!(stderr, "{text}").and_then(|()| stderr.flush());
}
