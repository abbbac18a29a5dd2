//! What is there.

use std::{path::Path, thread};

use serde::Serialize;

use crate::{Host, Look, Need, Privilege, Supply, TOOLS, Tool, Version, binfmt};

/// The state of one tool.
#[derive(Debug, Clone, Serialize)]
pub struct ToolStatus {
    /// What it is called.
    pub name: &'static str,
    /// What it is used to do.
    pub purpose: &'static str,
    /// Who needs it.
    pub needs: &'static [Need],
    /// The Debian package; `None` for what is used when it is there.
    pub package: Option<&'static str>,
    /// The least version, when it matters.
    pub least: Option<Version>,
    /// What was found.
    pub verdict: Verdict,
    #[serde(skip)]
    pub(crate) supply: Supply,
}

/// What was found of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Verdict {
    /// It is there, and new enough.
    Present {
        /// Its version, where one is asked for.
        version: Option<Version>,
    },
    /// It is there and too old.
    TooOld {
        /// Its version.
        version: Version,
    },
    /// It is there and not usable.
    Unusable {
        /// The reason, as the end of a sentence that begins with its name.
        why: String,
    },
    /// It is not there.
    Absent,
}

impl ToolStatus {
    /// Whether it can be used.
    pub fn is_present(&self) -> bool {
        matches!(self.verdict, Verdict::Present { .. })
    }

    /// Whether the work that needs it cannot be done.
    pub fn is_missing(&self) -> bool {
        !self.is_present() && self.supply != Supply::Optional
    }

    /// Its state in a few words: `10.0.2`, `present`, `7.2.15, needed is 8.2 or newer`, `missing`.
    pub fn state(&self) -> String {
        match (&self.verdict, &self.least) {
            (Verdict::Present { version: Some(version) }, _) => version.to_string(),
            (Verdict::Present { version: None }, _) => "present".into(),
            (Verdict::TooOld { version }, Some(least)) => {
                format!("{version}, needed is {least} or newer")
            }
            (Verdict::TooOld { version }, None) => format!("{version} is too old"),
            (Verdict::Unusable { why }, _) => why.clone(),
            (Verdict::Absent, _) if self.supply == Supply::Optional => {
                "not there (optional)".into()
            }
            (Verdict::Absent, Some(least)) => format!("missing, needed is {least} or newer"),
            (Verdict::Absent, None) => "missing".into(),
        }
    }
}

/// The state of every tool that one of `needs` needs, in the table's order. Versions are asked for in parallel.
pub fn inventory_of(host: &Host, needs: &[Need]) -> Vec<ToolStatus> {
    let tools: Vec<&Tool> =
        TOOLS.iter().filter(|tool| tool.needs.iter().any(|need| needs.contains(need))).collect();
    thread::scope(|scope| {
        let checks: Vec<_> =
            tools.into_iter().map(|tool| (tool, scope.spawn(|| look(host, tool)))).collect();
        checks
            .into_iter()
            .map(|(tool, check)| status(host, tool, check.join().expect("a check does not panic")))
            .collect()
    })
}

fn status(host: &Host, tool: &Tool, verdict: Verdict) -> ToolStatus {
    let least = match tool.look {
        Look::Versioned { least, .. } => least.parse().ok(),
        _ => None,
    };
    let Tool { name, purpose, needs, .. } = *tool;
    let supply = tool.supply.on(host.ci);
    ToolStatus { name, purpose, needs, package: supply.package(), least, verdict, supply }
}

fn look(host: &Host, tool: &Tool) -> Verdict {
    let present_if =
        |there: bool| if there { Verdict::Present { version: None } } else { Verdict::Absent };
    match &tool.look {
        Look::Program(names) => present_if(names.iter().any(|name| host.program(name).is_some())),
        Look::UnlessRoot(name) => {
            present_if(host.privilege == Privilege::Root || host.program(name).is_some())
        }
        Look::Versioned { program, ask, least } => match host.program(program) {
            None => Verdict::Absent,
            Some(path) => version(host, &path, ask, least),
        },
        Look::File { paths, contains, otherwise } => {
            match paths.iter().find_map(|path| std::fs::read(host.file(path)).ok()) {
                None => Verdict::Absent,
                Some(bytes) if holds(&bytes, contains.as_bytes()) => present_if(true),
                Some(_) => Verdict::Unusable { why: (*otherwise).to_owned() },
            }
        }
        Look::Arm64Programs => match binfmt::why_not(host) {
            None => present_if(true),
            Some(why) => Verdict::Unusable { why },
        },
    }
}

fn version(host: &Host, program: &Path, ask: &[&str], least: &str) -> Verdict {
    let output = match host.command(program).args(ask).output() {
        Ok(output) => output,
        Err(error) => return Verdict::Unusable { why: format!("does not start: {error}") },
    };
    let printed = format!("{}\n{}", output.stdout_text(), output.stderr);
    match (Version::find(&printed), least.parse::<Version>()) {
        (Some(version), Ok(least)) if version < least => Verdict::TooOld { version },
        (Some(version), _) => Verdict::Present { version: Some(version) },
        (None, _) => {
            let first = printed.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
            Verdict::Unusable {
                why: format!("does not say its version: {} printed `{first}`", ask.join(" ")),
            }
        }
    }
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
