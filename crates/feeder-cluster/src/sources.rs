//! The texts that say what a cluster is: the file, and what is set beside it.

use std::ops::Range;

use crate::diagnostic::Position;
use crate::settings::{Origin, Setting, Settings};

/// All of them as one text, so that a range of bytes says where something stands: the file, then a line for each setting, as one
/// would type it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    file: String,
    text: String,
    file_end: usize,
    lines: Vec<Line>,
}

/// A setting in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    span: Range<usize>,
    origin: Origin,
    /// What was set, as one would type it, without its value.
    name: String,
}

/// A piece of the whole text that people know by one name.
pub(crate) struct Source<'s> {
    /// `cluster.toml`, or where else it stands.
    pub(crate) name: &'s str,
    pub(crate) text: &'s str,
    /// Where it begins in the whole.
    pub(crate) start: usize,
    /// It has lines that one can count.
    pub(crate) is_file: bool,
}

impl Sources {
    pub(crate) fn new(file: &str, text: &str, settings: &Settings) -> Self {
        let mut this = Self {
            file: file.to_owned(),
            text: text.to_owned(),
            file_end: text.len(),
            lines: Vec::new(),
        };
        for Setting { origin, name, value } in settings.iter() {
            this.text.push('\n');
            let start = this.text.len();
            let name = match origin {
                Origin::Environment => name.clone(),
                Origin::Option => format!("--set {name}"),
            };
            this.text.push_str(&format!("{name}={value}"));
            this.lines.push(Line { span: start..this.text.len(), origin: *origin, name });
        }
        this
    }

    /// What the file itself says.
    pub(crate) fn file_text(&self) -> &str {
        &self.text[..self.file_end]
    }

    /// The name and the value of a setting, by its number.
    pub(crate) fn setting(&self, number: usize) -> (Range<usize>, Range<usize>) {
        let Line { span, name, .. } = &self.lines[number];
        let sign = span.start + name.len();
        (span.start..sign, sign + 1..span.end)
    }

    /// The text of a range.
    pub(crate) fn slice(&self, span: Range<usize>) -> &str {
        &self.text[span]
    }

    fn line(&self, offset: usize) -> Option<&Line> {
        self.lines.iter().find(|line| (line.span.start..=line.span.end).contains(&offset))
    }

    /// What a byte stands in.
    pub(crate) fn source(&self, offset: usize) -> Source<'_> {
        match self.line(offset) {
            Some(line) => Source {
                name: line.origin.as_str(),
                text: &self.text[line.span.clone()],
                start: line.span.start,
                is_file: false,
            },
            None => Source { name: &self.file, text: self.file_text(), start: 0, is_file: true },
        }
    }

    /// Line and column of a byte, in what it stands in.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let Source { text, start, .. } = self.source(offset);
        Position::of(text, offset - start)
    }

    /// Where something stands, in a few words: `cluster.toml:14:12`, `FEEDER_MASTER_USER in the environment`.
    pub(crate) fn place(&self, offset: usize) -> String {
        match self.line(offset) {
            Some(Line { origin, name, .. }) => format!("{name} {}", origin.within()),
            None => {
                let Position { line, column } = self.position(offset);
                format!("{}:{line}:{column}", self.file)
            }
        }
    }

    /// What set something: `set at line 5`, `set by FEEDER_MASTER_USER`.
    pub(crate) fn set_by(&self, offset: usize) -> String {
        match self.line(offset) {
            Some(line) => format!("set by {}", line.name),
            None => format!("set at line {}", self.position(offset).line),
        }
    }

    /// The name of the file.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The same, with secrets in these ranges, and wherever else they may be, hidden.
    pub(crate) fn hiding(mut self, ranges: impl Iterator<Item = Range<usize>>) -> Self {
        self.text = crate::hide::secrets(&self.text, ranges);
        self
    }
}
