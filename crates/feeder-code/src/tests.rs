//! Which edits change what.

use std::panic::Location;

use proptest::prelude::*;

use super::*;

const STORY: &str = r#"
use crate::helper::{boots, Node as Machine};

/// In the table.
pub const STORY: Scenario<Lab> = Scenario { name: "story", about: "it tells", run: story };
const TEXT: &str = "text";
const FAULTS: &[Fault] = &[Fault { name: "one" }];
struct Fault { name: &'static str }

fn story(lab: &mut Lab) -> Verdict {
    lab.step("first", |lab| lab.power_on())?;
    let worker = lab.node("cluster01")?;
    lab.step("second", |lab| boots(lab, &worker))?;
    for fault in FAULTS {
        lab.step(format!("{}: breaks", fault.name), |lab| breaks(lab, fault))?;
        lab.step(format!("{}: mends", fault.name), |lab| lab.mends())?;
    }
    many(lab, 3)
}

fn many(lab: &mut Lab, count: usize) -> Verdict {
    let much = twice(count);
    lab.step("last", |lab| lab.says(&format!("{TEXT}"), much))
}

fn twice(count: usize) -> usize { count * 2 }
fn breaks(lab: &mut Lab, fault: &Fault) -> Verdict { lab.run(include_str!("break.sh")) }
fn unused() -> usize { 7 }
"#;

const HELPER: &str = r#"
pub fn boots(lab: &mut Lab, node: &Machine) -> Verdict { node.power_on()?; node.is_up() }
pub struct Node;
impl Node { fn is_up(&self) -> Verdict { deep() } }
fn deep() -> Verdict { Ok(()) }
"#;

const STEPS: &[&str] = &["first", "second", "breaks", "mends", "last"];

fn look(story: &str, helper: &str, script: &str) -> Scenarios {
    let source = |path, text: &'static str| Source { path, bytes: text.as_bytes() };
    let leaked = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let sources = [source("src/story.rs", leaked(story)), source("src/helper.rs", leaked(helper))];
    scenarios(&sources, &[source("src/break.sh", leaked(script))])
}

/// The steps whose parts differ.
fn changed(before: &Scenarios, after: &Scenarios) -> Vec<&'static str> {
    assert_eq!((before.steps.len(), after.steps.len()), (5, 5));
    let pairs = before.steps.iter().zip(&after.steps).zip(STEPS);
    pairs.filter(|((a, b), _)| a.parts != b.parts).map(|(_, name)| *name).collect()
}

fn edit(from: &str, to: &str) -> Vec<&'static str> {
    assert_eq!(STORY.matches(from).count() + HELPER.matches(from).count(), 1, "{from}");
    let before = look(STORY, HELPER, "#!");
    changed(&before, &look(&STORY.replace(from, to), &HELPER.replace(from, to), "#!"))
}

#[test]
fn an_edit_changes_the_steps_that_it_reaches_and_no_others() {
    const NONE: [&str; 0] = [];
    // Bodies of steps.
    assert_eq!(edit("lab.says(", "lab.shouts("), ["last"]);
    assert_eq!(edit("lab.power_on())?", "lab.power_off())?"), ["first"]);
    assert_eq!(edit("lab.mends()", "{ lab.mends() }"), ["mends"]);
    // What they call, however deep, by method or by name.
    assert_eq!(edit("node.is_up() }", "node.is_up()?; Ok(()) }"), ["second"]);
    assert_eq!(edit("{ Ok(()) }", "{ Err(()) }"), ["second"]);
    assert_eq!(edit("lab.run(include", "lab.try_run(include"), ["breaks"]);
    // A constant in a format string.
    assert_eq!(edit(r#""text""#, r#""texts""#), ["last"]);
    // The table of a loop counts for all that is in it, and behind it.
    assert_eq!(edit(r#"name: "one""#, r#"name: "two""#), ["breaks", "mends", "last"]);
    // What goes before in the function, and in the caller of the function.
    assert_eq!(edit("cluster01", "cluster02"), ["second", "breaks", "mends", "last"]);
    assert_eq!(edit("many(lab, 3)", "many(lab, 4)"), ["last"]);
    assert_eq!(edit("count * 2", "count * 3"), ["last"]);
    // What nobody reaches, comments, layout, what a scenario is called.
    assert_eq!(edit("{ 7 }", "{ 8 }"), NONE);
    assert_eq!(edit("/// In the table.", "/// Not in it.\n\n// No."), NONE);
    assert_eq!(edit("lab.says(&format!", "lab\n .says( /* loudly */ &format!"), NONE);
    assert_eq!(edit("it tells", "it says"), NONE);
}

#[test]
fn a_renamed_function_or_import_counts() {
    let before = look(STORY, HELPER, "#!");
    let after = look(&STORY.replace("twice", "double"), HELPER, "#!");
    assert_eq!(changed(&before, &after), ["last"]);
    let imported = STORY.replace("{boots, ", "{deep as boots, ");
    assert_eq!(changed(&before, &look(&imported, HELPER, "#!")), ["second"]);
    let file = look(STORY, HELPER, "#!/bin/sh");
    assert_eq!(changed(&before, &file), ["breaks"], "a file that is included");
}

#[test]
fn the_order_of_steps_counts() {
    let swapped = STORY
        .replace(r#""first", |lab| lab.power_on()"#, "@@")
        .replace(r#""second", |lab| boots(lab, &worker)"#, r#""first", |lab| lab.power_on()"#)
        .replace("@@", r#""second", |lab| boots(lab, &worker)"#);
    let (before, after) = (look(STORY, HELPER, "#!"), look(&swapped, HELPER, "#!"));
    assert!(changed(&before, &after).starts_with(&["first", "second"]));
}

#[test]
fn a_scenario_reaches_all_of_its_steps() {
    let scenario = |story: &str| look(story, HELPER, "#!").scenarios["story"].clone();
    let before = scenario(STORY);
    for (from, to) in
        [("lab.mends()", "lab.bends()"), ("count * 2", "count * 3"), ("lab, 3", "lab, 4")]
    {
        assert_ne!(scenario(&STORY.replace(from, to)), before, "{from}");
    }
    assert_eq!(scenario(&STORY.replace("{ 7 }", "{ 8 }")), before);
}

#[test]
fn what_cannot_be_known_counts_for_everything() {
    let all =
        |story: &str, other: &str| changed(&look(STORY, HELPER, "#!"), &look(story, other, "#!"));
    let with = |text: &str| format!("{HELPER}\n{text}");
    assert_eq!(all(STORY, &with("make_items!(a);")), STEPS, "a macro may define anything");
    assert_eq!(all(STORY, &with("#[path = \"x.rs\"] mod x;")), STEPS, "a module from elsewhere");
    let hidden = STORY.replace("\"break.sh\"", "concat!(\"break\", \".sh\")");
    let before = look(&hidden, HELPER, "#!");
    assert_eq!(changed(&before, &look(&hidden, HELPER, "#!/bin/sh")), ["breaks"]);
    // With a `step` of the crate's own, bodies count for all that comes behind.
    let own = with("impl Other { fn step(&mut self, a: u8, b: impl Fn()) {} }");
    let before = look(STORY, &own, "#!");
    let after = look(&STORY.replace("lab.power_on())?", "lab.power_off())?"), &own, "#!");
    assert_eq!(changed(&before, &after), STEPS);
}

#[test]
fn broken_code_counts_whole() {
    let before = look(STORY, "fn broken( {", "#!");
    assert_eq!(changed(&before, &look(STORY, "fn broken( { ", "#!")), STEPS);
}

#[test]
fn files_of_tests_are_left_out_and_comments_do_not_count() {
    let files = |lib: &'static str, tests: &'static str| {
        digests(&[
            Source { path: "a/src/lib.rs", bytes: lib.as_bytes() },
            Source { path: "a/src/tests.rs", bytes: tests.as_bytes() },
            Source { path: "a/Cargo.toml", bytes: b"[package]" },
        ])
    };
    let before = files("#[cfg(test)]\nmod tests;\nfn a() {}", "fn t() {}");
    assert_eq!(before.keys().collect::<Vec<_>>(), ["a/Cargo.toml", "a/src/lib.rs"]);
    let same = files("//! About.\nfn a() { /* nothing */ }\n#[cfg(test)]\nmod tests;", "fn u() {}");
    assert_eq!(before, same);
    let counted = files("mod tests;\nfn a() {}", "fn t() {}");
    assert_eq!(counted.len(), 3);
    assert_eq!(files("#[cfg(test)]\nmod tests;\n#[cfg(not(test))]\nmod tests;", "").len(), 3);
    let elsewhere = |line: &'static str| files(line, "fn t() {}").len();
    assert_eq!(elsewhere("#[cfg(test)]\n#[path = \"b.rs\"]\nmod tests;"), 3);
    assert_eq!(elsewhere("#[cfg(test)]\n#[path = \"tests.rs\"]\nmod b;"), 2);
    assert_eq!(elsewhere("#[cfg(test)]\nmod tests;\n#[path = \"tests.rs\"]\nmod b;"), 3);
    assert_eq!(elsewhere("#[cfg(test)]\nmod tests;\nmod c { #[path = \"x.rs\"] mod b; }"), 3);
}

#[test]
fn tests_below_a_module_that_is_compiled_are_left_out() {
    let source = |path, text: &'static str| Source { path, bytes: text.as_bytes() };
    let found = digests(&[
        source("a/src/lib.rs", "mod b;"),
        source("a/src/b.rs", "mod c;\n#[cfg(test)]\nmod tests;"),
        source("a/src/b/c.rs", "fn c() {}"),
        source("a/src/b/tests.rs", "mod helper;"),
        source("a/src/b/tests/helper.rs", "fn h() {}"),
    ]);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a/src/b.rs", "a/src/b/c.rs", "a/src/lib.rs"]);
}

/// Calls itself by the names that scenarios use, and notes from where.
#[derive(Default)]
struct Probe(Vec<(String, u32, u32)>);

impl Probe {
    #[track_caller]
    fn step<T>(&mut self, _name: impl Into<String>, body: impl FnOnce(&mut Self) -> T) -> T {
        let at = Location::caller();
        self.0.push((at.file().to_owned(), at.line(), at.column()));
        body(self)
    }

    fn same(&mut self) -> &mut Self {
        self
    }
}

#[test]
fn places_are_those_that_a_caller_is_told() {
    fn told(probe: &mut Probe) {
        probe.step("one", |_| ());
        let ä = "not ASCII";
        probe.step(ä, |_| ());
        probe.same().same().step(format!("{} over lines", 1), |probe| {
            probe.step("inner", |_| ());
        });
        Probe::step(probe, "by its path", |_| ());
        for _ in 0..1 {
            if probe.step("condition", |_| true) {
                probe.step("branch", |_| ())
            }
        }
    }
    let mut probe = Probe::default();
    told(&mut probe);
    let text = include_bytes!("tests.rs");
    let found = scenarios(&[Source { path: file!(), bytes: text }], &[]);
    let mut found: Vec<_> =
        found.steps.iter().map(|step| (step.file.clone(), step.line, step.column)).collect();
    found.sort();
    probe.0.sort();
    assert_eq!(found, probe.0);
}

proptest! {
    /// Whatever token of a reached function changes, its step does.
    #[test]
    fn any_token_counts(pick in any::<prop::sample::Index>()) {
        let spots: Vec<(usize, char)> = HELPER
            .lines()
            .next_back()
            .map(|line| (HELPER.rfind(line).unwrap_or_default(), line))
            .into_iter()
            .flat_map(|(start, line)| line.char_indices().map(move |(at, c)| (start + at, c)))
            .filter(|(_, c)| c.is_alphabetic())
            .collect();
        // In the body only: with its name it would no longer be reached under the old one.
        let body = HELPER.rfind('{').unwrap_or_default();
        let spots: Vec<_> = spots.into_iter().filter(|(at, _)| *at > body).collect();
        let (at, c) = *pick.get(&spots);
        let mut edited = HELPER.to_owned();
        edited.replace_range(at..at + c.len_utf8(), "Z");
        prop_assert_eq!(changed(&look(STORY, HELPER, "#!"), &look(STORY, &edited, "#!")), ["second"]);
    }
}
