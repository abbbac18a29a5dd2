//! What a host said about itself. The parser of the gather script's output.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use camino::{Utf8Path, Utf8PathBuf};

/// Everything asked of one host, as it was at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The host's name among us.
    pub host: String,
    /// Paths that exist.
    pub paths: BTreeMap<Utf8PathBuf, PathFact>,
    /// Packages that dpkg has heard of.
    pub packages: BTreeMap<String, Package>,
    /// Units asked about, whether they exist or not.
    pub units: BTreeMap<String, UnitFact>,
    /// Running and configured host name.
    pub hostname: Option<(String, String)>,
    /// What the tasks' probes printed.
    pub tasks: BTreeMap<String, TaskFact>,
    /// What earlier runs noted as owed and did not do.
    pub pending: BTreeSet<String>,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFact {
    /// What kind of thing.
    pub kind: PathKind,
    /// Permission bits.
    pub mode: u32,
    /// User as number and name.
    pub user: (String, String),
    /// Group as number and name.
    pub group: (String, String),
}

/// The kinds of things at a path.
#[derive(Clone, PartialEq, Eq)]
pub enum PathKind {
    /// A regular file.
    File {
        /// In bytes.
        size: u64,
        /// In hexadecimal; of files that were asked about as files.
        sha256: Option<String>,
        /// Only when it is not as wanted, small and no secret.
        content: Option<Vec<u8>>,
    },
    /// A folder.
    Directory,
    /// A symbolic link.
    Link {
        /// Where it points; of links that were asked about as links.
        target: Option<String>,
    },
    /// A device, socket or pipe.
    Other,
}

// Neither contents nor digests: a digest of a short secret is as good as the secret.
impl std::fmt::Debug for PathKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { size, .. } => write!(f, "File({size} bytes)"),
            Self::Directory => f.write_str("Directory"),
            Self::Link { target } => write!(f, "Link({target:?})"),
            Self::Other => f.write_str("Other"),
        }
    }
}

/// A package's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// dpkg's abbreviation, `ii` when all is well.
    pub status: String,
    /// Its version, empty when it is not there.
    pub version: String,
}

impl Package {
    pub(crate) fn installed(&self) -> bool {
        // The wish may also be "hold"; a third letter is an error flag.
        self.status.get(1..) == Some("i")
    }
}

/// A unit's state, in systemd's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFact {
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `active`, `inactive`, `failed`, …
    pub active: String,
    /// `running`, `exited`, `auto-restart`, …
    pub sub: String,
    /// `enabled`, `disabled`, `static`, …; empty when there is no unit file.
    pub file: String,
}

/// What a probe said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFact {
    /// Its exit status.
    pub status: i32,
    /// What it printed.
    pub state: String,
}

/// A line of the gather script's output that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot understand what {host} says about itself, line {line}: {why}")]
pub struct FactsError {
    /// Who said it.
    pub host: String,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, with the line's beginning.
    pub why: String,
}

/// First line of the facts; what comes before it is chatter of the login.
pub(crate) const HEADER: &str = "feeder-facts 1";
/// Their last line.
pub(crate) const END: &str = "feeder-facts end";

/// Reads the gather script's output. `units` are those asked about, in order; `Err` for the host's own objections is
/// the parser's caller's business, see `problems`.
pub(crate) fn parse(
    host: &str,
    text: &str,
    units: &[String],
) -> Result<(Facts, Vec<String>), FactsError> {
    let mut reader = Reader {
        facts: Facts { host: host.to_owned(), ..Facts::default() },
        problems: Vec::new(),
        section: Section::Before,
        units: Vec::new(),
    };
    let mut last = 0;
    for (n, line) in text.lines().enumerate() {
        last = n + 1;
        reader.line(line).map_err(|why| {
            let shown: String = line.chars().take(80).collect();
            FactsError { host: host.to_owned(), line: last, why: format!("{why}: {shown:?}") }
        })?;
    }
    let error = |why: String| FactsError { host: host.to_owned(), line: last, why };
    if reader.section != Section::After {
        return Err(error("it ends too early".into()));
    }
    // systemd answers in the order of the question, but may call a unit by another of its names.
    let answered = std::mem::take(&mut reader.units);
    if reader.problems.is_empty() && answered.len() != units.len() {
        return Err(error(format!(
            "{} units were asked about and {} answered",
            units.len(),
            answered.len()
        )));
    }
    reader.facts.units = units.iter().cloned().zip(answered).collect();
    Ok((reader.facts, reader.problems))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Before,
    Facts,
    Sums,
    Units { fresh: bool },
    After,
}

struct Reader {
    facts: Facts,
    problems: Vec<String>,
    section: Section,
    units: Vec<UnitFact>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        match (self.section, line) {
            (Section::Before, HEADER) => self.section = Section::Facts,
            (Section::Before, _) => {}
            (Section::After, _) => return Err("something after the end".into()),
            (Section::Facts, END) => self.section = Section::After,
            (Section::Facts, "sums") => self.section = Section::Sums,
            (Section::Facts, "units") => self.section = Section::Units { fresh: true },
            (Section::Sums | Section::Units { .. }, "end") => self.section = Section::Facts,
            (Section::Sums, "") => {}
            (Section::Sums, _) => self.sum(line)?,
            (Section::Units { .. }, "") => self.section = Section::Units { fresh: true },
            (Section::Units { fresh }, _) => self.unit(line, fresh)?,
            (Section::Facts, _) => self.fact(line)?,
        }
        Ok(())
    }

    fn fact(&mut self, line: &str) -> Result<(), String> {
        let (kind, rest) = line.split_once('\t').ok_or("no such fact")?;
        match kind {
            "path" => self.path(rest)?,
            "link" => {
                let (path, target) = pair(rest)?;
                if let Some(PathFact { kind: PathKind::Link { target: known }, .. }) = self.at(path)
                {
                    *known = Some(target.to_owned());
                }
            }
            "content" => {
                let (path, base64) = pair(rest)?;
                let bytes = STANDARD.decode(base64).map_err(|err| format!("no base64 ({err})"))?;
                if let Some(PathFact { kind: PathKind::File { content, .. }, .. }) = self.at(path) {
                    *content = Some(bytes);
                }
            }
            "package" => {
                let [name, status, version] = fields(rest)?;
                let package = Package { status: status.trim_end().into(), version: version.into() };
                // A foreign architecture's package of the same name must not hide the installed one.
                if package.installed() || !self.facts.packages.contains_key(name) {
                    self.facts.packages.insert(name.to_owned(), package);
                }
            }
            "hostname" => {
                let (running, configured) = pair(rest)?;
                self.facts.hostname = Some((running.into(), configured.trim().into()));
            }
            "task" => {
                let [id, status, state] = fields(rest)?;
                let status = status.parse().map_err(|_| "no exit status")?;
                self.facts.tasks.insert(id.into(), TaskFact { status, state: state.into() });
            }
            "pending" => drop(self.facts.pending.insert(rest.to_owned())),
            "problem" => self.problems.push(rest.to_owned()),
            _ => return Err("no such fact".into()),
        }
        Ok(())
    }

    /// `stat`'s mode in hexadecimal, ids, names, size and path.
    fn path(&mut self, rest: &str) -> Result<(), String> {
        let [mode, uid, gid, user, group, size, path] = fields(rest)?;
        let mode = u32::from_str_radix(mode, 16).map_err(|_| "no mode")?;
        let size = size.parse().map_err(|_| "no size")?;
        let kind = match mode & 0o170_000 {
            0o100_000 => PathKind::File { size, sha256: None, content: None },
            0o040_000 => PathKind::Directory,
            0o120_000 => PathKind::Link { target: None },
            _ => PathKind::Other,
        };
        let fact = PathFact {
            kind,
            mode: mode & 0o7777,
            user: (uid.into(), user.into()),
            group: (gid.into(), group.into()),
        };
        self.facts.paths.insert(path.into(), fact);
        Ok(())
    }

    /// `sha256sum`'s line. Names with a backslash are escaped by GNU's and not by busybox's.
    fn sum(&mut self, line: &str) -> Result<(), String> {
        let (escaped, line) = line.strip_prefix('\\').map_or((false, line), |line| (true, line));
        let (digest, path) = line.split_once("  ").ok_or("no checksum")?;
        if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("no checksum".into());
        }
        let path = if escaped { path.replace("\\\\", "\\") } else { path.to_owned() };
        if let Some(PathFact { kind: PathKind::File { sha256, .. }, .. }) = self.at(&path) {
            *sha256 = Some(digest.to_owned());
        }
        Ok(())
    }

    fn unit(&mut self, line: &str, fresh: bool) -> Result<(), String> {
        let (key, value) = line.split_once('=').ok_or("no property of a unit")?;
        if fresh {
            self.units.push(UnitFact::default());
            self.section = Section::Units { fresh: false };
        }
        let unit = self.units.last_mut().ok_or("no unit")?;
        let field = match key {
            "LoadState" => &mut unit.load,
            "ActiveState" => &mut unit.active,
            "SubState" => &mut unit.sub,
            "UnitFileState" => &mut unit.file,
            _ => return Err("no such property was asked for".into()),
        };
        value.clone_into(field);
        Ok(())
    }

    fn at(&mut self, path: &str) -> Option<&mut PathFact> {
        self.facts.paths.get_mut(Utf8Path::new(path))
    }
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    text.split_once('\t').ok_or_else(|| "a field is missing".into())
}

/// Exactly `N` fields; the last one may contain tabs.
fn fields<const N: usize>(text: &str) -> Result<[&str; N], String> {
    let all: Vec<&str> = text.splitn(N, '\t').collect();
    all.try_into().map_err(|_| "a field is missing".into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(n: u8) -> String {
        format!("{n:02x}").repeat(32)
    }

    #[test]
    fn facts_from_a_board() {
        let text = format!(
            "Linux raspberrypi 6.12\nfeeder-facts 1\n\
            path\t81a4\t0\t0\troot\troot\t5\t/etc/a\n\
            path\ta1ff\t0\t0\troot\troot\t3\t/etc/l\n\
            path\t41ed\t1000\t1000\tpi\tpi\t4096\t/srv\\x\n\
            path\t8180\t0\t0\troot\troot\t5\t/etc/sys\\x2d\n\
            link\t/etc/l\t../with\ttab\nsums\n{a}  /etc/a\n\\{b}  /etc/sys\\\\x2d\n\nend\n\
            content\t/etc/a\taGVsbG8=\n\
            package\tdnsmasq\tii \t2.91-1\npackage\trsync\trc \t\n\
            units\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n\n\
            LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nend\n\
            hostname\traspberrypi\traspberrypi\ntask\tclone\t0\t6.12 ok\ntask\tswap\t127\t\npending\trestart:dnsmasq.service\n\
            feeder-facts end\n",
            a = sum(1),
            b = sum(2),
        );
        let units = ["dnsmasq.service".to_owned(), "none.service".to_owned()];
        let (facts, problems) = parse("cluster00", &text, &units).unwrap();
        assert!(problems.is_empty());
        insta::assert_debug_snapshot!(facts);
        let PathKind::File { sha256, content, .. } = &facts.paths[Utf8Path::new("/etc/a")].kind
        else {
            panic!("a file")
        };
        assert_eq!((sha256.as_ref(), content.as_deref()), (Some(&sum(1)), Some(&b"hello"[..])));
        let PathKind::File { sha256, .. } = &facts.paths[Utf8Path::new("/etc/sys\\x2d")].kind
        else {
            panic!("a file")
        };
        assert_eq!(sha256.as_ref(), Some(&sum(2)));
    }

    #[test]
    fn nonsense_is_named() {
        let cases = [
            "",
            "feeder-facts 1\n",
            "feeder-facts 1\nwhat\n",
            "feeder-facts 1\npath\t81a4\n",
            "feeder-facts 1\npath\txyz\t0\t0\tr\tr\t5\t/a\n",
            "feeder-facts 1\nsums\nsha256sum: broken\n",
            "feeder-facts 1\nunits\nMainPID=4\n",
            "feeder-facts 1\ntask\tx\tnine\ty\n",
            "feeder-facts 1\nfeeder-facts end\nmore\n",
            "feeder-facts 1\nunits\nLoadState=loaded\nend\nfeeder-facts end\n",
        ];
        let said: Vec<String> = cases
            .iter()
            .map(|text| parse("cluster00", text, &[]).unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    proptest! {
        #[test]
        fn any_text_is_facts_or_an_error(text in ".{0,200}") {
            drop(parse("x", &text, &[]));
        }

        #[test]
        fn any_lines_are_facts_or_an_error(
            lines in proptest::collection::vec(
                "(path|link|content|package|hostname|task|pending|problem)(\t[a-f0-9/=]{0,4}){0,8}|sums|units|end|[A-Za-z]{0,9}=[a-z]{0,4}|",
                0..12,
            )
        ) {
            drop(parse("x", &format!("{HEADER}\n{}\n{END}\n", lines.join("\n")), &[]));
        }
    }
}
