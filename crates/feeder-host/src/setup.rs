//! Bringing what is missing.

use camino::Utf8PathBuf;
use feeder_process::{ProcessError, interrupt};
use feeder_ui::{Answer, Progress, plural};

use crate::{
    Distribution, Host, HostError, Look, Need, NotInstalled, Privilege, Supply, TOOLS, ToolStatus,
    apt::{self, Backports},
    binfmt, inventory_of,
};

/// The release whose own QEMU is too old.
const OLD_QEMU: &str = "bookworm";

/// Whether something may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Ask on the terminal; without a terminal the answer is no.
    Ask,
    /// The user said yes beforehand.
    Given,
}

impl Consent {
    /// Given by the flag `--yes`, or by `CI=true` in the environment.
    pub fn from_flag(yes: bool) -> Self {
        if yes || crate::host::in_ci() { Self::Given } else { Self::Ask }
    }
}

/// One change to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Adds a source of packages.
    AddSource {
        /// The suite it is for.
        suite: String,
        /// The file, which is new.
        file: Utf8PathBuf,
        /// Its text, deb822.
        text: String,
    },
    /// Has apt read its sources again.
    Update,
    /// Installs packages.
    Install {
        /// Debian packages.
        packages: Vec<&'static str>,
        /// The suite to take them from, when it is not the release itself.
        suite: Option<String>,
    },
    /// Mounts `binfmt_misc` and registers qemu for arm64, where the packages did not.
    RegisterArm64,
}

impl Action {
    /// What it does, for people.
    pub fn summary(&self) -> String {
        match self {
            Self::AddSource { suite, file, .. } => {
                format!(
                    "add {suite} to apt's sources, for a newer QEMU ({file}, copied from this machine's own sources)"
                )
            }
            Self::Update => "read the package lists".into(),
            Self::Install { packages, suite: None } => format!("install {}", packages.join(" ")),
            Self::Install { packages, suite: Some(suite) } => {
                format!("install {} from {suite}", packages.join(" "))
            }
            Self::RegisterArm64 => {
                "mount binfmt_misc and register qemu-aarch64 with the kernel".into()
            }
        }
    }

    /// The change as shell commands. `sudo` goes before each that needs root: empty for root, else `sudo ` or the like.
    ///
    /// What is printed for people to type is what is run.
    pub fn script(&self, host: &Host, sudo: &str) -> String {
        match self {
            Self::AddSource { file, text, .. } => {
                format!("{sudo}tee {file} >/dev/null <<'END'\n{text}END\n")
            }
            Self::Update => format!("{sudo}apt-get -o DPkg::Lock::Timeout=300 update\n"),
            Self::Install { packages, suite } => {
                let from = suite.as_ref().map(|suite| format!("-t {suite} ")).unwrap_or_default();
                format!(
                    "{sudo}env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install --yes \
                     --no-install-recommends {from}{}\n",
                    packages.join(" ")
                )
            }
            Self::RegisterArm64 => {
                let registry = host.file(binfmt::REGISTRY);
                let conf = host.file("/usr/lib/binfmt.d/qemu-aarch64.conf");
                // One registration, with the flag F: what it was before, if anything, cannot be used.
                format!(
                    "[ -e {registry}/register ] || {sudo}mount -t binfmt_misc binfmt_misc {registry}\n\
                     [ ! -e {registry}/qemu-aarch64 ] || echo -1 | {sudo}tee {registry}/qemu-aarch64 >/dev/null\n\
                     sed -e '/^:qemu-aarch64:/!d' -e '/:[A-Z]*F[A-Z]*$/!s/$/F/' {conf} | {sudo}tee {registry}/register >/dev/null\n"
                )
            }
        }
    }
}

/// The changes that bring what is missing to a Debian machine, in order. Nothing missing: no changes.
///
/// # Errors
/// [`NotInstalled::NotDebian`], and [`NotInstalled::NoSource`] when nothing says where backports would come from.
pub fn plan(
    host: &Host,
    distribution: &Distribution,
    missing: &[&ToolStatus],
) -> Result<Vec<Action>, NotInstalled> {
    if !distribution.is_debian() {
        return Err(NotInstalled::NotDebian { system: distribution.pretty_name.clone() });
    }
    let codename = &distribution.codename;
    let (mut stable, mut newer) = (Vec::new(), Vec::new());
    for tool in missing {
        match tool.supply {
            Supply::NewerThanBookworm(package) if codename == OLD_QEMU => newer.push(package),
            Supply::NewerThanBookworm(package) | Supply::Package(package) => stable.push(package),
            // What is optional here is not missing.
            Supply::PackageInCi(_) | Supply::Optional => {}
        }
    }
    let mut actions = Vec::new();
    if !newer.is_empty() {
        let suite = format!("{codename}-backports");
        match apt::backports(host, codename) {
            Backports::Enabled => {}
            Backports::Add(text) => {
                let file = host.file("/etc/apt/sources.list.d/feeder-backports.sources");
                actions.push(Action::AddSource { suite, file, text });
            }
            Backports::NoSource => {
                return Err(NotInstalled::NoSource { codename: codename.clone() });
            }
        }
    }
    if !(stable.is_empty() && newer.is_empty()) {
        actions.push(Action::Update);
    }
    for (mut packages, suite) in [(stable, None), (newer, Some(format!("{codename}-backports")))] {
        packages.sort_unstable();
        packages.dedup();
        if !packages.is_empty() {
            actions.push(Action::Install { packages, suite });
        }
    }
    if missing.iter().any(|tool| is_registration(tool)) {
        actions.push(Action::RegisterArm64);
    }
    Ok(actions)
}

fn is_registration(status: &ToolStatus) -> bool {
    TOOLS.iter().any(|tool| tool.name == status.name && matches!(tool.look, Look::Arm64Programs))
}

/// [`crate::require`] on a machine of the caller's choice.
///
/// # Errors
/// As [`crate::require`].
pub fn require_on(
    host: &Host,
    needs: &[Need],
    consent: Consent,
    progress: &Progress,
) -> Result<(), HostError> {
    bring(host, needs, progress, &|question| match consent {
        Consent::Given => Answer::Yes,
        Consent::Ask => feeder_ui::ask(question, &interrupt::requested),
    })
}

fn bring(
    host: &Host,
    needs: &[Need],
    progress: &Progress,
    ask: &dyn Fn(&str) -> Answer,
) -> Result<(), HostError> {
    let task = progress.task("tools");
    let tools = inventory_of(host, needs);
    let required = tools.iter().filter(|tool| tool.supply != Supply::Optional).count();
    let missing: Vec<&ToolStatus> = tools.iter().filter(|tool| tool.is_missing()).collect();
    task.done(format!("{} of {required} present", required - missing.len()));
    if missing.is_empty() {
        return Ok(());
    }

    let names = || missing.iter().map(|tool| tool_line(tool)).collect::<Vec<_>>();
    let actions = plan(host, &host.distribution(), &missing)
        .map_err(|why| HostError::missing(names(), advice(host, &missing, &why), why))?;
    let refuse = |why| HostError::missing(names(), commands(host, &actions), why);
    let sudo = match host.privilege {
        Privilege::Root => "",
        Privilege::NotRoot if host.sudo_is_free() => "sudo -n ",
        Privilege::NotRoot => return Err(refuse(NotInstalled::NoRoot)),
    };
    names().iter().for_each(|line| progress.note(format!("  missing    {line}")));
    actions.iter().for_each(|action| progress.note(format!("  will       {}", action.summary())));
    match ask(&format!("Install {} now?", plural(missing.len(), "missing tool"))) {
        Answer::Yes => {}
        Answer::No => return Err(refuse(NotInstalled::Declined)),
        Answer::NoTerminal => return Err(refuse(NotInstalled::NoTerminal)),
        Answer::Stopped => return Err(HostError::Interrupted),
    }

    for action in &actions {
        if matches!(action, Action::RegisterArm64) && binfmt::why_not(host).is_none() {
            // The packages' own scripts did it, as they do where systemd runs.
            continue;
        }
        run(host, action, sudo, progress)?;
    }
    let still: Vec<String> =
        inventory_of(host, needs).iter().filter(|tool| tool.is_missing()).map(tool_line).collect();
    if still.is_empty() { Ok(()) } else { Err(HostError::StillMissing { tools: still }) }
}

fn run(host: &Host, action: &Action, sudo: &str, progress: &Progress) -> Result<(), HostError> {
    let task = progress.task("setup");
    task.say(action.summary());
    let script = format!("set -e\n{}", action.script(host, sudo));
    let shell = host.program("sh").unwrap_or_else(|| "/bin/sh".into());
    let result = host.command(shell).stdin(script).stream(|_, line| task.say(line));
    match result {
        Ok(_) => {
            task.done(action.summary());
            Ok(())
        }
        Err(ProcessError::Interrupted { .. }) => Err(HostError::Interrupted),
        Err(source) => {
            task.failed(action.summary());
            Err(HostError::Step {
                doing: action.summary(),
                command: action.script(host, sudo),
                source,
            })
        }
    }
}

fn tool_line(tool: &ToolStatus) -> String {
    format!("{}: {} (used to {})", tool.name, tool.state(), tool.purpose)
}

fn commands(host: &Host, actions: &[Action]) -> Vec<String> {
    let sudo = if host.privilege == Privilege::Root { "" } else { "sudo " };
    let scripts: Vec<String> = actions.iter().map(|action| action.script(host, sudo)).collect();
    scripts.iter().flat_map(|script| script.lines().map(str::to_owned)).collect()
}

/// What to type where we cannot say for certain.
fn advice(host: &Host, missing: &[&ToolStatus], why: &NotInstalled) -> Vec<String> {
    let mut packages: Vec<&str> = missing.iter().filter_map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let has_apt = host.program("apt-get").is_some();
    match why {
        NotInstalled::NotDebian { .. } if !has_apt => {
            vec![format!("# Debian calls the packages: {}", packages.join(" "))]
        }
        _ => commands(host, &[Action::Update, Action::Install { packages, suite: None }]),
    }
}
