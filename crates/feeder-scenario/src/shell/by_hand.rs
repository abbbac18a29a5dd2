//! A machine's QEMU command, for somebody who starts it without us.

use camino::{Utf8Path, Utf8PathBuf};
use feeder_ui::{Exit, Expected};

/// A machine's QEMU command as its last boot left it in the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// One line for a shell. The console is on the terminal; Ctrl-A X ends the machine.
    pub command: String,
    /// Files and directories of the run that the command needs and that are gone, in the order of the command.
    pub missing: Vec<Utf8PathBuf>,
}

/// A machine never was started, or its evidence is gone.
#[derive(Debug, thiserror::Error)]
pub enum NotByHand {
    /// There is no such run.
    #[error("there is no run at {run}")]
    NoRun {
        /// Its directory.
        run: Utf8PathBuf,
    },
    /// The run has no such machine, or the machine never came to its kernel.
    #[error("{node} was never started in this run")]
    NeverStarted {
        /// The machine.
        node: String,
        /// Those that were started.
        started: Vec<String>,
    },
}

impl Expected for NotByHand {
    fn exit(&self) -> Exit {
        Exit::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRun { .. } => {
                Some("run the scenario first, or name the directory of a run".into())
            }
            Self::NeverStarted { started, .. } if started.is_empty() => None,
            Self::NeverStarted { started, .. } => Some(format!("started: {}", started.join(", "))),
        }
    }
}

/// The QEMU command of a machine of a run, and what it would miss.
///
/// # Errors
/// There is none.
pub fn by_hand(run: &Utf8Path, node: &str) -> Result<ByHand, NotByHand> {
    if !run.is_dir() {
        return Err(NotByHand::NoRun { run: run.to_owned() });
    }
    let never = || NotByHand::NeverStarted { node: node.to_owned(), started: started(run) };
    let text = fs_err::read_to_string(run.join(node).join("command.sh")).map_err(|_| never())?;
    let command = text.trim_end().to_owned();
    let missing = files(&command).into_iter().filter(|file| !file.exists()).collect();
    Ok(ByHand { command, missing })
}

fn started(run: &Utf8Path) -> Vec<String> {
    let entries = run.read_dir_utf8().into_iter().flatten().flatten();
    let started = entries.filter(|entry| entry.path().join("command.sh").is_file());
    let mut names: Vec<String> = started.map(|entry| entry.file_name().to_owned()).collect();
    names.sort();
    names
}

/// The files that a command needs: what follows `-kernel`, `-initrd` and `-dtb`, and disks. Of a socket, which QEMU makes
/// itself, its directory.
fn files(command: &str) -> Vec<Utf8PathBuf> {
    let mut files = Vec::new();
    let mut last = "";
    for word in command.split_whitespace().map(|word| word.trim_matches('\'')) {
        if ["-kernel", "-initrd", "-dtb"].contains(&last) {
            files.push(word.into());
        }
        for part in word.split(',') {
            if let Some((key, file)) = part.split_once('=')
                && (key == "file" || key.ends_with(".filename"))
            {
                files.push(file.into());
            }
            if let Some(socket) = part.strip_prefix("local.path=") {
                files.extend(Utf8Path::new(socket).parent().map(Utf8Path::to_owned));
            }
        }
        last = word;
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_comes_with_what_it_would_miss() {
        let guard = tempfile::tempdir().unwrap();
        let run = Utf8Path::from_path(guard.path()).unwrap();
        let error = by_hand(run, "cluster01").unwrap_err();
        assert_eq!((error.exit(), error.hint()), (Exit::Input, None));

        fs_err::create_dir(run.join("cluster00")).unwrap();
        let kernel = run.join("cluster00.kernel");
        let line = format!(
            "qemu-system-aarch64 -kernel {kernel} -append 'a b' -drive if=none,file={run}/sd.img,format=raw \
             -drive if=none,driver=blklogwrites,file.file.filename={run}/ssd.img \
             -netdev dgram,id=net0,local.type=unix,local.path={run}/sockets/q,remote.type=unix\n"
        );
        fs_err::write(run.join("cluster00/command.sh"), &line).unwrap();
        let seen = by_hand(run, "cluster00").unwrap();
        assert_eq!(seen.command, line.trim_end());
        assert_eq!(
            seen.missing,
            [kernel.clone(), run.join("sd.img"), run.join("ssd.img"), run.join("sockets")]
        );
        for file in [&kernel, &run.join("sd.img"), &run.join("ssd.img")] {
            fs_err::write(file, "").unwrap();
        }
        fs_err::create_dir(run.join("sockets")).unwrap();
        assert_eq!(by_hand(run, "cluster00").unwrap().missing, Vec::<Utf8PathBuf>::new());

        let error = by_hand(run, "cluster01").unwrap_err();
        assert_eq!(error.hint().as_deref(), Some("started: cluster00"));
        let gone = by_hand(&run.join("gone"), "cluster00").unwrap_err();
        assert!(matches!(gone, NotByHand::NoRun { .. }));
    }
}
