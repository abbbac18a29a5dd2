//! `config.txt`: what it says on one board.
//!
//! Parsing never fails, because the firmware never refuses a `config.txt`; what the firmware would
//! misread or leave out is reported as a [`Warning`]. Rules: config.adoc and conditional-filters.adoc of
//! Raspberry Pi's documentation.

mod filter;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::board::BoardProfile;
use crate::boot::Stage;
use filter::Filters;

/// Characters per line that the firmware reads.
const LINE_LENGTH: usize = 98;
/// How deep `include` may nest before it is taken for a loop.
const INCLUDE_DEPTH: usize = 8;

/// Keys this twin acts upon.
const KNOWN: &[&str] = &[
    "arm_64bit",
    "auto_initramfs",
    "cmdline",
    "device_tree",
    "dtoverlay",
    "dtparam",
    "enable_uart",
    "fixup_file",
    "gpu_mem",
    "gpu_mem_1024",
    "gpu_mem_256",
    "gpu_mem_512",
    "initramfs",
    "kernel",
    "os_prefix",
    "overlay_prefix",
    "ramfsfile",
    "start_debug",
    "start_file",
    "start_x",
    "upstream_kernel",
];

/// One setting in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key. `initramfs` stands for the form without `=`.
    pub key: String,
    /// The value; for `initramfs`, what follows the word.
    pub value: String,
    /// The file it stands in.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// Something the firmware would misread, or leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what follows from it.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// The settings of a `config.txt` that are in effect on one board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// In the order of the file.
    pub settings: Vec<Setting>,
    /// Files named by `include` which were not among those given.
    pub missing_includes: BTreeSet<String>,
}

impl Config {
    /// The value in effect: the last one given.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.settings.iter().rev().find(|s| s.key == key).map(|s| s.value.as_str())
    }

    /// A number in effect, decimal or `0x…`; `None` when absent or no number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i64> {
        number(self.get(key)?)
    }

    /// Whether a switch is on: a number other than 0.
    #[must_use]
    pub fn on(&self, key: &str) -> bool {
        self.number(key).is_some_and(|value| value != 0)
    }

    /// All values of a key, in order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.settings.iter().filter(move |s| s.key == key).map(|s| s.value.as_str())
    }

    /// Keys in effect which this twin does not act upon, sorted.
    #[must_use]
    pub fn unknown_keys(&self) -> Vec<String> {
        let keys: BTreeSet<_> = self
            .settings
            .iter()
            .map(|s| &s.key)
            .filter(|key| !KNOWN.contains(&key.as_str()))
            .collect();
        keys.into_iter().cloned().collect()
    }
}

/// A decimal or `0x` number.
pub(crate) fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Reads `config.txt` as one stage of the firmware reads it.
///
/// `include` is followed with the files in `includes`, by name; those not there are listed in
/// [`Config::missing_includes`], so a caller reads them and parses again until none is missing.
/// `bootcode.bin` does not know `include`.
#[must_use]
pub fn parse(
    text: &[u8],
    file: &str,
    board: &BoardProfile,
    stage: Stage,
    includes: &BTreeMap<String, Arc<Vec<u8>>>,
) -> (Config, Vec<Warning>) {
    let mut parser = Parser {
        filters: Filters::new(board),
        follow: stage == Stage::Start,
        includes,
        config: Config::default(),
        warnings: Vec::new(),
    };
    parser.file(text, file, 0);
    (parser.config, parser.warnings)
}

struct Parser<'a> {
    filters: Filters<'a>,
    follow: bool,
    includes: &'a BTreeMap<String, Arc<Vec<u8>>>,
    config: Config,
    warnings: Vec<Warning>,
}

/// A line's place.
#[derive(Clone, Copy)]
struct At<'a> {
    file: &'a str,
    line: usize,
}

impl Parser<'_> {
    fn file(&mut self, text: &[u8], file: &str, depth: usize) {
        for (index, raw) in text.split(|&byte| byte == b'\n').enumerate() {
            let at = At { file, line: index + 1 };
            if index == 0 && raw.starts_with(b"\xef\xbb\xbf") {
                self.warn(
                    at,
                    "the file begins with a byte order mark, so its first line is not understood",
                );
                continue;
            }
            let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
            let text = String::from_utf8_lossy(raw);
            let line = match text.char_indices().nth(LINE_LENGTH) {
                None => &text,
                Some((cut, _)) => {
                    // A long comment does no harm.
                    if !text.trim_start().starts_with('#') {
                        let long = text.chars().count();
                        self.warn(at, format!("{long} characters; the firmware reads only the first {LINE_LENGTH} of a line"));
                    }
                    &text[..cut]
                }
            };
            self.line(line.trim(), at, depth);
        }
    }

    fn line(&mut self, line: &str, at: At<'_>, depth: usize) {
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        if let Some(filter) = line.strip_prefix('[') {
            let Some(filter) = filter.strip_suffix(']') else {
                self.warn(at, format!("`{line}` has no closing bracket and is ignored"));
                return;
            };
            if let Err(why) = self.filters.enter(filter) {
                self.warn(at, why);
            }
            return;
        }
        if !self.filters.pass() {
            return;
        }
        match line.split_once('=') {
            Some((key, value)) => self.setting(key, value, at),
            None => self.word(line, at, depth),
        }
    }

    fn setting(&mut self, key: &str, value: &str, at: At<'_>) {
        if key.ends_with(char::is_whitespace) || value.starts_with(char::is_whitespace) {
            self.warn(
                at,
                format!("there must be no space around `=`; `{}` is ignored", key.trim()),
            );
            return;
        }
        self.push(key, value, at);
    }

    /// The forms without `=`: `include FILE` and `initramfs FILE [followkernel|ADDRESS]`.
    fn word(&mut self, line: &str, at: At<'_>, depth: usize) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "include" if !self.follow => {}
            "include" if rest.is_empty() => self.warn(at, "`include` names no file"),
            "include" => self.include(rest, at, depth),
            "initramfs" if rest.is_empty() => self.warn(at, "`initramfs` names no file"),
            "initramfs" => self.push(word, rest, at),
            _ => self.warn(
                at,
                format!("`{line}` is neither `key=value` nor a known word and is ignored"),
            ),
        }
    }

    fn include(&mut self, name: &str, at: At<'_>, depth: usize) {
        if depth == INCLUDE_DEPTH {
            self.warn(at, format!("`include {name}` is nested too deeply and is not followed"));
            return;
        }
        // Taken out of `self` so that the borrow of the map outlives the call.
        let includes = self.includes;
        match includes.get(name) {
            Some(text) => self.file(text, name, depth + 1),
            None => {
                self.config.missing_includes.insert(name.into());
            }
        }
    }

    fn push(&mut self, key: &str, value: &str, at: At<'_>) {
        self.config.settings.push(Setting {
            key: key.into(),
            value: value.into(),
            file: at.file.into(),
            line: at.line,
        });
    }

    fn warn(&mut self, at: At<'_>, text: impl Into<String>) {
        self.warnings.push(Warning { file: at.file.into(), line: at.line, text: text.into() });
    }
}

#[cfg(test)]
mod tests;
