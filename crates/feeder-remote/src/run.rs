//! Running the command that carries a script, the same for every kind of host.

use std::sync::mpsc;

use feeder_process::{Cmd, Output, ProcessError, Stream};

use crate::{RemoteError, script::OUTPUT_LIMIT};

/// An error when there is more output than is taken.
pub(crate) fn limited(host: &str, output: &Output) -> Result<(), RemoteError> {
    if output.stdout.len() > OUTPUT_LIMIT {
        return Err(RemoteError::TooMuchOutput { host: host.to_owned(), limit: OUTPUT_LIMIT });
    }
    Ok(())
}

/// Runs a command and hands out the lines of its standard output on the caller's own thread. Any way to end is fine.
pub(crate) fn stream(
    host: &str,
    cmd: Cmd,
    on_line: &mut dyn FnMut(&str),
) -> Result<Output, RemoteError> {
    let (lines, inbox) = mpsc::channel::<String>();
    let (result, stderr) = std::thread::scope(|scope| {
        let runner = scope.spawn(move || {
            // A failed command's error has only the end of what it said; what begins it matters too.
            let mut stderr = String::new();
            let result = cmd.stream(|stream, line| match stream {
                Stream::Stdout => drop(lines.send(line.to_owned())),
                Stream::Stderr => {
                    stderr.push_str(line);
                    stderr.push('\n');
                }
            });
            drop(lines);
            (result, stderr)
        });
        for line in inbox {
            on_line(&line);
        }
        runner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    match result {
        Ok(output) => Ok(output),
        Err(ProcessError::Failed { status, .. }) => {
            Ok(Output { status, stdout: Vec::new(), stderr })
        }
        Err(source) => Err(RemoteError::from_process(host, source)),
    }
}
