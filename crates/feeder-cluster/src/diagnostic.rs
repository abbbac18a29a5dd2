//! Mistakes with their places, and how they look.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};

use crate::sources::Sources;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but this is probably not meant.
    Warning,
}

/// A place in the text and what to say there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// What is wrong with, or to be known about, this place.
    pub text: String,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where it is.
    pub primary: Label,
    /// Other places that have to do with it, such as the first of two equal names.
    pub related: Vec<Label>,
    /// What would be right.
    pub hint: Option<String>,
    /// It says that something is not there; after a syntax error that may be untrue.
    pub(crate) absence: bool,
    /// Bytes of the text that may be a secret: they are shown as asterisks, up to the end of the line.
    pub(crate) hidden: Option<Range<usize>>,
}

impl Diagnostic {
    pub(crate) fn error(
        message: impl Into<String>,
        span: Range<usize>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            primary: Label { span, text: label.into() },
            related: Vec::new(),
            hint: None,
            absence: false,
            hidden: None,
        }
    }

    pub(crate) fn warning(
        message: impl Into<String>,
        span: Range<usize>,
        label: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message, span, label) }
    }

    pub(crate) fn absence(
        message: impl Into<String>,
        span: Range<usize>,
        label: impl Into<String>,
    ) -> Self {
        Self { absence: true, ..Self::error(message, span, label) }
    }

    pub(crate) fn related(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        self.related.push(Label { span, text: text.into() });
        self
    }

    pub(crate) fn hiding(mut self, span: Range<usize>) -> Self {
        self.hidden = Some(span);
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<Option<String>>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// Line and column, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// Where byte `offset` of `text` stands.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// The mistakes of one file, in the order in which they stand in it.
///
/// What may be a secret is not in them. Displays as they would look on a terminal without colour. Serialises as a list of objects with `severity`, `message`, `file`,
/// `line`, `column`, `label`, `related` (each `file`, `line`, `column`, `label`) and `hint` (or null).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    sources: Sources,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(crate) fn new(sources: Sources, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|diagnostic| diagnostic.primary.span.start);
        let hidden = list.iter().filter_map(|diagnostic| diagnostic.hidden.clone());
        let sources = sources.hiding(hidden);
        Self { sources, list }
    }

    /// The name of the file.
    pub fn file(&self) -> &str {
        self.sources.file()
    }

    /// The mistakes and warnings.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// How many there are of one severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Where a label points to.
    pub fn position(&self, label: &Label) -> Position {
        self.sources.position(label.span.start)
    }

    /// All of them as text for people, each with the lines it is about; `color` adds terminal colours. No newline at the end.
    pub fn rendered(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Unicode);
        let mut parts: Vec<String> =
            self.list.iter().map(|diagnostic| renderer.render(&self.report(diagnostic))).collect();
        if self.list.len() > 1 {
            parts.push(format!("{}: {}", self.file(), self.summary()));
        }
        parts.join("\n\n")
    }

    /// `2 errors, 1 warning`
    pub fn summary(&self) -> String {
        let counted = |severity, noun: &str| match self.count(severity) {
            0 => None,
            1 => Some(format!("1 {noun}")),
            count => Some(format!("{count} {noun}s")),
        };
        let parts: Vec<String> =
            [counted(Severity::Error, "error"), counted(Severity::Warning, "warning")]
                .into_iter()
                .flatten()
                .collect();
        if parts.is_empty() { "no errors".to_owned() } else { parts.join(", ") }
    }

    fn report<'a>(&'a self, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let primary = std::iter::once((AnnotationKind::Primary, &diagnostic.primary));
        let related = diagnostic.related.iter().map(|label| (AnnotationKind::Context, label));
        // One snippet for each text that has to do with it, beginning with that of the mistake itself.
        let mut snippets: Vec<(usize, Vec<(AnnotationKind, &Label)>)> = Vec::new();
        for (kind, label) in primary.chain(related) {
            let start = self.sources.source(label.span.start).start;
            match snippets.iter_mut().find(|(of, _)| *of == start) {
                Some((_, labels)) => labels.push((kind, label)),
                None => snippets.push((start, vec![(kind, label)])),
            }
        }
        let mut group = Group::with_title(level.primary_title(&diagnostic.message));
        for (start, labels) in snippets {
            let source = self.sources.source(start);
            let annotations = labels.into_iter().map(|(kind, label)| {
                let span = label.span.start - start..label.span.end - start;
                kind.span(span).label(&label.text)
            });
            let snippet = Snippet::source(source.text).annotations(annotations);
            // The one line of a setting needs no number.
            let snippet = snippet.path(source.name).line_numbering(source.is_file);
            group = group.element(snippet);
        }
        let mut groups = vec![group];
        if let Some(hint) = &diagnostic.hint {
            groups.push(Group::with_title(Level::HELP.with_name("hint").secondary_title(hint)));
        }
        groups
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered(false))
    }
}

impl std::error::Error for Diagnostics {}

impl Serialize for Diagnostics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.list.len()))?;
        for diagnostic in &self.list {
            list.serialize_element(&Row { of: self, diagnostic })?;
        }
        list.end()
    }
}

struct Row<'a> {
    of: &'a Diagnostics,
    diagnostic: &'a Diagnostic,
}

#[derive(serde::Serialize)]
struct Related<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    label: &'a str,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { of, diagnostic } = self;
        let position = of.position(&diagnostic.primary);
        let related = diagnostic.related.iter().map(|label| {
            let Position { line, column } = of.position(label);
            let file = of.sources.source(label.span.start).name;
            Related { file, line, column, label: &label.text }
        });
        let related: Vec<Related<'_>> = related.collect();
        let mut row = serializer.serialize_struct("Diagnostic", 8)?;
        row.serialize_field(
            "severity",
            match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
        )?;
        row.serialize_field("message", &diagnostic.message)?;
        row.serialize_field("file", of.sources.source(diagnostic.primary.span.start).name)?;
        row.serialize_field("line", &position.line)?;
        row.serialize_field("column", &position.column)?;
        row.serialize_field("label", &diagnostic.primary.text)?;
        row.serialize_field("related", &related)?;
        row.serialize_field("hint", &diagnostic.hint)?;
        row.end()
    }
}
