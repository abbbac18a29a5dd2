//! Getting a secret from where a reference says that it is.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, ProcessError};
use feeder_ui::{Exit, Expected};

use crate::value::{SecretRef, SecretSource};

/// A secret, one line of text. Neither `Debug` nor anything else but [`Secret::expose`] gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// One that a host has made.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value: for the standard input of scripts, and for no argument, file, message or log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why there is no secret where a reference says, or one that is of no use. Holds nothing of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}the secret `{reference}` cannot be used: {why}", if place.is_empty() { String::new() } else { format!("{place}: ") })]
pub struct SecretError {
    /// Where the reference stands: file, line and column, a variable or an option. May be empty.
    pub place: String,
    /// The reference.
    pub reference: String,
    /// What is the matter.
    pub why: String,
    /// What to do.
    pub remedy: String,
    /// An interrupt came while a command ran.
    interrupted: bool,
}

impl Expected for SecretError {
    fn exit(&self) -> Exit {
        if self.interrupted { Exit::Interrupted } else { Exit::Input }
    }

    fn hint(&self) -> Option<String> {
        (!self.remedy.is_empty()).then(|| self.remedy.clone())
    }
}

/// What went wrong, and what to do about it.
type Trouble = (String, String);

impl SecretRef {
    /// Gets the value: reads the variable or the file, or runs the command. Blanks and line ends around it do not count.
    ///
    /// # Errors
    /// There is nothing there, it is empty, is no text or more than one line; the file can be read or written by everybody; the
    /// command failed.
    pub fn resolve(&self) -> Result<Secret, SecretError> {
        let text = match &self.source {
            SecretSource::Env(name) => from_env(name),
            SecretSource::File(path) => from_file(&self.base.join(path)),
            SecretSource::Cmd(command) => match self.run(command) {
                Ok(output) => output,
                Err(ProcessError::Interrupted { .. }) => {
                    let stopped = self.refused("interrupted while its command ran", "");
                    return Err(SecretError { interrupted: true, ..stopped });
                }
                Err(error) => Err((error.to_string(), String::new())),
            },
        };
        let text = text.map_err(|(why, remedy)| self.refused(why, remedy))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(self.refused("it is empty", "put the secret there, on one line"));
        }
        if text.chars().any(char::is_control) {
            let why = "it has control characters or more than one line";
            return Err(self.refused(
                why,
                "a secret is one line: cut the others off, as with `cmd:… | head -n 1`",
            ));
        }
        Ok(Secret(text.to_owned()))
    }

    /// As [`Self::resolve`]; none when it is a file that is not there.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn kept(&self) -> Result<Option<Secret>, SecretError> {
        match &self.source {
            SecretSource::File(path) if !self.base.join(path).exists() => Ok(None),
            _ => self.resolve().map(Some),
        }
    }

    /// Writes a secret to the file that this is about, for nobody else to read; what was there is replaced as a whole.
    ///
    /// # Errors
    /// It is no file, or cannot be written.
    pub fn keep(&self, secret: &Secret) -> Result<(), SecretError> {
        let SecretSource::File(path) = &self.source else {
            return Err(self.refused("it is no file, and nothing can be written there", ""));
        };
        let path = self.base.join(path);
        to_file(&path, secret).map_err(|error| {
            let remedy = "check the permissions of its folder, and the room on its disk";
            self.refused(format!("{path} cannot be written: {error}"), remedy)
        })
    }

    /// As [`Self::resolve`], for a password's hash as `/etc/shadow` holds it: yescrypt (`$y$`) or SHA-512 (`$6$`), as crypt(5) says.
    ///
    /// # Errors
    /// Also when it is no such hash, but the password itself, as a rule.
    pub fn password_hash(&self) -> Result<Secret, SecretError> {
        let secret = self.resolve()?;
        if is_hash(secret.expose()) {
            return Ok(secret);
        }
        let why = if secret.expose().starts_with('$') {
            "it is no whole hash of yescrypt (`$y$`) or SHA-512 (`$6$`)"
        } else {
            "it is no hash but, as it seems, the password itself, which goes to no host"
        };
        let remedy = "take what `mkpasswd --method=yescrypt` (package whois) or `openssl passwd -6` prints, all of it; \
                      in a shell between single quotes, where `$` means nothing";
        Err(self.refused(why, remedy))
    }

    /// What the command prints, or what it says when it fails. Its output is in no error.
    fn run(&self, command: &str) -> Result<Result<String, Trouble>, ProcessError> {
        let mut shell = Cmd::new("sh").args(["-c", command]);
        if !self.base.as_str().is_empty() {
            shell = shell.dir(self.base.as_std_path());
        }
        let output = shell.output()?;
        if !output.status.success() {
            let said = output.stderr.trim().lines().last().unwrap_or("it said nothing");
            let said = crate::value::shown(said);
            let remedy =
                format!("see what it does by itself: sh -c {}", feeder_process::quote(command));
            return Ok(Err((format!("its command failed ({}): {said}", output.status), remedy)));
        }
        Ok(String::from_utf8(output.stdout).map_err(|_| not_text()))
    }

    fn refused(&self, why: impl Into<String>, remedy: impl Into<String>) -> SecretError {
        SecretError {
            place: self.place.clone(),
            reference: self.to_string(),
            why: why.into(),
            remedy: remedy.into(),
            interrupted: false,
        }
    }
}

fn not_text() -> Trouble {
    ("it is no text in UTF-8".to_owned(), String::new())
}

fn from_env(name: &str) -> Result<String, Trouble> {
    match std::env::var(name) {
        Ok(text) => Ok(text),
        Err(std::env::VarError::NotPresent) => Err((
            format!("the environment variable {name} is not set"),
            format!(
                "set it for this command, as in `{name}=… cargo xtask provision`, or `export {name}`"
            ),
        )),
        Err(std::env::VarError::NotUnicode(_)) => Err(not_text()),
    }
}

/// Permission bits by which everybody can read or write.
const EVERYBODY: u32 = 0o006;

fn from_file(path: &Utf8Path) -> Result<String, Trouble> {
    let trouble = |error: std::io::Error| {
        let remedy = match error.kind() {
            ErrorKind::NotFound if path.as_str().contains('~') => {
                "write the whole path: `~` means nothing here".to_owned()
            }
            ErrorKind::NotFound => {
                "relative paths begin at the folder of cluster.toml; put the secret there, with `chmod 600`".to_owned()
            }
            ErrorKind::InvalidData => return not_text(),
            _ => "check its permissions and those of the folders above it".to_owned(),
        };
        (format!("{path} cannot be read: {error}"), remedy)
    };
    // The file that is opened is the one that is looked at: what stands at a path may change between two looks.
    let mut file = std::fs::File::open(path).map_err(trouble)?;
    let metadata = file.metadata().map_err(trouble)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & EVERYBODY != 0 {
        let what = if mode & 0o004 != 0 { "read" } else { "written" };
        return Err((
            format!("{path} can be {what} by everybody on this machine (mode {mode:04o})"),
            format!("chmod 600 {}", feeder_process::quote(path.as_str())),
        ));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(trouble)?;
    Ok(text)
}

/// Folders that are missing are made, as closed as the file.
fn to_file(path: &Utf8Path, secret: &Secret) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_str().is_empty());
    if let Some(folder) = folder {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let half = Utf8PathBuf::from(format!("{path}.{}.partial", std::process::id()));
    let written = write_closed(&half, secret).and_then(|()| std::fs::rename(&half, path));
    if written.is_err() {
        // It is of no use; that it cannot be removed is not what went wrong.
        let _ = std::fs::remove_file(&half);
    }
    written
}

fn write_closed(path: &Utf8Path, secret: &Secret) -> std::io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{}\n", secret.0).as_bytes())?;
    file.sync_all()
}

/// crypt(5), `$y$` and `$6$`.
fn is_hash(text: &str) -> bool {
    let fits = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '/');
    let some = |part: &str, most: usize| (1..=most).contains(&part.len()) && fits(part);
    let parts: Vec<&str> = text.split('$').collect();
    match parts.as_slice() {
        ["", "y", parameters, salt, hash] => {
            some(parameters, 16) && salt.len() <= 86 && fits(salt) && hash.len() == 43 && fits(hash)
        }
        ["", "6", salt, hash] => some(salt, 16) && hash.len() == 86 && fits(hash),
        ["", "6", rounds, salt, hash] => {
            let rounds = rounds.strip_prefix("rounds=").is_some_and(|n| n.parse::<u32>().is_ok());
            rounds && some(salt, 16) && hash.len() == 86 && fits(hash)
        }
        _ => false,
    }
}
