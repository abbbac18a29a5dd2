//! A host behind the system's `ssh`.

use feeder_process::{Cmd, Output, Status};

use crate::{
    Host, RemoteError, SshOptions, argv, classify,
    control::{self, Control},
    run::{limited, stream},
    script::{self, Stdout},
    ssh_argv,
};

/// A host, reached through one shared SSH connection.
///
/// When the connection was lost, the next script makes a new one. It is closed when this is dropped.
#[derive(Debug)]
pub struct Ssh {
    options: SshOptions,
    control: Control,
}

impl Ssh {
    /// Connects, logs in and becomes root if that is wanted.
    ///
    /// # Errors
    /// Every [`RemoteError`].
    pub fn connect(options: SshOptions) -> Result<Self, RemoteError> {
        Self::connect_with(options, ":").map(|(this, _)| this)
    }

    /// The same with a first script, and what it said: connecting costs no round trip of its own.
    ///
    /// # Errors
    /// Every [`RemoteError`]; `Script` when there is a connection and the script failed.
    pub fn connect_with(options: SshOptions, script: &str) -> Result<(Self, Output), RemoteError> {
        let this = Self::unconnected(options)?;
        let output = this.run(script)?;
        Ok((this, output))
    }

    /// As [`Self::connect`], but the first script connects.
    pub(crate) fn unconnected(options: SshOptions) -> Result<Self, RemoteError> {
        let failed = |source| RemoteError::Ssh {
            host: options.host_key_alias.clone(),
            why: format!("cannot make a folder for its control socket: {source}"),
        };
        let control = Control::new().map_err(failed)?;
        if options.login_password.is_some() {
            control.answer_questions().map_err(failed)?;
        }
        Ok(Self { options, control })
    }

    /// How it is reached.
    #[must_use]
    pub fn options(&self) -> &SshOptions {
        &self.options
    }

    /// How a host is reached that this one reaches at its address: through this one's connection, and with our own keys. It must
    /// not outlive this.
    #[must_use]
    pub fn beyond(&self, options: SshOptions) -> SshOptions {
        SshOptions { through: Some(self.control.socket().to_owned()), ..options }
    }

    /// `ssh` and its arguments up to and with the destination, over the shared connection.
    pub(crate) fn command(&self) -> Cmd {
        // What the user's configuration may add for a person at a terminal is in a script's way.
        const PLAIN: [&str; 3] =
            ["-oRemoteCommand=none", "-oRequestTTY=no", "-oClearAllForwardings=yes"];
        let ssh =
            Cmd::new("ssh").args(PLAIN).args(ssh_argv(&self.options, Some(self.control.socket())));
        match &self.options.login_password {
            None => ssh,
            Some(password) => ssh
                .env("SSH_ASKPASS", self.control.askpass())
                .env("SSH_ASKPASS_REQUIRE", "force")
                .env(control::PASSWORD, password.expose()),
        }
    }

    pub(crate) fn shell(&self, script: &str, stdout: Stdout) -> Cmd {
        self.options.tally.count(self.name());
        let script = argv::before_script(&self.options) + &script::wrap(script, stdout);
        self.command().arg(argv::shell(&self.options)).stdin(script)
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
