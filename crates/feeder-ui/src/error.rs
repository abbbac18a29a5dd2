//! Errors that somebody foresaw.

use std::error::Error;

use anstyle::{AnsiColor, Style};

use crate::{Exit, output::talk};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// An error that was foreseen: its message says what was tried, on what, and why it failed; the hint what to do next.
/// What was not foreseen is a bug and panics.
pub trait Expected: Error {
    /// What the process exits with.
    fn exit(&self) -> Exit;

    /// What the reader can do next, without the word "hint".
    fn hint(&self) -> Option<String> {
        None
    }

    /// The whole message when the error draws itself (a diagnostic with a piece of the source), else `None`.
    fn rendered(&self) -> Option<String> {
        None
    }
}

impl<E: Expected + 'static> From<E> for Box<dyn Expected> {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

/// Tells about an error on stderr and gives its exit code.
pub fn report(error: &dyn Expected) -> Exit {
    talk(&render(error));
    error.exit()
}

/// The text of [`report`]: `error: …`, a line for every cause that the message does not repeat already, `hint: …`.
pub fn render(error: &dyn Expected) -> String {
    let mut text = error.rendered().unwrap_or_else(|| {
        let mut said = error.to_string();
        let mut text = format!("{ERROR}error:{ERROR:#} {said}");
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !said.contains(&cause_text) {
                text.push_str(&format!("\n  because {}", cause_text.replace('\n', "\n  ")));
                said = cause_text;
            }
            source = cause.source();
        }
        text
    });
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\n{HINT}hint:{HINT:#} {hint}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the lock {path}")]
    struct NoLock {
        path: &'static str,
        source: std::io::Error,
    }

    impl Expected for NoLock {
        fn exit(&self) -> Exit {
            Exit::Input
        }
        fn hint(&self) -> Option<String> {
            Some("make one with `cargo xtask image lock`".into())
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the build stopped: {0}")]
    struct Outer(#[source] NoLock);

    impl Expected for Outer {
        fn exit(&self) -> Exit {
            Exit::Failed
        }
    }

    fn no_lock() -> NoLock {
        NoLock { path: "images.lock", source: std::io::ErrorKind::NotFound.into() }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn an_error_has_its_cause_and_its_hint() {
        assert_eq!(
            plain(&render(&no_lock())),
            "error: cannot read the lock images.lock\n  because entity not found\nhint: make one with `cargo xtask image lock`"
        );
    }

    #[test]
    fn a_cause_that_was_said_already_is_not_said_again() {
        assert_eq!(
            plain(&render(&Outer(no_lock()))),
            "error: the build stopped: cannot read the lock images.lock\n  because entity not found"
        );
    }

    #[test]
    fn question_mark_boxes_an_expected_error() {
        fn command() -> Result<(), Box<dyn Expected>> {
            Err(no_lock())?;
            Ok(())
        }
        assert_eq!(command().map_err(|error| error.exit()), Err(Exit::Input));
    }
}
