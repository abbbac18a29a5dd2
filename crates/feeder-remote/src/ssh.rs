//! A host behind the system's `ssh`.

use std::{env, io};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, Output, Status};
use tempfile::TempDir;

use crate::{
    Host, RemoteError, SshOptions, argv, classify,
    run::{limited, stream},
    script::{self, Stdout},
    ssh_argv,
};

/// The longest folder for the control socket, in bytes: a socket's path may have 107, and ssh appends 18 while it
/// makes one.
const SOCKET_FOLDER: usize = 40;

/// A host, reached through one shared SSH connection.
///
/// When the connection was lost, the next script makes a new one. It is closed when this is dropped.
#[derive(Debug)]
pub struct Ssh {
    options: SshOptions,
    control: Utf8PathBuf,
    _folder: TempDir,
}

impl Ssh {
    /// Connects, logs in and becomes root if that is wanted.
    ///
    /// # Errors
    /// Every [`RemoteError`].
    pub fn connect(options: SshOptions) -> Result<Self, RemoteError> {
        let this = Self::unconnected(options)?;
        this.run(":")?;
        Ok(this)
    }

    /// As [`Self::connect`], but the first script connects.
    pub(crate) fn unconnected(options: SshOptions) -> Result<Self, RemoteError> {
        let folder = socket_folder().map_err(|source| RemoteError::Ssh {
            host: options.host_key_alias.clone(),
            why: format!("cannot make a folder for its control socket: {source}"),
        })?;
        let control = Utf8Path::from_path(folder.path())
            .map(|folder| folder.join("c"))
            .ok_or_else(|| RemoteError::Ssh {
                host: options.host_key_alias.clone(),
                why: "the path of the folder for temporary files is not UTF-8".into(),
            })?;
        Ok(Self { options, control, _folder: folder })
    }

    /// How it is reached.
    #[must_use]
    pub fn options(&self) -> &SshOptions {
        &self.options
    }

    /// `ssh` and its arguments up to and with the destination, over the shared connection.
    pub(crate) fn command(&self) -> Cmd {
        // What the user's configuration may add for a person at a terminal is in a script's way.
        const PLAIN: [&str; 3] =
            ["-oRemoteCommand=none", "-oRequestTTY=no", "-oClearAllForwardings=yes"];
        Cmd::new("ssh").args(PLAIN).args(ssh_argv(&self.options, Some(&self.control)))
    }

    fn shell(&self, script: &str, stdout: Stdout) -> Cmd {
        self.command().arg(argv::shell(&self.options)).stdin(script::wrap(script, stdout))
    }

    fn verdict(&self, status: Status, stderr: &str) -> Result<String, RemoteError> {
        classify::verdict(&self.options, status, stderr)
    }
}

impl Host for Ssh {
    fn name(&self) -> &str {
        &self.options.host_key_alias
    }

    fn run(&self, script: &str) -> Result<Output, RemoteError> {
        let output = self
            .shell(script, Stdout::Limited)
            .output()
            .map_err(|source| RemoteError::from_process(self.name(), source))?;
        limited(self.name(), &output)?;
        let stderr = self.verdict(output.status, &output.stderr)?;
        Ok(Output { stderr, ..output })
    }

    fn stream(&self, script: &str, on_line: &mut dyn FnMut(&str)) -> Result<Output, RemoteError> {
        let output = stream(self.name(), self.shell(script, Stdout::Streamed), on_line)?;
        let stderr = self.verdict(output.status, &output.stderr)?;
        Ok(Output { stderr, ..output })
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        if self.control.exists() {
            // Options before the destination: `-O exit` speaks to the shared connection and to nobody else.
            let args =
                ["-O", "exit", "-o", &format!("ControlPath={}", self.control), "--", self.name()];
            // A connection that is gone already is what we want.
            drop(Cmd::new("ssh").args(["-F", "none"]).args(args).even_if_interrupted().output());
        }
    }
}

/// A new folder, for our eyes only, with a short path.
fn socket_folder() -> io::Result<TempDir> {
    let wanted = env::temp_dir();
    let base = if wanted.as_os_str().len() <= SOCKET_FOLDER { wanted } else { "/tmp".into() };
    tempfile::Builder::new().prefix("feeder-ssh-").tempdir_in(base)
}
