//! One run at a time changes a master.

use camino::Utf8Path;
use feeder_process::quote;
use feeder_remote::{HELD, Held, Host, RemoteError, Ssh};

use crate::ProvisionError;

/// The folder of the lock, on the master.
const FOLDER: &str = "/run/feeder";
/// The status of the script when somebody else has the lock.
const TAKEN: i32 = 75;

/// The right to change a master. It goes when this is dropped, when this process ends, and when the connection is lost.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: Held,
}

impl Lock {
    /// Takes the lock of a master, and says there who has it and for what.
    pub(crate) fn take(host: &Ssh, what: &str) -> Result<Self, ProvisionError> {
        let script = script(FOLDER, &Holder::this(what));
        let taken = match host.hold(&script) {
            Err(RemoteError::Script { status, stderr_tail, .. }) if status.code == Some(TAKEN) => {
                stderr_tail
            }
            other => return Ok(Self { _held: other? }),
        };
        let by = Holder::parse(&taken);
        let Some(by) = by.filter(Holder::is_gone) else {
            let by = taken.lines().next().unwrap_or_default().to_owned();
            return Err(ProvisionError::Locked { host: host.name().to_owned(), by });
        };
        // A run of ours that lost its connection: the master would wait for it as long as TCP does.
        host.run(&format!("kill {} 2>/dev/null || :", by.shell))?;
        Ok(Self { _held: host.hold(&script)? })
    }
}

/// Who has the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    /// For people.
    words: String,
    /// The start of the machine that it runs on.
    boot: String,
    /// Its process there.
    process: u32,
    /// The process on the master that holds the lock.
    shell: u32,
}

impl Holder {
    fn this(what: &str) -> Self {
        let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
        let kernel = |name: &str| {
            let text = fs_err::read_to_string(format!("/proc/sys/kernel/{name}"));
            text.map(|text| text.trim().to_owned()).unwrap_or_default()
        };
        let process = std::process::id();
        Self {
            words: format!(
                "{user} on {} (`cargo xtask {what}`, process {process})",
                kernel("hostname")
            ),
            boot: kernel("random/boot_id"),
            process,
            shell: 0,
        }
    }

    /// What a holder has written.
    fn parse(text: &str) -> Option<Self> {
        let (words, marks) = text.trim().split_once('\n')?;
        let mut marks = marks.split_whitespace();
        let boot = marks.next()?.to_owned();
        let mut number = || marks.next()?.parse().ok();
        Some(Self { words: words.to_owned(), boot, process: number()?, shell: number()? })
    }

    /// It ran on this machine, since it was started, and does not any more.
    fn is_gone(&self) -> bool {
        let here = Self::this("");
        let process = format!("/proc/{}", self.process);
        !here.boot.is_empty() && self.boot == here.boot && !Utf8Path::new(&process).exists()
    }
}

/// The lock lies on a file that is never removed: who waits for it would wait for another one. A run that has just ended gives it
/// back within two seconds, for which the next one waits.
fn script(folder: &str, holder: &Holder) -> String {
    let (folder, words) = (quote(folder), quote(&holder.words));
    let marks = format!("{} {}", holder.boot, holder.process);
    format!(
        "[ -d {folder} ] || mkdir -p {folder} || exit
exec 9>>{folder}/run.lock || exit
if ! flock -w 8 9; then cat {folder}/run.lock >&2; exit {TAKEN}; fi
{{ printf '%s since %s\\n{marks} ' {words} \"$(date '+%H:%M:%S')\"; sh -c 'echo $PPID'; }} >{folder}/run.lock
echo {HELD} >&2
# Ends when nobody listens any more.
while echo; do sleep 2 9>&-; done
"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use feeder_process::{Child, Cmd, interrupt};

    use super::*;
    use crate::part::tests::shell_accepts;

    /// A run that has the lock, in a subshell as on a host.
    fn holds(script: &str) -> Child {
        let script = format!("(\n{}\n)", script.replace("while echo", "while :"));
        let held = Cmd::new("sh").stdin(script).spawn().expect("sh");
        while !held.stderr_tail().contains(HELD) {
            assert_eq!(held.try_wait(), None, "{}", held.stderr_tail());
            assert!(!interrupt::wait_timeout(Duration::from_millis(5)));
        }
        held
    }

    /// A run that does not wait for it.
    fn tries(folder: &str) -> feeder_process::Output {
        let script = script(folder, &Holder::this("provision"));
        let script = script.replace("while echo", "while false").replace("-w 8", "-n");
        Cmd::new("sh").stdin(script).output().expect("sh")
    }

    #[test]
    fn a_second_one_is_told_who_has_it() {
        let guard = tempfile::tempdir().expect("a folder");
        let folder = guard.path().to_str().expect("UTF-8");
        let words = "pi's friend on `rack` (`cargo xtask provision`, process 7)";
        let first = Holder { words: words.into(), ..Holder::this("provision") };
        shell_accepts(&script(folder, &first));
        let held = holds(&script(folder, &first));
        let output = tries(folder);
        assert_eq!(output.status.code, Some(TAKEN));
        assert!(output.stderr.starts_with(&format!("{words} since ")), "{}", output.stderr);
        drop(held);
        let output = tries(folder);
        assert_eq!((output.status.code, output.stderr.trim()), (Some(0), HELD));
    }

    #[test]
    fn a_run_of_this_machine_that_is_gone_can_be_told_and_ended() {
        let guard = tempfile::tempdir().expect("a folder");
        let folder = guard.path().to_str().expect("UTF-8");
        let held = holds(&script(folder, &Holder::this("provision")));
        let by = Holder::parse(&tries(folder).stderr).expect("it is understood");
        assert!(!by.is_gone(), "this very process");
        assert!(!Holder { process: u32::MAX, boot: "another".into(), ..by.clone() }.is_gone());
        assert!(Holder { process: u32::MAX, ..by.clone() }.is_gone());
        // Its shell is what holds the lock, not one above it.
        Cmd::new("kill").arg(by.shell.to_string()).run().expect("it can be ended");
        held.wait();
        let waits = script(folder, &Holder::this("provision")).replace("while echo", "while false");
        assert_eq!(Cmd::new("sh").stdin(waits).output().expect("sh").status.code, Some(0));
        assert_eq!(Holder::parse(""), None);
        assert_eq!(Holder::parse("an older program's words\n"), None);
    }
}
