//! The builder.

use std::{
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{Child, Output, ProcessError, Status, Stream, child, run, text};

/// A program to run, its arguments and surroundings.
#[derive(Debug, Clone)]
pub struct Cmd {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// `None` removes the variable.
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) stdin: Option<Vec<u8>>,
    pub(crate) even_if_interrupted: bool,
    pub(crate) batch: bool,
}

impl Cmd {
    /// A program by name, looked up in PATH, or by path.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            stdin: None,
            even_if_interrupted: false,
            batch: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable; the rest is inherited.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Takes an inherited environment variable away.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Working directory. A relative program path stays relative to ours.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Bytes for standard input, then its end. Without this it is `/dev/null`.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Runs to its end even when an interrupt was requested: for taking things down.
    #[must_use]
    pub fn even_if_interrupted(mut self) -> Self {
        self.even_if_interrupted = true;
        self
    }

    /// When it is [spawned](Self::spawn), Linux runs it as a batch job (`SCHED_BATCH`): it has its share of the processors, but takes
    /// none from another program at the moment at which it has something to do. For programs that talk to each other all the time
    /// and are slowed down by every switch between them.
    #[must_use]
    pub fn batch(mut self) -> Self {
        self.batch = true;
        self
    }

    /// The command as one would type it in a shell, without its environment.
    #[must_use]
    pub fn command_line(&self) -> String {
        text::command_line(
            std::iter::once(self.program.as_os_str())
                .chain(self.args.iter().map(OsString::as_os_str)),
        )
    }

    /// Runs it and keeps its output.
    ///
    /// # Errors
    /// Every [`ProcessError`]; an exit status other than 0 is one.
    pub fn run(self) -> Result<Output, ProcessError> {
        run::checked(self, &mut |_, _| {})
    }

    /// Runs it and keeps its output; any way to end is fine.
    ///
    /// # Errors
    /// Every [`ProcessError`] but `Failed`.
    pub fn output(self) -> Result<Output, ProcessError> {
        run::unchecked(&self, &mut |_, _| {})
    }

    /// Runs it, keeps its output and hands out each line as it comes, without its end.
    ///
    /// # Errors
    /// Every [`ProcessError`]; an exit status other than 0 is one.
    pub fn stream(
        self,
        mut on_line: impl FnMut(Stream, &str) + Send,
    ) -> Result<Output, ProcessError> {
        run::checked(self, &mut on_line)
    }

    /// Runs it on our terminal, in our process group: for shells and password prompts.
    ///
    /// # Errors
    /// `NotFound` and `Io`; any way to end is fine.
    pub fn interactive(self) -> Result<Status, ProcessError> {
        run::interactive(&self)
    }

    /// Starts it beside us, in its own process group. Standard output is discarded, the end of standard error kept.
    ///
    /// On Linux it is killed by the kernel when this process ends in whatever way. That reaches the program itself,
    /// not the programs it starts.
    ///
    /// # Errors
    /// `NotFound`, `Io`, and `Interrupted` when an interrupt was requested before.
    pub fn spawn(self) -> Result<Child, ProcessError> {
        child::spawn(&self)
    }
}

/// The file that a program's name stands for: the first executable of that name in PATH, or the path itself.
#[must_use]
pub fn find_program(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    find_in(program.as_ref(), std::env::var_os("PATH").as_deref())
}

pub(crate) fn find_in(program: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    let executable = |file: &Path| {
        file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if Path::new(program).components().count() > 1 {
        return Some(PathBuf::from(program)).filter(|file| executable(file));
    }
    std::env::split_paths(path?).map(|dir| dir.join(program)).find(|file| executable(file))
}
