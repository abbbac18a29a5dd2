//! What comes out of a program, and what an error says about it.

use std::time::{Duration, Instant};

use feeder_process::{Cmd, ProcessError, Stream};

fn sh(script: &str) -> Cmd {
    Cmd::new("sh").args(["-c", script])
}

#[test]
fn output_of_both_streams_and_the_status() {
    let out = sh("echo out; echo err >&2; exit 3").output().unwrap();
    assert_eq!((out.status.code, out.status.signal), (Some(3), None));
    assert_eq!((out.stdout_text().as_str(), out.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn input_larger_than_a_pipe_comes_back_whole() {
    let bytes = b"0123456789abcdef".repeat(40_000);
    assert_eq!(Cmd::new("cat").stdin(bytes.clone()).run().unwrap().stdout, bytes);
    // Not reading it is no error either.
    assert!(Cmd::new("true").stdin(bytes).run().is_ok());
}

#[test]
fn without_input_there_is_nothing_to_read() {
    assert_eq!(Cmd::new("cat").run().unwrap().stdout, b"");
}

#[test]
fn environment_and_directory() {
    let dir = tempfile::tempdir().unwrap();
    let out = sh("echo $GREETING $HOME; pwd -P")
        .env("GREETING", "hi")
        .env_remove("HOME")
        .dir(dir.path())
        .run()
        .unwrap();
    assert_eq!(
        out.stdout_text(),
        format!("hi\n{}\n", dir.path().canonicalize().unwrap().display())
    );
}

#[test]
fn lines_come_while_it_runs() {
    let mut seen = Vec::new();
    let mut first_after = None;
    let start = Instant::now();
    sh("echo one; echo two >&2; sleep 0.4; printf three")
        .stream(|stream, line| {
            first_after.get_or_insert_with(|| start.elapsed());
            seen.push((stream, line.to_owned()));
        })
        .unwrap();
    assert!(first_after.unwrap() < start.elapsed() - Duration::from_millis(300));
    seen.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
    let expected = [(Stream::Stdout, "one"), (Stream::Stdout, "three"), (Stream::Stderr, "two")];
    assert_eq!(seen, expected.map(|(s, l)| (s, l.to_owned())));
}

#[test]
fn a_failure_shows_the_command_and_the_end_of_stderr() {
    let err = sh("seq 1000 >&2; exit 7").run().unwrap_err();
    let text = err.to_string();
    assert!(text.starts_with("`sh -c 'seq 1000 >&2; exit 7'` failed: exit status 7\n"), "{text}");
    assert!(text.ends_with("  | 1000") && text.len() < 2500, "{text}");
    let text = sh("echo only here; kill -9 $$").run().unwrap_err().to_string();
    assert!(text.ends_with("failed: killed by SIGKILL\n  | only here"), "{text}");
}

#[test]
fn what_is_missing_is_named() {
    for found in [
        Cmd::new("no-such-program").run().unwrap_err(),
        Cmd::new("no-such-program").spawn().unwrap_err(),
        Cmd::new("sh").env("PATH", "/nowhere").run().unwrap_err(),
    ] {
        let ProcessError::NotFound { program } = found else { panic!("{found:?}") };
        assert!(program == "no-such-program" || program == "sh");
    }
    let err = Cmd::new("true").dir("/no/such/dir").run().unwrap_err();
    assert!(err.to_string().contains("working directory /no/such/dir does not exist"), "{err}");
}

#[test]
fn a_daemon_that_keeps_the_pipes_does_not_keep_us() {
    let start = Instant::now();
    let out = sh("setsid sleep 5 & echo $!").run().unwrap();
    assert!(start.elapsed() < Duration::from_secs(4), "waited for the daemon");
    assert!(!out.stdout.is_empty());
    // Its own session is its own business. Do not leave ours here.
    Cmd::new("kill").arg(out.stdout_text().trim()).output().unwrap();
}
