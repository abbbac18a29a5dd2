//! What is not TOML at all.

use std::ops::Range;

use crate::diagnostic::Diagnostic;

/// The mistakes of syntax, and whether what was understood around them can be trusted.
pub(crate) struct Syntax {
    pub(crate) problems: Vec<Diagnostic>,
    /// The lines they stand on, as bytes of the text.
    lines: Vec<Range<usize>>,
    /// Each is inside one value on one line, so the lines around it were read as they were meant.
    confined: bool,
}

impl Syntax {
    pub(crate) fn new(text: &str, errors: &[toml::de::Error]) -> Self {
        let mut syntax = Self { problems: Vec::new(), lines: Vec::new(), confined: true };
        for error in errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            let line = line_around(text, span.start);
            let value = text[line.clone()].split_once('=').map(|(_, value)| value.trim_start());
            let opens_more = |value: &str| {
                ["[", "{", "\"\"\"", "'''"].iter().any(|opening| value.starts_with(opening))
            };
            syntax.confined &= value.is_some_and(|value| !opens_more(value))
                && !text[line.clone()].trim_start().starts_with('[');
            syntax.problems.push(explain(text, error.message(), span, &line));
            syntax.lines.push(line);
        }
        syntax
    }

    /// Whether a mistake found in what was understood is one of its own, not an echo of a syntax error.
    pub(crate) fn leaves_standing(&self, diagnostic: &Diagnostic) -> bool {
        let start = diagnostic.primary.span.start;
        let on_a_broken_line =
            self.lines.iter().any(|line| (line.start..=line.end).contains(&start));
        self.problems.is_empty() || (self.confined && !diagnostic.absence && !on_a_broken_line)
    }
}

fn explain(text: &str, said: &str, span: Range<usize>, line: &Range<usize>) -> Diagnostic {
    let written = &text[line.clone()];
    if said.starts_with("duplicate key") {
        let name = written.split(['=', '#']).next().unwrap_or_default().trim();
        let kind = if name.starts_with('[') { "section" } else { "key" };
        let diagnostic = Diagnostic::error(
            format!("`{}` stands twice", crate::value::shown(name)),
            span,
            format!("the same {kind} again"),
        );
        return match first_like(text, name, line.start) {
            Some(first) => diagnostic.related(first, "first here"),
            None => diagnostic,
        };
    }
    let uncommented = written.split('#').next().unwrap_or_default();
    let bare_value = uncommented.split_once('=').filter(|(key, value)| {
        let value = value.trim();
        let bare = value.chars().all(|c| c.is_ascii_alphanumeric() || ".:/+-_".contains(c));
        !value.is_empty() && bare && !key.trim_start().starts_with('[')
    });
    if let Some((key, value)) = bare_value {
        let from = line.start + key.len() + 1 + (value.len() - value.trim_start().len());
        let written = if crate::hide::is_secret(key) { "file:PATH" } else { value.trim() };
        let hint = format!("write {} = \"{written}\"", key.trim());
        return Diagnostic::error(
            "text needs quotation marks",
            from..from + value.trim().len(),
            "no quotation marks around it",
        )
        .hint(hint);
    }
    let (what, expected) = said.split_once(", expected ").unwrap_or((said, ""));
    let label = if expected.is_empty() { what.to_owned() } else { format!("expected {expected}") };
    Diagnostic::error(format!("not TOML: {what}"), span, label)
}

/// The line that holds byte `offset`, without its newline.
fn line_around(text: &str, offset: usize) -> Range<usize> {
    let offset = text.floor_char_boundary(offset);
    let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[offset..].find('\n').map_or(text.len(), |newline| offset + newline);
    start..end
}

/// The nearest place above byte `before` where a line begins with the same key or header: a key counts within its section only.
fn first_like(text: &str, name: &str, before: usize) -> Option<Range<usize>> {
    let mut end = before;
    while let Some(newline) = text[..end].rfind('\n') {
        let line = line_around(text, newline);
        let written = &text[line.clone()];
        if written.split(['=', '#']).next().unwrap_or_default().trim() == name {
            let from = line.start + (written.len() - written.trim_start().len());
            return Some(from..from + name.len());
        }
        if written.trim_start().starts_with('[') && !name.starts_with('[') {
            return None;
        }
        end = newline;
    }
    None
}
