//! Counting tests, from what test runners print and write.

use std::{fmt, iter::Sum, ops::Add};

use crate::Runner;

/// How many tests ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Passed.
    pub passed: u64,
    /// Failed, or could not be run.
    pub failed: u64,
    /// Not run, on purpose.
    pub skipped: u64,
}

impl Count {
    /// A single failure.
    pub const FAILURE: Self = Self { passed: 0, failed: 1, skipped: 0 };

    /// The sum of all summary lines in what a test runner printed; `None` when there is none.
    pub fn from_summaries(runner: Runner, log: &str) -> Option<Self> {
        let summaries = log.lines().filter_map(|line| match runner {
            Runner::CargoTest => line.trim().strip_prefix("test result: "),
            Runner::Nextest => line.trim().strip_prefix("Summary ["),
        });
        let counts: Vec<Self> = summaries.map(Self::from_summary).collect();
        if counts.is_empty() { None } else { Some(counts.into_iter().sum()) }
    }

    /// `… 14 passed (1 slow), 2 failed, 1 timed out, 3 skipped`, or cargo's `14 passed; 0 failed; 1 ignored; …`.
    fn from_summary(line: &str) -> Self {
        let mut count = Self::default();
        let words: Vec<&str> =
            line.split([' ', ',', ';', '(', ')']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => count.passed += number,
                // `1 exec failed` is two words; its number stands before "exec".
                "failed" | "timed" | "exec" => count.failed += number,
                "skipped" | "ignored" => count.skipped += number,
                _ => {}
            }
        }
        count
    }

    /// The numbers of a JUnit file's root element; `None` when it is no such file.
    pub fn from_junit(xml: &str) -> Option<Self> {
        let root = &xml[xml.find("<testsuites")?..];
        let root = &root[..root.find('>')?];
        let number = |name: &str| -> Option<u64> {
            root.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?.parse().ok()
        };
        let tests = number("tests")?;
        let failed = number("failures").unwrap_or(0) + number("errors").unwrap_or(0);
        // The root does not count what was skipped; each skipped case has an element of its own.
        let skipped = number("skipped").unwrap_or_else(|| xml.matches("<skipped").count() as u64);
        Some(Self { passed: tests.checked_sub(failed + skipped)?, failed, skipped })
    }
}

impl Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// `3 passed, 0 failed`, and `, 1 skipped` when there are any.
impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn count(passed: u64, failed: u64, skipped: u64) -> Count {
        Count { passed, failed, skipped }
    }

    #[test]
    fn cargo_test_summaries_are_added() {
        let log = "running 14 tests\ntest a ... ok\n\n\
                   test result: ok. 14 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.01s\n\n\
                   test result: FAILED. 8 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.53s\n";
        assert_eq!(Count::from_summaries(Runner::CargoTest, log), Some(count(22, 1, 2)));
    }

    #[test]
    fn nextest_summaries() {
        for (line, expected) in [
            ("     Summary [   1.207s] 23 tests run: 23 passed, 0 skipped", count(23, 0, 0)),
            (
                "     Summary [  61.0s] 24 tests run: 22 passed (1 slow, 1 flaky), 2 failed, 3 skipped",
                count(22, 2, 3),
            ),
            (
                "     Summary [   2.0s] 4/9 tests run: 1 passed, 1 failed, 1 timed out, 1 exec failed, 0 skipped",
                count(1, 3, 0),
            ),
            ("     Summary [   0.1s] 1 test run: 1 passed (1 leaky), 0 skipped", count(1, 0, 0)),
        ] {
            assert_eq!(Count::from_summaries(Runner::Nextest, line), Some(expected), "{line}");
        }
    }

    #[test]
    fn a_log_without_a_summary_counts_nothing() {
        let log = "error: could not compile `feeder-lan` (lib) due to 1 previous error\n";
        assert_eq!(Count::from_summaries(Runner::Nextest, log), None);
        assert_eq!(Count::from_summaries(Runner::CargoTest, log), None);
    }

    #[test]
    fn junit_files() {
        let xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                   <testsuites name=\"netboot\" tests=\"7\" failures=\"1\" errors=\"1\" uuid=\"x\" time=\"206.1\">\n\
                   <testsuite name=\"steps\" tests=\"7\" disabled=\"0\" errors=\"0\" failures=\"1\">\n\
                   <testcase name=\"a\"><skipped/></testcase></testsuite></testsuites>\n";
        assert_eq!(Count::from_junit(xml), Some(count(4, 2, 1)));
        assert_eq!(
            Count::from_junit("<testsuites name=\"x\" tests=\"3\" failures=\"0\" errors=\"0\"/>"),
            Some(count(3, 0, 0))
        );
        for broken in [
            "",
            "<html>",
            "<testsuites name=\"x\">",
            "<testsuites tests=\"1\" failures=\"2\">",
            "<testsuites",
        ] {
            assert_eq!(Count::from_junit(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_last_line_has_one_of_two_forms() {
        assert_eq!(count(3, 0, 0).to_string(), "3 passed, 0 failed");
        assert_eq!(count(3, 1, 2).to_string(), "3 passed, 1 failed, 2 skipped");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_counted_again(passed in 0..9999_u64, failed in 0..9999_u64, skipped in 0..9999_u64) {
            let shown = count(passed, failed, skipped);
            prop_assert_eq!(Count::from_summaries(Runner::Nextest, &format!("Summary [1s] {shown}")), Some(shown));
        }
    }
}
