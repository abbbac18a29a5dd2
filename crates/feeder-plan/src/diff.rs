//! The difference of two texts, for people.

use similar::{ChangeTag, TextDiff};

/// Unchanged lines shown around a change.
const CONTEXT: usize = 1;

/// The changed lines with a little around them, each beginning with `- `, `+ ` or two blanks; `…` stands for what lies
/// between. `None` when one of the two is no text.
pub(crate) fn lines(old: &[u8], new: &[u8]) -> Option<String> {
    let (old, new) = (text(old)?, text(new)?);
    let diff = TextDiff::from_lines(old, new);
    let mut out = Vec::new();
    for (n, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if n > 0 {
            out.push("…".to_owned());
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => "-",
                ChangeTag::Insert => "+",
                ChangeTag::Equal => " ",
            };
            let line = change.value();
            let end = if line.ends_with('\n') { "" } else { " (no line end)" };
            out.push(format!("{sign} {}{end}", visible(line.trim_end_matches('\n'))));
        }
    }
    Some(out.join("\n"))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// Control characters as escapes: a file must not be able to speak to the terminal.
pub(crate) fn visible(line: &str) -> String {
    line.chars()
        .flat_map(|c| {
            let escaped: Box<dyn Iterator<Item = char>> = if c.is_control() && c != '\t' {
                Box::new(c.escape_default())
            } else {
                Box::new(std::iter::once(c))
            };
            escaped
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changed_lines_with_a_little_around_them() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let new = "a\nB\nc\nd\ne\nf\ng\nh   \n";
        insta::assert_snapshot!(lines(old.as_bytes(), new.as_bytes()).unwrap());
        insta::assert_snapshot!(lines(b"x", b"x\n\x1b[31my\n").unwrap());
        assert_eq!(lines(b"\xff", b"x"), None);
    }

    proptest! {
        #[test]
        fn deleted_and_inserted_lines_are_the_difference(old in "([ab]\n){0,6}", new in "([ab]\n){0,6}") {
            let diff = lines(old.as_bytes(), new.as_bytes()).unwrap();
            let count = |sign: &str| diff.lines().filter(|line| line.starts_with(sign)).count();
            prop_assert_eq!(
                old.lines().count() + count("+ "), new.lines().count() + count("- ")
            );
            prop_assert_eq!(diff.is_empty(), old == new);
            prop_assert!(!diff.contains('\x1b'));
        }
    }
}
