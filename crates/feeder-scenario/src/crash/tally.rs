//! What came of many points.

use std::fmt;

use super::{Boots, Judge, Point, Side, Variant};
use crate::Verdict;

/// A part of what was recorded, of which points are tried.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// What goes on in it.
    pub name: &'static str,
    /// Which points belong to it; the first chapter that says so has it.
    pub has: fn(&Point) -> bool,
    /// How many points are tried, evenly spread; all when it has fewer.
    pub points: usize,
    /// How many torn forms and how many seeds of lost writes are tried at each.
    pub variants: usize,
}

/// A state that was tried.
#[derive(Debug)]
pub struct Tried<'p> {
    /// Its chapter.
    pub chapter: &'static str,
    /// The point.
    pub point: &'p Point,
    /// What was lost.
    pub variant: Variant,
    /// What the board boots, or why it does not.
    pub outcome: Result<Boots, String>,
}

/// What came of a chapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The chapter.
    pub name: &'static str,
    /// Points of it in the recording.
    pub known: usize,
    /// Points that were tried.
    pub points: usize,
    /// States that were tried: each point with each variant.
    pub states: usize,
    /// States of which the board booted.
    pub survived: usize,
    /// Of these, from the SSD.
    pub from_ssd: usize,
}

/// What came of all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// By chapter.
    pub rows: Vec<Row>,
    /// Those that did not survive, each in a line.
    pub failures: Vec<String>,
}

impl Tally {
    /// Tries points of chapters in their order. `seen` is told of each state while the judge's images are as that state left them.
    ///
    /// # Errors
    /// What the judge or `seen` gives.
    pub fn of(
        judge: &mut Judge<'_>,
        chapters: &[Chapter],
        seen: &mut dyn FnMut(&Tried<'_>, &Judge<'_>) -> Verdict,
    ) -> Verdict<Self> {
        let all = judge.points().to_vec();
        let in_chapter = |point: &Point| chapters.iter().position(|chapter| (chapter.has)(point));
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); chapters.len()];
        for (index, point) in all.iter().enumerate() {
            if let Some(chapter) = in_chapter(point) {
                members[chapter].push(index);
            }
        }
        let row = |(chapter, members): (&Chapter, &Vec<usize>)| Row {
            name: chapter.name,
            known: members.len(),
            points: 0,
            states: 0,
            survived: 0,
            from_ssd: 0,
        };
        let mut tally =
            Self { rows: chapters.iter().zip(&members).map(row).collect(), failures: Vec::new() };
        let mut chosen: Vec<(usize, usize)> = Vec::new();
        for (chapter, members) in members.iter().enumerate() {
            chosen.extend(spread(members, chapters[chapter].points).map(|index| (index, chapter)));
        }
        // Time goes forwards only.
        chosen.sort_unstable();
        for (index, chapter) in chosen {
            let point = &all[index];
            tally.rows[chapter].points += 1;
            for variant in point.variants(chapters[chapter].variants) {
                let fsck = variant == Variant::Lost(1);
                let outcome = judge.judge(point, variant, fsck)?;
                let tried = Tried { chapter: chapters[chapter].name, point, variant, outcome };
                tally.count(chapter, &tried);
                seen(&tried, judge)?;
            }
        }
        Ok(tally)
    }

    fn count(&mut self, chapter: usize, tried: &Tried<'_>) {
        let row = &mut self.rows[chapter];
        row.states += 1;
        match &tried.outcome {
            Ok(boots) => {
                row.survived += 1;
                row.from_ssd += usize::from(boots.kernel == Side::Ssd);
            }
            Err(_) => self.failures.push(tried.to_string()),
        }
    }

    /// All chapters together.
    #[must_use]
    pub fn total(&self) -> Row {
        let sum = |of: fn(&Row) -> usize| self.rows.iter().map(of).sum();
        Row {
            name: "all",
            known: sum(|row| row.known),
            points: sum(|row| row.points),
            states: sum(|row| row.states),
            survived: sum(|row| row.survived),
            from_ssd: sum(|row| row.from_ssd),
        }
    }
}

/// So many of them, evenly spread, with the first and the last.
fn spread(members: &[usize], most: usize) -> impl Iterator<Item = usize> {
    let count = members.len().min(most);
    (0..count).map(move |n| members[n * (members.len() - 1) / (count - 1).max(1)])
}

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}: ", self.chapter, self.point, self.variant)?;
        match &self.outcome {
            Ok(Boots { kernel, root }) => write!(f, "boots from the {kernel}, root on the {root}"),
            Err(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<48} {:>8} {:>8} {:>8} {:>9} {:>9}",
            "chapter", "writes", "points", "states", "survived", "from SSD"
        )?;
        for row in self.rows.iter().chain([&self.total()]) {
            let Row { name, known, points, states, survived, from_ssd } = row;
            writeln!(
                f,
                "{name:<48} {known:>8} {points:>8} {states:>8} {survived:>9} {from_ssd:>9}"
            )?;
        }
        Ok(())
    }
}
