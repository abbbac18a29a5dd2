//! Steps: their numbers, times, endings.

use std::{sync::atomic::Ordering, time::Duration};

use super::*;
use crate::testing::TestRun;

struct Lab(Story);

impl Steps for Lab {
    fn story(&self) -> &Story {
        &self.0
    }
}

fn endings(run: &TestRun) -> Vec<String> {
    run.events()
        .into_iter()
        .filter_map(|event| match event {
            Event::StepFinished { number, ending, summary, took, .. } => {
                let summary = summary.unwrap_or_default();
                Some(format!("{number} {ending} {:?}/{:?} {summary}", took.wall, took.guest))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn steps_nest_and_are_timed_by_both_clocks() {
    let run = TestRun::new();
    let guest = run.machine("cluster00");
    let pass = |wall: u64, work: u64| {
        guest.works(Duration::from_secs(work));
        run.clock.advance(Duration::from_secs(wall));
    };
    let mut lab = Lab(run.story.clone());
    pass(3, 3);
    lab.step("provision", |lab| {
        pass(1, 0);
        lab.step("apply", |lab| {
            pass(5, 9);
            lab.story().summary("47 changed");
            Ok(())
        })?;
        lab.step("verify", |_| {
            pass(2, 1);
            Ok(())
        })?;
        assert_eq!(lab.story().current_step().unwrap().number, "1");
        Ok(())
    })
    .unwrap();
    lab.step("the worker netboots", |_| Ok(())).unwrap();
    assert_eq!(
        endings(&run),
        [
            "1.1 passed 5s/9s 47 changed",
            "1.2 passed 2s/1s ",
            "1 passed 8s/10s ",
            "2 passed 0ns/0ns ",
        ]
    );
    assert_eq!(run.story.current_step(), None);
}

#[test]
fn the_first_failure_stops_the_story_even_when_it_is_dropped() {
    let run = TestRun::new();
    let story = &run.story;
    let outer = story.step("one", || {
        let _dropped = story.step::<()>("inside", || Err(Failure::product("no lease")));
        Ok(())
    });
    let failure = outer.unwrap_err();
    assert_eq!(failure.message, "no lease");
    assert_eq!(failure.step.unwrap().number, "1.1");
    let mut ran = false;
    let later = story.step("two", || {
        ran = true;
        Ok(())
    });
    assert_eq!(later.unwrap_err().message, "no lease");
    assert!(!ran);
    assert_eq!(endings(&run), ["1.1 failed 0ns/0ns ", "1 failed 0ns/0ns "]);
}

#[test]
fn a_panic_in_a_step_fails_the_step() {
    let run = TestRun::new();
    let failure = run.story.step::<()>("one", || panic!("index out of bounds")).unwrap_err();
    assert_eq!(failure.class, Class::Harness);
    assert!(failure.message.contains("index out of bounds"));
    assert_eq!(failure.step.unwrap().name, "one");
    assert_eq!(endings(&run), ["1 failed 0ns/0ns "]);
}

#[test]
fn what_breaks_after_an_interrupt_is_interrupted() {
    let run = TestRun::new();
    let failure = run
        .story
        .step::<()>("one", || {
            run.interrupt.store(true, Ordering::Relaxed);
            Err(Failure::product("cluster00: connection lost"))
        })
        .unwrap_err();
    assert_eq!(failure.class, Class::Interrupted);
    assert_eq!(failure.details, ["cluster00: connection lost"]);
    assert_eq!(endings(&run), ["1 interrupted 0ns/0ns "]);
}

#[test]
fn no_step_begins_after_an_interrupt() {
    let run = TestRun::new();
    run.interrupt.store(true, Ordering::Relaxed);
    let failure = run.story.step("one", || Ok(())).unwrap_err();
    assert_eq!(failure.class, Class::Interrupted);
    assert!(endings(&run).is_empty());
}

/// Steps that are taken over keep their numbers and records, and the clocks go on where they end.
#[test]
fn a_reused_step_is_told_as_if_it_had_been_played() {
    let first = TestRun::new();
    let guest = first.machine("cluster00");
    first.clock.advance(Duration::from_secs(7));
    let (place, start) = (first.story.journal().len(), first.story.now());
    first
        .story
        .step("one", || {
            first.clock.advance(Duration::from_secs(30));
            guest.works(Duration::from_secs(20));
            Ok(())
        })
        .unwrap();
    let records = first.story.journal().since(place, start);
    let took = first.story.now().since(start);

    let second = TestRun::new();
    second.clock.advance(Duration::from_secs(1));
    second.story.reuse(&records, took);
    second.story.guests().restore("cluster00", Duration::from_secs(20));
    second.story.journal().guests_know_their_past();
    second.clock.advance(Duration::from_secs(2));
    second.story.step("two", || Ok(())).unwrap();
    let told: Vec<_> = second
        .story
        .journal()
        .records()
        .iter()
        .filter_map(|record| match &record.event {
            Event::StepStarted { number, .. } => Some((
                number.clone(),
                record.reused,
                record.at.wall.as_secs(),
                record.at.guest.as_secs(),
            )),
            _ => None,
        })
        .collect();
    assert_eq!(told, [("1".to_owned(), true, 1, 0), ("2".to_owned(), false, 33, 20)]);
}
