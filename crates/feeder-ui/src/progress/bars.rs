//! Progress on a terminal: a spinner or a bar for each task, which becomes a line when the task ends.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Doing, Event, Outcome, Sink, TaskId, last_line};

const FAILED: Style = AnsiColor::Red.on_default();
/// A bar's resolution; positions are drawn as shares of it.
const WHOLE: u64 = 1000;

pub(super) struct Bars {
    multi: MultiProgress,
    open: Mutex<BTreeMap<TaskId, Open>>,
    /// Below the tasks; locked after `open`.
    panel: Mutex<Vec<ProgressBar>>,
    /// Where things are drawn while nobody types.
    target: Box<dyn Fn() -> ProgressDrawTarget + Send + Sync>,
    /// Writes a line that stays. Ours and not indicatif's, which fills lines with spaces instead of ending them.
    write: Box<dyn Fn(&str) + Send + Sync>,
}

struct Open {
    bar: ProgressBar,
    doing: Doing,
    /// Whether it has become a bar, because its whole is known.
    measured: bool,
}

impl Bars {
    pub(super) fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr, crate::output::talk)
    }

    fn on(
        target: impl Fn() -> ProgressDrawTarget + Send + Sync + 'static,
        write: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let multi = MultiProgress::with_draw_target(target());
        let (open, panel) = (Mutex::default(), Mutex::default());
        Self { multi, open, panel, target: Box::new(target), write: Box::new(write) }
    }

    fn line(&self, text: &str) {
        self.multi.suspend(|| (self.write)(text));
    }
}

impl Sink for Bars {
    fn event(&self, event: Event<'_>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { task, name } => {
                let bar = ProgressBar::new(WHOLE).with_style(spinner());
                // Above the panel.
                let bar = self.multi.insert(open.len(), bar);
                bar.set_prefix(name.to_owned());
                bar.enable_steady_tick(Duration::from_millis(120));
                open.insert(task, Open { bar, doing: Doing::default(), measured: false });
            }
            Event::Said { task, text } => {
                if let Some(open) = open.get_mut(&task) {
                    text.clone_into(&mut open.doing.text);
                    open.bar.set_message(open.doing.text());
                }
            }
            Event::Moved { task, position } => {
                if let Some(open) = open.get_mut(&task) {
                    open.doing.position = Some(position);
                    if let Some(share) = position.share() {
                        if !open.measured {
                            open.measured = true;
                            open.bar.set_style(bar());
                        }
                        open.bar.set_position((share * WHOLE as f64) as u64);
                    }
                    open.bar.set_message(open.doing.text());
                }
            }
            Event::Ended { task, name, outcome, text, took } => {
                let doing = open.remove(&task).map(|open| {
                    open.bar.finish_and_clear();
                    self.multi.remove(&open.bar);
                    open.doing
                });
                let line = last_line(name, outcome, text, &doing.unwrap_or_default(), took);
                match outcome {
                    Outcome::Done => self.line(&line),
                    Outcome::Failed | Outcome::NotFinished => {
                        self.line(&format!("{FAILED}{line}{FAILED:#}"))
                    }
                }
            }
            Event::Note { text } => self.line(text),
        }
    }

    fn panel(&self, lines: &[String]) {
        let mut panel = self.panel.lock().unwrap_or_else(PoisonError::into_inner);
        while panel.len() > lines.len() {
            if let Some(bar) = panel.pop() {
                bar.finish_and_clear();
                self.multi.remove(&bar);
            }
        }
        for (index, line) in lines.iter().enumerate() {
            if index == panel.len() {
                let bar = ProgressBar::new(WHOLE).with_style(style("{wide_msg}"));
                panel.push(self.multi.add(bar));
            }
            panel[index].set_message(line.clone());
        }
    }

    fn has_panel(&self) -> bool {
        true
    }

    fn hold(&self, held: bool) {
        if held {
            // What is drawn would stay above the prompt for ever.
            let _undrawn = self.multi.clear();
            self.multi.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            self.multi.set_draw_target((self.target)());
        }
    }
}

fn spinner() -> ProgressStyle {
    style("  {prefix:<10} {spinner} {wide_msg} {took:>8}")
}

fn bar() -> ProgressStyle {
    style("  {prefix:<10} {bar:16} {wide_msg} {took:>8}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates above are well-formed")
        .progress_chars("━╸ ")
        .with_key("took", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            // Writing into indicatif's line buffer cannot fail.
            let _infallible = out.write_str(&crate::elapsed(state.elapsed()));
        })
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use indicatif::TermLike;

    use super::*;
    use crate::{Progress, Task};

    /// Just enough of a terminal: rows of 80 columns that wrap, and a cursor that overwrites.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<Grid>>);

    #[derive(Debug, Default)]
    struct Grid {
        rows: Vec<Vec<char>>,
        row: usize,
        column: usize,
    }

    impl Grid {
        fn put(&mut self, character: char) {
            if character == '\r' {
                self.column = 0;
                return;
            }
            if self.column == 80 {
                (self.row, self.column) = (self.row + 1, 0);
            }
            let height = self.rows.len().max(self.row + 1);
            self.rows.resize(height, vec![' '; 80]);
            self.rows[self.row][self.column] = character;
            self.column += 1;
        }

        fn clear(&mut self) {
            self.column = 0;
            if let Some(row) = self.rows.get_mut(self.row) {
                row.fill(' ');
            }
        }
    }

    impl Screen {
        fn with<T>(&self, act: impl FnOnce(&mut Grid) -> T) -> T {
            act(&mut self.0.lock().expect("no test thread panics"))
        }

        fn contents(&self) -> Vec<String> {
            let rows = self.with(|grid| grid.rows.clone());
            let rows = rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned());
            rows.filter(|row| !row.is_empty()).collect()
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            80
        }
        fn height(&self) -> u16 {
            24
        }
        fn move_cursor_up(&self, n: usize) -> io::Result<()> {
            self.with(|grid| grid.row = grid.row.saturating_sub(n));
            Ok(())
        }
        fn move_cursor_down(&self, n: usize) -> io::Result<()> {
            self.with(|grid| grid.row += n);
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)?;
            self.with(|grid| (grid.row, grid.column) = (grid.row + 1, 0));
            Ok(())
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            let text = anstream::adapter::strip_str(text).to_string();
            self.with(|grid| text.chars().for_each(|character| grid.put(character)));
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.with(Grid::clear);
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn screen() -> (Progress, Screen) {
        let screen = Screen::default();
        let (below, drawn) = (screen.clone(), screen.clone());
        let write = move |line: &str| below.write_line(line).expect("a screen of ours");
        let bars = Bars::on(move || ProgressDrawTarget::term_like(Box::new(drawn.clone())), write);
        (Progress { sink: Arc::new(bars) }, screen)
    }

    #[test]
    fn a_task_becomes_a_line() {
        let (progress, screen) = screen();
        let task: Task = progress.task("packages");
        task.say("fetching");
        task.count(3, Some(6));
        let during = screen.contents().join("\n");
        assert!(during.contains("packages") && during.contains("━━━━"), "{during}");
        task.done("214 from store");
        assert_eq!(screen.contents(), ["  packages   214 from store"]);
    }

    #[test]
    fn a_failure_and_a_note_stay_on_the_screen() {
        let (progress, screen) = screen();
        let other = progress.task("other");
        progress.task("image").failed("no space");
        progress.note("the store is on /var");
        other.done("ready");
        assert_eq!(
            screen.contents(),
            ["  image      failed: no space", "the store is on /var", "  other      ready"]
        );
    }

    #[test]
    fn a_panel_stays_below_and_leaves_nothing() {
        let (progress, screen) = screen();
        progress.panel(&["cluster00  ssh".into(), "cluster01  off".into()]);
        let task = progress.task("step 1");
        task.say("power on");
        let during = screen.contents();
        assert!(during[0].contains("step 1"), "{during:?}");
        assert_eq!(during[1..], ["cluster00  ssh", "cluster01  off"]);
        task.done("power on");
        progress.panel(&["cluster00  ssh".into()]);
        assert_eq!(screen.contents(), ["  step 1     power on", "cluster00  ssh"]);
        progress.panel(&[]);
        assert_eq!(screen.contents(), ["  step 1     power on"]);
    }

    #[test]
    fn nothing_moves_while_somebody_types() {
        let (progress, screen) = screen();
        let task = progress.task("cluster01");
        task.say("power on");
        let held = progress.hold();
        assert!(screen.contents().is_empty(), "{:?}", screen.contents());
        task.say("kernel");
        progress.panel(&["cluster01  kernel".into()]);
        progress.note("a line that stays");
        assert_eq!(screen.contents(), ["a line that stays"]);
        drop(held);
        task.say("systemd");
        assert!(screen.contents().join("\n").contains("systemd"), "{:?}", screen.contents());
        task.done("ssh");
    }
}
