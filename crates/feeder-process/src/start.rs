//! From a [`Cmd`] to a running child in its own process group, through duct.

use std::{
    ffi::{OsStr, OsString},
    io::{self, PipeReader, Write},
    os::unix::process::CommandExt,
};

use rustix::process::Pid;

use crate::{Cmd, ProcessError, cmd::find_in, group::Group};

/// A child that runs, with our ends of its pipes.
pub(crate) struct Started {
    pub(crate) handle: duct::Handle,
    pub(crate) group: Group,
    pub(crate) pid: u32,
    /// `None` when it was discarded.
    pub(crate) stdout: Option<PipeReader>,
    pub(crate) stderr: PipeReader,
}

/// What happens to standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdout {
    Piped,
    Discarded,
}

/// Starts `argv` (which may wrap `cmd`'s own) from the calling thread.
///
/// We pump the pipes ourselves instead of letting duct capture: a daemon that inherited one would make duct's wait
/// hang for as long as it lives.
pub(crate) fn start(cmd: &Cmd, argv: &[OsString], stdout: Stdout) -> Result<Started, ProcessError> {
    try_start(cmd, argv, stdout).map_err(|source| io_error(cmd, "start", source))
}

fn try_start(cmd: &Cmd, argv: &[OsString], stdout: Stdout) -> io::Result<Started> {
    let (stderr, stderr_in) = io::pipe()?;
    let mut expression = expression(cmd, argv).stderr_file(stderr_in);
    let stdout = match stdout {
        Stdout::Piped => {
            let (reader, writer) = io::pipe()?;
            expression = expression.stdout_file(writer);
            Some(reader)
        }
        Stdout::Discarded => {
            expression = expression.stdout_null();
            None
        }
    };
    let mut feed = None;
    expression = match &cmd.stdin {
        None => expression.stdin_null(),
        Some(bytes) => {
            let (reader, writer) = io::pipe()?;
            feed = Some((writer, bytes.clone()));
            expression.stdin_file(reader)
        }
    };
    let expression = expression.before_spawn(|command| {
        command.process_group(0);
        Ok(())
    });
    let handle = expression.start()?;
    // Our copies of the child's pipe ends, or we would never see the end of its output.
    drop(expression);
    if let Some((mut writer, bytes)) = feed {
        // A program that does not read all of its input is its own business: a broken pipe is no error here.
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(move || drop(writer.write_all(&bytes)))?;
    }
    let pid = handle.pids()[0];
    let group = Group::register(
        i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a child has a pid"),
    );
    Ok(Started { handle, group, pid, stdout, stderr })
}

/// Program, arguments, environment and directory: what every way to run has in common.
pub(crate) fn expression(cmd: &Cmd, argv: &[OsString]) -> duct::Expression {
    let mut expression = duct::cmd(&argv[0], &argv[1..]).unchecked();
    for (name, value) in &cmd.env {
        expression = match value {
            Some(value) => expression.env(name, value),
            None => expression.env_remove(name),
        };
    }
    match &cmd.dir {
        Some(dir) => expression.dir(dir),
        None => expression,
    }
}

/// Program and arguments, after making sure that there is such a program: `execve` says "not found" for a missing
/// working directory or interpreter as well.
pub(crate) fn argv(cmd: &Cmd) -> Result<Vec<OsString>, ProcessError> {
    let path =
        cmd.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let path = path.unwrap_or_else(|| std::env::var_os("PATH"));
    require(&cmd.program, path.as_deref())?;
    Ok(std::iter::once(&cmd.program).chain(&cmd.args).cloned().collect())
}

pub(crate) fn require(program: &OsStr, path: Option<&OsStr>) -> Result<(), ProcessError> {
    match find_in(program, path) {
        Some(_) => Ok(()),
        None => Err(ProcessError::NotFound { program: program.to_string_lossy().into_owned() }),
    }
}

/// An [`ProcessError::Io`] about `cmd`, whose cause names the working directory when that is what is missing.
pub(crate) fn io_error(cmd: &Cmd, what: &'static str, source: io::Error) -> ProcessError {
    let source = match &cmd.dir {
        Some(dir) if source.kind() == io::ErrorKind::NotFound && !dir.is_dir() => io::Error::new(
            source.kind(),
            format!("working directory {} does not exist", dir.display()),
        ),
        _ => source,
    };
    ProcessError::Io { what, command: cmd.command_line(), source }
}
