//! Several scripts in one round trip.

use std::fmt::Write;

use feeder_process::{Output, Status};

use crate::{RemoteError, classify};

/// Ends what one of the scripts said, on both streams: ASCII's record separator, which no tool prints.
const MARK: &str = "\n\u{1e}feeder part ";

/// One script that runs all of these, in this order, each in a shell of its own: however one ends, the next one runs.
#[must_use]
pub fn together(scripts: &[&str]) -> String {
    let mut all = String::new();
    for script in scripts {
        // Writing to a String cannot fail.
        let _ = writeln!(
            all,
            "(\n{script}\n)\nstatus=$?; printf '\\n\\036feeder part %s\\n' $status; printf '\\n\\036feeder part %s\\n' $status >&2"
        );
    }
    all + "true"
}

/// What each script of [`together`] said, to be told from what the others said.
///
/// # Errors
/// Of a script: `Script` when its status is not 0, or when it did not come to its end.
#[must_use]
pub fn apart(host: &str, output: &Output, scripts: usize) -> Vec<Result<Output, RemoteError>> {
    let stdout = output.stdout_text();
    let mut stdout = parts(&stdout);
    let mut stderr = parts(&output.stderr);
    let mut next = || {
        let (stdout, ended) = stdout.next().unwrap_or_default();
        let (stderr, _) = stderr.next().unwrap_or_default();
        let status = Status { code: ended.parse().ok(), signal: None };
        if status.success() {
            return Ok(Output { status, stdout: stdout.into(), stderr: stderr.to_owned() });
        }
        let stderr_tail = classify::tail(stderr);
        Err(RemoteError::Script { host: host.to_owned(), status, stderr_tail })
    };
    (0..scripts).map(|_| next()).collect()
}

/// What was said before each mark, and the status that the mark tells.
fn parts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (said, marked) = rest.split_once(MARK)?;
        let (status, after) = marked.split_once('\n')?;
        rest = after;
        Some((said, status))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Host, Local};

    #[test]
    fn each_says_what_it_would_have_said_alone() {
        let scripts = [
            "echo one; echo first >&2",
            "printf 'no line end'; exit 3",
            "set -e; cd /; false; echo not reached",
            ":",
            "printf '\\n\\n'; printf 'two\\nlines' >&2 # a comment",
            "cat",
        ];
        let here = Local::new("here");
        let output = here.run(&together(&scripts)).unwrap();
        let said = apart("here", &output, scripts.len());
        for (script, said) in scripts.iter().zip(said) {
            match (here.run(script), said) {
                (Ok(alone), Ok(said)) => assert_eq!(
                    (alone.stdout_text(), alone.stderr),
                    (said.stdout_text(), said.stderr),
                    "{script}"
                ),
                (Err(alone), Err(said)) => assert_eq!(alone.to_string(), said.to_string()),
                (alone, said) => panic!("{script}: {alone:?} and not {said:?}"),
            }
        }
    }

    #[test]
    fn what_did_not_come_is_an_error() {
        let status = Status { code: Some(0), signal: None };
        let stdout = "one\n\n\u{1e}feeder part 0\nhalf".into();
        let output = Output { status, stdout, stderr: String::new() };
        let said = apart("cluster00", &output, 2);
        assert_eq!(said[0].as_ref().unwrap().stdout_text(), "one\n");
        assert!(matches!(&said[1], Err(RemoteError::Script { host, .. }) if host == "cluster00"));
    }
}
