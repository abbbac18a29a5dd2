//! This machine as a host.

use feeder_process::{Cmd, Output, Status};

use crate::{
    Host, RemoteError, classify,
    run::{limited, stream},
    script::{self, Stdout, Transcript},
};

/// This machine, as the user who runs us.
#[derive(Debug, Clone)]
pub struct Local {
    name: String,
    shell: Vec<String>,
    env: Vec<(String, String)>,
}

impl Local {
    /// Scripts run in `sh`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), shell: vec!["sh".into()], env: Vec::new() }
    }

    /// Scripts run in this shell instead, given as the words of its command: `["busybox", "sh"]`, or `["chroot", ROOT, "sh"]`.
    #[must_use]
    pub fn shell(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.shell = words.into_iter().map(Into::into).collect();
        self
    }

    /// Sets an environment variable for scripts.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn command(&self, script: &str, stdout: Stdout) -> Result<Cmd, RemoteError> {
        let (program, args) = self.shell.split_first().ok_or_else(|| RemoteError::Ssh {
            host: self.name.clone(),
            why: "no shell was named".into(),
        })?;
        let cmd = Cmd::new(program).args(args).stdin(script::wrap(script, stdout));
        Ok(self.env.iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value)))
    }

    fn verdict(&self, status: Status, stderr: &str) -> Result<String, RemoteError> {
        let Transcript { status: ended, before, stderr, .. } = Transcript::parse(stderr);
        let status = match ended {
            Some(0) => return Ok(stderr),
            Some(code) => Status { code: Some(code), signal: None },
            None => status,
        };
        let stderr_tail = classify::tail(&(before + &stderr));
        Err(RemoteError::Script { host: self.name.clone(), status, stderr_tail })
    }
}

impl Host for Local {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, script: &str) -> Result<Output, RemoteError> {
        let output = self
            .command(script, Stdout::Limited)?
            .output()
            .map_err(|source| RemoteError::from_process(&self.name, source))?;
        limited(&self.name, &output)?;
        let stderr = self.verdict(output.status, &output.stderr)?;
        Ok(Output { stderr, ..output })
    }

    fn stream(&self, script: &str, on_line: &mut dyn FnMut(&str)) -> Result<Output, RemoteError> {
        let output = stream(&self.name, self.command(script, Stdout::Streamed)?, on_line)?;
        let stderr = self.verdict(output.status, &output.stderr)?;
        Ok(Output { stderr, ..output })
    }
}
