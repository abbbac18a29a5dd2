//! The socket by which scripts share one connection, and the folder it lies in.

use std::{
    env,
    fs::{File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Once,
};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_process::{Cmd, lease};
use tempfile::TempDir;

/// How the folders' names begin.
const PREFIX: &str = "feeder-ssh-";
/// The socket in it.
const SOCKET: &str = "c";
/// The program in it that ssh asks for a password, and for what else it would ask a person.
const ASKPASS: &str = "askpass";
/// The variable in which that program finds the password.
pub(crate) const PASSWORD: &str = "FEEDER_LOGIN_PASSWORD";
/// It answers for the account and for nothing else: not for a key, nor whether a host is the right one.
const ANSWER: &str = r#"#!/bin/sh
case $1 in
  *[Pp]assword:*) printf '%s\n' "$FEEDER_LOGIN_PASSWORD" ;;
  *) exit 1 ;;
esac
"#;
/// The longest folder for the control socket, in bytes: a socket's path may have 107, and ssh appends 18 while it
/// makes one.
const SOCKET_FOLDER: usize = 40;

/// A folder for one control socket, for our eyes only, with a short path. Dropping it closes the connection and removes
/// the folder.
#[derive(Debug)]
pub(crate) struct Control {
    socket: Utf8PathBuf,
    _folder: TempDir,
    // Released last: until then nobody else cleans here.
    _lease: File,
}

impl Control {
    /// Makes the folder, and the first time sweeps away those of processes that were killed: who waits for a host makes one
    /// every second.
    pub(crate) fn new() -> io::Result<Self> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| {
            sweep();
        });
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(base())?;
        let lease = lease::take(folder.path())?;
        let socket = Utf8PathBuf::try_from(folder.path().join(SOCKET))
            .map_err(camino::FromPathBufError::into_io_error)?;
        Ok(Self { socket, _folder: folder, _lease: lease })
    }

    pub(crate) fn socket(&self) -> &Utf8Path {
        &self.socket
    }

    /// Puts the program there that ssh asks.
    pub(crate) fn answer_questions(&self) -> io::Result<()> {
        let askpass = self.askpass();
        std::fs::write(&askpass, ANSWER)?;
        std::fs::set_permissions(&askpass, Permissions::from_mode(0o700))
    }

    /// The program that ssh asks.
    pub(crate) fn askpass(&self) -> Utf8PathBuf {
        self.socket.with_file_name(ASKPASS)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        close(self.socket.as_std_path());
    }
}

/// Closes the connections of processes that were killed, and removes their folders: as a rule ssh keeps a connection for
/// a minute more, and the folder for ever. Gives how many there were. Those of processes that live are not touched, nor
/// those of other users.
pub fn sweep() -> usize {
    sweep_in(&base())
}

fn sweep_in(base: &Path) -> usize {
    let entries = base.read_dir().into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|entry| entry.path())
        .filter(|folder| lease::is_over(folder))
        .filter(|folder| {
            close(&folder.join(SOCKET));
            std::fs::remove_dir_all(folder).is_ok()
        })
        .count()
}

/// Ends the connection behind a socket, if there is one.
fn close(socket: &Path) {
    if !socket.exists() {
        return;
    }
    let mut path = std::ffi::OsString::from("ControlPath=");
    path.push(socket);
    // Options before the destination: `-O exit` speaks to the shared connection and to nobody else, whatever its name.
    let arguments = ["-F", "none", "-O", "exit", "-o"].map(Into::into).into_iter();
    let arguments = arguments.chain([path, "--".into(), "shared".into()]);
    // A connection that is gone already is what we want.
    drop(Cmd::new("ssh").args(arguments).even_if_interrupted().output());
}

fn base() -> PathBuf {
    let wanted = env::temp_dir();
    if wanted.as_os_str().len() <= SOCKET_FOLDER { wanted } else { "/tmp".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_dead_go_and_those_of_the_living_stay() {
        let guard = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = guard.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let dead = folder("feeder-ssh-dead");
        drop(lease::take(&dead).unwrap());
        let alive = folder("feeder-ssh-alive");
        let _lease = lease::take(&alive).unwrap();
        let foreign = folder("other");
        drop(lease::take(&foreign).unwrap());
        assert_eq!(sweep_in(guard.path()), 1);
        assert!(!dead.exists() && alive.exists() && foreign.exists());
    }

    #[test]
    fn ssh_is_told_the_password_and_nothing_else() {
        let control = Control::new().unwrap();
        control.answer_questions().unwrap();
        let asked = |question: &str| {
            let answer = Cmd::new(control.askpass().into_std_path_buf())
                .arg(question)
                .env(PASSWORD, "hunter2 -n")
                .output()
                .unwrap();
            answer.stdout_text()
        };
        assert_eq!(asked("pi@192.168.1.37's password: "), "hunter2 -n\n");
        assert_eq!(asked("(pi@192.168.1.37) Password: "), "hunter2 -n\n");
        assert_eq!(asked("Enter passphrase for key '/home/me/.ssh/id_ed25519': "), "");
        assert_eq!(asked("Are you sure you want to continue connecting (yes/no)? "), "");
    }

    #[test]
    fn it_is_gone_when_it_is_dropped() {
        let control = Control::new().unwrap();
        let folder = control.socket().parent().unwrap().to_owned();
        assert!(folder.join(lease::LOCK).exists());
        drop(control);
        assert!(!folder.exists());
    }
}
