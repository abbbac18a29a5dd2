//! A question to the user.

use std::io::{self, IsTerminal, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What the user said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `y` or `yes`.
    Yes,
    /// Anything else, or the end of input.
    No,
    /// Nobody was asked: stdin or stderr is no terminal.
    NoTerminal,
    /// `stop` became true while waiting.
    Stopped,
}

/// Asks a question that is answered by y or n, on the terminal. `stop` is asked several times a second, because a signal
/// that only sets a flag does not end a read.
pub fn ask(question: &str, stop: &dyn Fn() -> bool) -> Answer {
    match typed(&format!("{question} [y/N] "), stop) {
        Ok(line) => understood(&line),
        Err(answer) => answer,
    }
}

/// Asks for what cannot be undone: `Yes` only when exactly `word` is typed. `stop` as for [`ask`].
pub fn ask_for(question: &str, word: &str, stop: &dyn Fn() -> bool) -> Answer {
    match typed(&format!("{question}\ntype {word} to go on: "), stop) {
        Ok(line) if line.trim() == word => Answer::Yes,
        Ok(_) => Answer::No,
        Err(answer) => answer,
    }
}

/// Asks for a line of text, without blanks around it; `default` is what a mere return means. `stop` as for [`ask`].
///
/// # Errors
/// Why there is no line: [`Answer::No`] at the end of input, [`Answer::NoTerminal`], [`Answer::Stopped`].
pub fn ask_line(question: &str, default: &str, stop: &dyn Fn() -> bool) -> Result<String, Answer> {
    let line = typed(&format!("{question} [{default}] "), stop)?;
    if line.is_empty() {
        return Err(Answer::No);
    }
    let line = line.trim();
    Ok(if line.is_empty() { default } else { line }.to_owned())
}

/// A line that the user types, or why there is none.
fn typed(prompt: &str, stop: &dyn Fn() -> bool) -> Result<String, Answer> {
    let stdin = io::stdin();
    if !stdin.is_terminal() || !io::stderr().is_terminal() {
        return Err(Answer::NoTerminal);
    }
    let mut stderr = anstream::stderr().lock();
    // A question that nobody sees is answered by nobody: the poll below ends with the user's Ctrl-C.
    let _lost = write!(stderr, "{prompt}").and_then(|()| stderr.flush());
    let moment = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
    while !matches!(poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&moment)), Ok(1..)) {
        if stop() {
            let _lost = writeln!(stderr);
            return Err(Answer::Stopped);
        }
    }
    let mut line = String::new();
    // A terminal hands over whole lines, so this does not wait.
    stdin.read_line(&mut line).map(|_| line).map_err(|_| Answer::No)
}

fn understood(line: &str) -> Answer {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Answer::Yes,
        _ => Answer::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (line, answer) in [
            ("y\n", Answer::Yes),
            (" YES \n", Answer::Yes),
            ("\n", Answer::No),
            ("", Answer::No),
            ("yess\n", Answer::No),
        ] {
            assert_eq!(understood(line), answer, "{line:?}");
        }
    }
}
