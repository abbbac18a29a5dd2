//! Logs of real runs in which one thing was broken, kept to measure explanations without running anything.

use std::io::{Read, Write};

use camino::{Utf8Path, Utf8PathBuf};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};

use super::{Difference, first_difference};
use crate::{Event, Named, Record};

/// The list of what was recorded.
const INDEX: &str = "index.json";
/// The run in which nothing was broken.
const GREEN: &str = "green.jsonl.gz";

/// What was broken in a run, and what its explanation should name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    broken: String,
    log: Utf8PathBuf,
    node: String,
    words: Vec<String>,
}

/// A folder of recorded logs.
#[derive(Debug)]
pub struct Recorded {
    dir: Utf8PathBuf,
    entries: Vec<Entry>,
}

/// What comes of a recorded log today.
#[derive(Debug)]
pub struct Explained {
    /// What was broken.
    pub broken: String,
    /// The first difference from the green run.
    pub first: Option<Difference>,
    /// Whether it names what was broken.
    pub named: bool,
}

impl Recorded {
    /// A new folder with the log of a run in which nothing was broken.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn begin(dir: &Utf8Path, green: &Utf8Path) -> std::io::Result<Self> {
        fs_err::create_dir_all(dir)?;
        keep(&green.join("events.jsonl"), &dir.join(GREEN))?;
        Ok(Self { dir: dir.to_owned(), entries: Vec::new() })
    }

    /// Adds the log of a run.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn add(&mut self, broken: &str, named: Named, run: &Utf8Path) -> std::io::Result<()> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = broken.chars().map(plain).collect();
        let log = Utf8PathBuf::from(format!("{name}.jsonl.gz"));
        keep(&run.join("events.jsonl"), &self.dir.join(&log))?;
        self.entries.push(Entry {
            broken: broken.to_owned(),
            log,
            node: named.node.to_owned(),
            words: named.words.iter().map(|words| (*words).to_owned()).collect(),
        });
        let index = serde_json::to_string_pretty(&self.entries)? + "\n";
        fs_err::write(self.dir.join(INDEX), index)
    }

    /// A folder that was recorded.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(dir: &Utf8Path) -> std::io::Result<Self> {
        let entries = serde_json::from_slice(&fs_err::read(dir.join(INDEX))?)?;
        Ok(Self { dir: dir.to_owned(), entries })
    }

    /// Explains every log anew.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn explain(&self) -> std::io::Result<Vec<Explained>> {
        let green = read(&self.dir.join(GREEN))?;
        let explained = |entry: &Entry| {
            let first = first_difference(&read(&self.dir.join(&entry.log))?, &[&green]);
            let words: Vec<&str> = entry.words.iter().map(String::as_str).collect();
            let named = first.as_ref().is_some_and(|first| first.names(&entry.node, &words));
            Ok(Explained { broken: entry.broken.clone(), first, named })
        };
        self.entries.iter().map(explained).collect()
    }
}

impl Difference {
    /// Whether it is about this machine, and has one of these words in what there is now or was then.
    #[must_use]
    pub fn names(&self, node: &str, words: &[&str]) -> bool {
        let texts = [&self.then, &self.now];
        let says =
            |words: &&str| texts.iter().any(|t| t.as_ref().is_some_and(|t| t.contains(*words)));
        self.node.as_deref() == Some(node) && words.iter().any(says)
    }
}

/// Copies a log, without what says on which machine and of what the run was made.
fn keep(from: &Utf8Path, to: &Utf8Path) -> std::io::Result<()> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    for line in fs_err::read_to_string(from)?.lines() {
        let mut record: Record = serde_json::from_str(line)?;
        if let Event::RunFinished { evidence, versions, .. } = &mut record.event {
            evidence.clear();
            versions.clear();
        }
        gzip.write_all(&serde_json::to_vec(&record)?)?;
        gzip.write_all(b"\n")?;
    }
    fs_err::write(to, gzip.finish()?)
}

fn read(log: &Utf8Path) -> std::io::Result<Vec<Record>> {
    let mut text = String::new();
    GzDecoder::new(fs_err::File::open(log)?).read_to_string(&mut text)?;
    text.lines().map(|line| serde_json::from_str(line).map_err(Into::into)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many of so many must be named, as the first line promises.
    const NAMED: (usize, usize) = (4, 5);

    #[test]
    fn what_was_broken_in_real_runs_is_named() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/explain");
        let explained = Recorded::open(Utf8Path::new(dir)).unwrap().explain().unwrap();
        let table: String = explained
            .iter()
            .map(|Explained { broken, first, named }| {
                let mark = if *named { "named" } else { "-" };
                let first = first.as_ref().map_or_else(
                    || "nothing".to_owned(),
                    |first| {
                        let node = first.node.as_deref().unwrap_or("no node");
                        format!("{node} {}\n{first}", first.kind.name())
                    },
                );
                format!("{mark:<6} {broken}: {}\n", first.replace('\n', "\n         "))
            })
            .collect();
        let named = explained.iter().filter(|explained| explained.named).count();
        assert!(explained.len() >= 20 && named * NAMED.1 >= explained.len() * NAMED.0, "{table}");
        insta::assert_snapshot!("recorded", table);
    }
}
