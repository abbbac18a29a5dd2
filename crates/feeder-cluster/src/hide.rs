//! Keeping secrets that stand where none may out of messages, which show lines of the file.

use std::ops::Range;

use crate::schema::Section;
use crate::settings;
use crate::value::SecretRef;

/// The text with asterisks for what may be a secret: from each of the ranges on to the end of its last line, and values of keys that
/// hold secrets, wherever and however wrongly they stand. Every byte stays where it is.
pub(crate) fn secrets(text: &str, ranges: impl Iterator<Item = Range<usize>>) -> String {
    let mut hidden: Vec<Range<usize>> =
        ranges.map(|range| range.start..line_end(text, range.end)).collect();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        hidden.extend(value_of_a_secret(line).map(|at| start + at..start + line.len()));
        start += line.len();
    }
    text.char_indices()
        .map(|(at, c)| {
            let hide = hidden.iter().any(|range| range.contains(&at)) && !harmless(c);
            if hide { "*".repeat(c.len_utf8()) } else { c.to_string() }
        })
        .collect()
}

/// Whether a key, as it stands before its `=`, holds a secret: `password`, `system.password`, `"password"`, or its variable.
pub(crate) fn is_secret(key: &str) -> bool {
    let last = key.rsplit(['.', ',', '{']).next().unwrap_or_default();
    let last = last.trim().trim_matches(['"', '\'']);
    Section::secret_anywhere(last) || settings::is_variable_of_secret(last)
}

/// Where the value of a key that holds a secret begins in a line, unless it is a reference.
fn value_of_a_secret(line: &str) -> Option<usize> {
    let mut signs = line.match_indices('=').map(|(at, _)| at);
    let at = signs.find(|at| is_secret(&line[..*at]))?;
    let value = line[at + 1..].trim_start().trim_start_matches(['"', '\'']);
    (!SecretRef::looks_like_one(value)).then_some(at + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    text[at..].find('\n').map_or(text.len(), |newline| at + newline)
}

/// What a message needs to look like the file.
fn harmless(c: char) -> bool {
    c.is_whitespace() || "\"'=".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_keys_are_hidden_however_they_are_written() {
        for line in [
            "password = \"hunter2\"",
            "password = hunter2 # hunter2",
            "password=\"hunter2",
            "  \"password\" = 'hunter2'\r",
            "system.password = \"hunter2\"",
            "system = { sudo = \"x\", password = \"hunter2\" }",
            "sudo-password = [\"hunter2\"]",
            "--set system.password=hunter2",
            "FEEDER_MASTER_SUDO_PASSWORD=hunter2",
        ] {
            let shown = secrets(line, std::iter::empty());
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(shown.len(), line.len(), "{shown}");
            assert!(shown.to_lowercase().contains("password"), "{shown}");
        }
    }

    #[test]
    fn references_and_all_else_are_shown() {
        for line in
            ["password = \"file:secrets/pi\"", "password-login = false", "name = \"password = \""]
        {
            assert_eq!(secrets(line, std::iter::empty()), line);
        }
    }

    #[test]
    fn what_was_found_to_be_none_is_hidden_to_its_end() {
        let text = "pasword = \"hünter\"\nname = \"lab\"\n";
        let shown = secrets(text, std::iter::once(7..7));
        assert_eq!(shown, "pasword = \"*******\"\nname = \"lab\"\n");
    }
}
