//! The power fails at every point of the move to an SSD, and the master boots from one of the two.

use feeder_scenario::{
    Class, Failure, Lab, Moment, OrFail, Scenario, Steps, Verdict,
    crash::{Chapter, Judge, Point, Recorded, Region, Side, Tally, Tried, Variant},
};
use fs_err as fs;

use crate::ssd_boot::power_on_beside_ssd;

/// In the table of scenarios.
pub const SSD_CRASH: Scenario<Lab> = Scenario {
    name: "ssd-crash",
    about: "wherever a power cut ends the move to an SSD, something boots and fsck mends it: a sample",
    run: |lab| ssd_crash(lab, 12),
};
/// In the table of scenarios.
pub const SSD_CRASH_ALL: Scenario<Lab> = Scenario {
    name: "ssd-crash-all",
    about: "the same at hundreds of points",
    run: |lab| ssd_crash(lab, 1),
};

/// Points that all chapters together must have.
const POINTS: usize = 200;

/// The move as it is recorded.
const CHAPTERS: &[Chapter] = &[
    Chapter { name: "switch: the card's boot files", has: switch, points: 120, variants: 3 },
    Chapter {
        name: "partitions",
        has: |p| ssd(p) && within(p, "ssd-partitions"),
        points: 40,
        variants: 2,
    },
    Chapter {
        name: "marks of the stages",
        has: |p| ssd(p) && p.region == Region::Table,
        points: 20,
        variants: 2,
    },
    Chapter {
        name: "file system",
        has: |p| ssd(p) && within(p, "ssd-file-system"),
        points: 40,
        variants: 2,
    },
    Chapter { name: "copy", has: |p| ssd(p) && within(p, "ssd-copy"), points: 40, variants: 1 },
    Chapter {
        name: "the SSD's boot partition",
        has: |p| ssd(p) && p.region == Region::Boot,
        points: 60,
        variants: 3,
    },
    Chapter {
        name: "end of the second copy, fstab, cmdline.txt",
        has: edits,
        points: 40,
        variants: 2,
    },
    Chapter {
        name: "second copy",
        has: |p| ssd(p) && within(p, "ssd-move"),
        points: 40,
        variants: 1,
    },
];

fn within(point: &Point, task: &str) -> bool {
    point.said.strip_prefix("task:").is_some_and(|said| said.starts_with(task))
}

fn ssd(point: &Point) -> bool {
    point.side == Side::Ssd
}

/// Nothing but the switch writes there while the system runs.
fn switch(point: &Point) -> bool {
    within(point, "ssd-move") && point.side == Side::Card && point.region == Region::Boot
}

/// What is written to the SSD's root after the copy has told of its progress for the last time: the rest of it, and the edits.
fn edits(point: &Point) -> bool {
    ssd(point) && within(point, "ssd-move copies") && !point.next.ends_with("copies")
}

fn ssd_crash(lab: &mut Lab, share: usize) -> Verdict {
    lab.step("power on a bare master beside an empty SSD", power_on_beside_ssd)?;
    lab.step("provision the master from nothing", |lab| lab.provision().applies_changes())?;
    lab.step("it moves to the SSD, and boots wherever its power fails", |lab| {
        let recorded = moves(lab)?;
        lab.step("its power fails at one point after the other", |lab| fails(lab, &recorded, share))
    })?;
    lab.step("with half of the switch on its card, it boots", |lab| {
        lab.master().power_on()?.until_ssh().map(drop)
    })?;
    lab.step("provision finishes the move", |lab| {
        lab.provision().onto_ssd().applies_changes()?;
        lab.master().runs_from_ssd()
    })?;
    lab.step("provision again", |lab| lab.provision().onto_ssd().finds_nothing_to_do())
}

/// Moves the master while its disks are recorded, and takes its power before it restarts.
fn moves(lab: &mut Lab) -> Verdict<Recorded> {
    let master = lab.master();
    let recording = master.cut_power()?.record_disks()?;
    lab.step("provision moves it while its disks are recorded", |lab| {
        lab.master().power_on()?.until_ssh()?;
        lab.provision().onto_ssd().loses_power_on(&recording, Moment::Done("task:ssd-move"))
    })?;
    recording.end()
}

/// Tries one of `share` points, and leaves the disks of one of them in the master: of those where the switch is half done, one
/// that fsck has the most trouble with.
fn fails(lab: &mut Lab, recorded: &Recorded, share: usize) -> Verdict {
    let master = lab.master();
    let scratch = lab.story().dir().scratch().to_owned();
    let mut judge = Judge::new(recorded, &scratch)?;
    let unordered = judge.unordered();
    let chapters: Vec<_> = CHAPTERS
        .iter()
        .map(|chapter| Chapter { points: chapter.points.div_ceil(share).max(2), ..*chapter })
        .collect();
    let (mut lines, mut hardest) = (String::new(), 0);
    let tally = Tally::of(&mut judge, &chapters, &mut |tried, judge| {
        lines.push_str(&format!("{tried}\n"));
        if is_half_switched(tried) && judge.mended_after() > hardest {
            hardest = judge.mended_after();
            lab.story().note(format!("to be booted: {tried}; whole after {hardest} times fsck"));
            let [card, ssd] = judge.images();
            lab.exchange_disks(&master, card, ssd)?;
        }
        Ok(())
    })?;
    let file = lab.story().dir().file("crash-points.txt");
    fs::write(&file, format!("{tally}\n{lines}")).or_fail(Class::Host, "cannot keep the points")?;
    let total = tally.total();
    let said =
        format!("{} points, {} states, {} survived", total.points, total.states, total.survived);
    lab.story().evidence("crash points", &file, Some(said.clone()));
    lab.story().note(format!("{unordered} writes lie in no point: both disks wrote at once"));
    if total.survived < total.states {
        let mut failure =
            Failure::product(format!("not at all points does something boot: {said}"));
        for line in tally.failures {
            failure = failure.detail(line);
        }
        return Err(failure.on(master.name()));
    }
    if share == 1 && total.points < POINTS {
        return Err(Failure::scenario(format!("{said}, which is less than {POINTS} points")));
    }
    if hardest == 0 {
        return Err(Failure::scenario("at no point was the switch half done"));
    }
    lab.story().summary(said);
    Ok(())
}

/// Whether the card's FAT was being changed, with writes lost, and the card is still what boots.
fn is_half_switched(tried: &Tried<'_>) -> bool {
    let from_card = tried.outcome.as_ref().is_ok_and(|boots| boots.kernel == Side::Card);
    switch(tried.point) && matches!(tried.variant, Variant::Lost(_)) && from_card
}
