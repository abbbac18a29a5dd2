//! Asking a host about everything in one round trip.

use std::{collections::BTreeSet, fmt::Write};

use camino::Utf8Path;
use feeder_process::{Output, quote};
use feeder_remote::{Host, RemoteError};
use feeder_ui::{Exit, Expected};

use crate::{Facts, FactsError, Resource, Step, StepsError, check, facts};

/// The largest file whose content is fetched to show a difference, in bytes.
const SHOWN: usize = 64 << 10;
/// Paths in one command line.
const CHUNK: usize = 500;

/// Why a host's state is not known.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The steps make no sense.
    #[error(transparent)]
    Steps(#[from] StepsError),
    /// The host could not be asked.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// Its answer is not understood.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// It answered, but is not what we can work with.
    #[error("{host} cannot be examined: {}{}", problems.join("; "), in_brackets(said))]
    Host {
        /// Its name.
        host: String,
        /// What is wrong.
        problems: Vec<String>,
        /// The last line it said about that; may be empty.
        said: String,
    },
}

impl Expected for GatherError {
    fn exit(&self) -> Exit {
        match self {
            Self::Steps(error) => error.exit(),
            Self::Remote(error) => error.exit(),
            Self::Facts(_) | Self::Host { .. } => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Remote(error) => error.hint(),
            Self::Host { problems, .. } => {
                let system =
                    |problem: &String| problem.contains("dpkg") || problem.contains("systemd");
                let lacking = problems.iter().any(system);
                lacking.then(|| "a node needs a Debian-like system that runs systemd".into())
            }
            Self::Steps(_) | Self::Facts(_) => None,
        }
    }
}

/// Asks a host about all resources of all steps. One round trip; changes nothing.
///
/// # Errors
/// Every [`GatherError`].
pub fn gather(host: &dyn Host, steps: &[Step]) -> Result<Facts, GatherError> {
    let question = Question::about(steps)?;
    question.read(host.name(), &host.run(question.script())?)
}

/// What [`gather`] asks, for whoever asks more in the same round trip. Equal questions have equal answers, whatever led to them.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    script: String,
    units: Vec<String>,
}

// Probes may carry secrets.
impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Question({} bytes)", self.script.len())
    }
}

impl Question {
    /// About all resources of these steps.
    ///
    /// # Errors
    /// The steps make no sense.
    pub fn about(steps: &[Step]) -> Result<Self, StepsError> {
        let steps = check::check(steps)?;
        Ok(Self { script: script(&steps), units: units(&steps) })
    }

    /// The script that prints the answer.
    #[must_use]
    pub fn script(&self) -> &str {
        &self.script
    }

    /// What a host's answer says.
    ///
    /// # Errors
    /// [`GatherError::Facts`] or [`GatherError::Host`].
    pub fn read(&self, host: &str, answer: &Output) -> Result<Facts, GatherError> {
        let (facts, problems) = facts::parse(host, &answer.stdout_text(), &self.units)?;
        if problems.is_empty() {
            return Ok(facts);
        }
        let said = answer.stderr.trim().lines().last().unwrap_or_default().to_owned();
        Err(GatherError::Host { host: host.to_owned(), problems, said })
    }
}

/// The units that have to be asked about, in the order in which they are.
fn units(steps: &[Step]) -> Vec<String> {
    let names: BTreeSet<&str> = steps
        .iter()
        .flat_map(|step| &step.resources)
        .filter_map(|resource| match resource {
            Resource::Unit(unit) => Some(unit.name.as_str()),
            _ => None,
        })
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

const PRELUDE: &str = r#"run=${FEEDER_RUN:-/run/feeder}
nl='
'
sums=
sum() {
  for p; do shift; if [ -f "$p" ] && [ ! -L "$p" ]; then set -- "$@" "$p"; fi; done
  [ $# = 0 ] || sums="$sums$(sha256sum "$@")$nl"
}
content() {
  case $sums in *"$2  ${3-$1}$nl"*) return ;; esac
  if [ -f "$1" ] && [ ! -L "$1" ] && [ "$(wc -c <"$1")" -le 65536 ]; then
    printf 'content\t%s\t' "$1"; base64 <"$1" | tr -d '\n'; echo
  fi
}
link() { if [ -L "$1" ]; then printf 'link\t%s\t%s\n' "$1" "$(readlink "$1")"; fi; }
task() {
  state=$(eval "$2"); status=$?
  case $state in
    *"$nl"*) printf 'problem\tthe probe of task %s printed more than one line\n' "$1" ;;
    *) printf 'task\t%s\t%s\t%s\n' "$1" "$status" "$state" ;;
  esac
}
"#;

/// The script that prints the facts. POSIX sh; for every path, package and unit together one process each, and one
/// more for every file that is not as wanted.
#[must_use]
pub fn script(steps: &[Step]) -> String {
    let resources: Vec<&Resource> = steps.iter().flat_map(|step| &step.resources).collect();
    let paths: Vec<&Utf8Path> = resources.iter().filter_map(|resource| resource.path()).collect();
    let mut files = Vec::new();
    let mut shown = String::new();
    let mut links = String::new();
    let mut packages = Vec::new();
    let mut tasks = String::new();
    let mut hostname = "";
    for resource in &resources {
        match resource {
            Resource::File(file) => {
                files.push(file.path.as_path());
                if !file.secret && file.content.bytes().len() <= SHOWN {
                    let path = file.path.as_str();
                    // GNU's sha256sum doubles backslashes, which names of units have.
                    let line = if path.contains('\\') {
                        format!(" {}", quote(&path.replace('\\', "\\\\")))
                    } else {
                        String::new()
                    };
                    let sum = file.content.sha256();
                    push(&mut shown, format_args!("content {} {sum}{line}", quote(path)));
                }
            }
            Resource::Symlink(link) => {
                push(&mut links, format_args!("link {}", quote(link.path.as_str())));
            }
            Resource::Package(name) => packages.push(name.as_str()),
            Resource::Task(task) => {
                push(&mut tasks, format_args!("task {} {}", quote(&task.id), quote(&task.probe)));
            }
            Resource::Hostname(_) => hostname = HOSTNAME,
            Resource::Directory(_) | Resource::Absent(_) | Resource::Unit(_) => {}
        }
    }
    let mut out = String::from(PRELUDE);
    push(&mut out, format_args!("echo '{}'", facts::HEADER));
    for chunk in paths.chunks(CHUNK) {
        // Missing paths are the usual case: what stat says about them is noise.
        push(
            &mut out,
            format_args!("stat -c 'path\t%f\t%u\t%g\t%U\t%G\t%s\t%n' {} 2>/dev/null", words(chunk)),
        );
    }
    out.push_str(&links);
    if !files.is_empty() {
        for chunk in files.chunks(CHUNK) {
            push(&mut out, format_args!("sum {}", words(chunk)));
        }
        push(&mut out, format_args!("echo sums; printf '%s\\n' \"$sums\"; echo end"));
        out.push_str(&shown);
    }
    if !packages.is_empty() {
        push(
            &mut out,
            format_args!(
                "if command -v dpkg-query >/dev/null; then\n\
             dpkg-query -W -f='package\\t${{Package}}\\t${{db:Status-Abbrev}}\\t${{Version}}\\n' {} 2>/dev/null\n\
             else printf 'problem\\tit has no dpkg\\n'; fi",
                packages.join(" ")
            ),
        );
    }
    let units = units(steps);
    if !units.is_empty() {
        let names: Vec<_> = units.iter().map(|unit| quote(unit)).collect();
        push(
            &mut out,
            format_args!(
                "echo units; systemctl show -p LoadState,ActiveState,SubState,UnitFileState {}; s=$?; echo end\n\
             [ $s = 0 ] || printf 'problem\\tits systemd does not answer (status %s)\\n' $s",
                names.join(" ")
            ),
        );
    }
    out.push_str(hostname);
    out.push_str(&tasks);
    if steps.iter().any(|step| !step.notify.is_empty() || !step.resources.is_empty()) {
        out.push_str(PENDING);
    }
    push(&mut out, format_args!("echo '{}'", facts::END));
    out
}

const HOSTNAME: &str = r#"running= configured=
read -r running </proc/sys/kernel/hostname
[ ! -r /etc/hostname ] || read -r configured </etc/hostname
printf 'hostname\t%s\t%s\n' "$running" "$configured"
"#;

const PENDING: &str = r#"for p in "$run"/pending/*; do [ ! -e "$p" ] || printf 'pending\t%s\n' "${p##*/}"; done
"#;

fn in_brackets(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn words(paths: &[&Utf8Path]) -> String {
    let words: Vec<_> = paths.iter().map(|path| quote(path.as_str())).collect();
    words.join(" ")
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}
