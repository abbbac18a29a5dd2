//! How a script is sent, and how its own end is told from the end of the connection.
//!
//! `ssh` exits with 255 both when it lost the connection and when the script exited with 255; `sudo` and `sh` have
//! statuses of their own too. So the script is wrapped: it announces on standard error that it begins and how it ended.
//! What comes without an announced end did not end by itself.

/// The most standard output that `run` takes, in bytes.
pub(crate) const OUTPUT_LIMIT: usize = 64 << 20;

/// Begins a line of ours on standard error: ASCII's record separator, which no tool prints.
const MARK: &str = "\u{1e}feeder ";

/// What happens to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdout {
    /// Cut off after [`OUTPUT_LIMIT`] and one byte.
    Limited,
    /// Line by line as it comes.
    Streamed,
}

/// Wraps a script for the standard input of `sh`.
///
/// It is one compound command, which a shell parses to its end before it runs any of it: a script cut short on its
/// way is a syntax error and does nothing.
pub(crate) fn wrap(script: &str, stdout: Stdout) -> String {
    let limit = match stdout {
        Stdout::Limited => format!(" | head -c {}", OUTPUT_LIMIT + 1),
        Stdout::Streamed => String::new(),
    };
    format!(
        "{{\n\
         export LC_ALL=C.UTF-8 PATH=\"$PATH:/usr/sbin:/sbin\"\n\
         printf '\\036feeder begin\\n' >&2\n\
         (\n{script}\n) </dev/null\n\
         printf '\\n\\036feeder end %s\\n' $? >&2\n\
         }}{limit}\n"
    )
}

/// What a wrapped script's standard error says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// The shell read the whole script and began.
    pub(crate) begun: bool,
    /// How the script ended, when it did.
    pub(crate) status: Option<i32>,
    /// What was said before the script began: by ssh, the host's banner, sudo.
    pub(crate) before: String,
    /// What the script said, and ssh when it lost the connection.
    pub(crate) stderr: String,
}

impl Transcript {
    pub(crate) fn parse(stderr: &str) -> Self {
        let mut this =
            Self { begun: false, status: None, before: String::new(), stderr: String::new() };
        for line in stderr.split_inclusive('\n') {
            match line.strip_prefix(MARK).map(str::trim_end) {
                Some("begin") => this.begun = true,
                Some(rest) if rest.starts_with("end ") => {
                    this.status = rest["end ".len()..].parse().ok();
                    // The line end before the mark is ours.
                    this.stderr.pop();
                }
                _ if this.begun => this.stderr.push_str(line),
                _ => this.before.push_str(line),
            }
        }
        this
    }
}

#[cfg(test)]
mod tests {
    use feeder_process::Cmd;
    use proptest::prelude::*;

    use super::*;

    fn sh(stdin: &str) -> (Transcript, String) {
        let out = Cmd::new("sh").stdin(stdin).output().unwrap();
        (Transcript::parse(&out.stderr), out.stdout_text())
    }

    #[test]
    fn the_status_is_the_scripts_own() {
        for (script, status) in [
            ("true", 0),
            ("exit 255", 255),
            ("set -e; false; echo not reached", 1),
            ("kill -9 0", -1),
            ("cat; exit 3", 3),
            ("cat <<E >/dev/null\n}\nE\nexit 4 # a comment", 4),
        ] {
            for stdout in [Stdout::Limited, Stdout::Streamed] {
                let (transcript, _) = sh(&wrap(script, stdout));
                assert!(transcript.begun, "{script}");
                assert_eq!(transcript.status.unwrap_or(-1), status, "{script}");
                assert_eq!(transcript.stderr, "", "{script}");
            }
        }
    }

    #[test]
    fn standard_error_is_as_the_script_wrote_it() {
        for said in ["", "one\n", "no line end", "\n\n", "two\nlines"] {
            let script = format!("printf %s {} >&2", feeder_process::quote(said));
            assert_eq!(sh(&wrap(&script, Stdout::Limited)).0.stderr, said);
        }
    }

    #[test]
    fn too_much_output_ends_the_script() {
        let (transcript, stdout) = sh(&wrap("yes", Stdout::Limited));
        assert_eq!(stdout.len(), OUTPUT_LIMIT + 1);
        assert_eq!(transcript.status, Some(128 + 13), "SIGPIPE");
    }

    proptest! {
        #[test]
        fn a_script_cut_short_does_nothing(cut in 0.0..1.0f64) {
            let whole = wrap("echo one\necho two\nif true; then echo three; fi", Stdout::Limited);
            let text = &whole[..(whole.trim_end().len() as f64 * cut) as usize];
            // The pipe alone may be missing: then all of the script is there.
            prop_assume!(!text.contains("\n}"));
            prop_assert_eq!(sh(text).1, "");
        }

        #[test]
        fn any_text_is_a_transcript(text in "(\u{1e}feeder (begin|end [0-9x-]{0,12})\n|[ -~\u{1e}\n]{0,8}){0,6}") {
            let transcript = Transcript::parse(&text);
            prop_assert!(transcript.before.len() + transcript.stderr.len() <= text.len());
        }
    }
}
