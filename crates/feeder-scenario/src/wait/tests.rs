//! The law of deadlines, by fake clocks.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use proptest::prelude::*;

use super::*;
use crate::{Guest, PowerEnd, clock::fake::FakeClock, clock::locked, testing::TestRun};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long a wait that never gets what it wants takes by the wall clock, when the guest gets `share` percent of a CPU.
fn endless_wait(share: u32, budget: Budget) -> (Failure, Duration) {
    let run = TestRun::new();
    let guest = run.machine("cluster01");
    run.clock.world(move |passed| guest.works(passed * share / 100));
    let spec = WaitSpec::new("cluster01", "an SSH banner", budget);
    let failure = run.story.wait::<()>(spec, || Poll::Pending).unwrap_err();
    (failure, run.story.now().wall)
}

#[test]
fn a_wedged_guest_fails_when_its_budget_is_worked_off() {
    let (failure, took) = endless_wait(100, Budget::seconds(60));
    assert_eq!(took, seconds(60));
    assert_eq!(failure.class, Class::Product);
    assert!(failure.message.ends_with("it did not come within 60 s of guest work"), "{failure}");
}

#[test]
fn a_starved_host_only_takes_longer() {
    let (failure, took) = endless_wait(50, Budget::seconds(60));
    assert_eq!(took, seconds(120), "half the speed, twice the time");
    assert!(failure.message.ends_with("it did not come within 60 s of guest work"), "{failure}");
    let (_, took) = endless_wait(30, Budget::seconds(60));
    assert_eq!(took, seconds(200));
}

/// How a wait that never gets what it wants ends on a host that gives the guest one part in `load` of the time it asks for.
/// It works for `share` percent of the time that it has.
fn starved_wait(share: u32, load: u32, budget: Budget) -> (Failure, Duration) {
    let run = TestRun::new();
    let guest = run.machine("cluster01");
    run.clock.world(move |passed| {
        guest.works(passed / load * share / 100);
        guest.starves(passed - passed / load);
    });
    let spec = WaitSpec::new("cluster01", "an SSH banner", budget);
    let failure = run.story.wait::<()>(spec, || Poll::Pending).unwrap_err();
    (failure, run.story.now().wall)
}

#[test]
fn a_wedged_guest_fails_the_same_way_on_a_busy_host() {
    for (share, why, unloaded) in [
        (100, "it did not come within 60 s of guest work", 60),
        (50, "it did not come within 60 s of guest work", 120),
        (1, "it did not come, and the guest was idle", 240),
    ] {
        for load in [1, 2, 4] {
            let (failure, took) = starved_wait(share, load, Budget::seconds(60));
            assert!(failure.message.ends_with(why), "{failure}");
            assert_eq!(took, seconds(unloaded) * load, "share {share}, load {load}");
            let told = failure.details.iter().any(|line| line.starts_with("ready to work"));
            assert_eq!(told, load > 1, "{failure:?}");
        }
    }
    // Eight times slower, a guest that works would have failed for idling if starvation did not count.
    let (failure, took) = starved_wait(100, 8, Budget::seconds(60));
    assert!(failure.message.ends_with("it did not come within 60 s of guest work"), "{failure}");
    assert_eq!(took, seconds(480));
}

#[test]
fn a_host_that_lets_nobody_run_is_blamed_in_the_end() {
    let (failure, took) = starved_wait(100, 1000, Budget::seconds(60));
    assert_eq!(took, seconds(960));
    assert_eq!(failure.class, Class::Host);
    assert!(
        failure.message.ends_with("it did not come, and the host hardly let the guest run"),
        "{failure}"
    );
}

#[test]
fn a_loaded_host_does_not_fail_what_comes_in_time() {
    let run = TestRun::new();
    let guest = run.machine("cluster01");
    let working = guest.clone();
    run.clock.world(move |passed| working.works(passed * 3 / 10));
    let spec = WaitSpec::new("cluster01", "systemd", Budget::seconds(60));
    let came = run.story.wait(spec, || match guest.cpu_time() {
        Some(used) if used >= seconds(59) => Poll::Ready(used),
        _ => Poll::Pending,
    });
    assert!(came.is_ok() && run.story.now().wall > seconds(190), "{came:?}");
}

#[test]
fn an_idle_guest_fails_after_four_times_its_budget() {
    for share in [0, 2] {
        let (failure, took) = endless_wait(share, Budget::seconds(60));
        assert_eq!(took, seconds(240));
        assert!(failure.message.ends_with("it did not come, and the guest was idle"), "{failure}");
    }
}

#[test]
fn a_machine_that_is_not_there_fails_like_an_idle_one() {
    let run = TestRun::new();
    let spec = WaitSpec::new("nobody", "an answer", Budget::seconds(10));
    assert!(run.story.wait::<()>(spec, || Poll::Pending).is_err());
    assert_eq!(run.story.now().wall, seconds(40));
}

#[test]
fn work_before_the_wait_and_of_others_does_not_count() {
    let run = TestRun::new();
    let (guest, other) = (run.machine("cluster01"), run.machine("cluster02"));
    guest.works(seconds(1000));
    run.clock.advance(seconds(1000));
    run.clock.world(move |passed| {
        guest.works(passed / 2);
        other.works(passed * 100);
    });
    let spec = WaitSpec::new("cluster01", "ssh", Budget::seconds(30));
    assert!(run.story.wait::<()>(spec, || Poll::Pending).is_err());
    assert_eq!(run.story.now().wall, seconds(1060));
}

#[test]
fn watched_machines_work_together() {
    let run = TestRun::new();
    let guests = [run.machine("cluster00"), run.machine("cluster01")];
    run.clock.world(move |passed| guests.iter().for_each(|guest| guest.works(passed)));
    let spec = WaitSpec::new("cluster01", "ssh", Budget::seconds(30)).watching(["cluster00"]);
    let failure = run.story.wait::<()>(spec, || Poll::Pending).unwrap_err();
    assert_eq!(run.story.now().wall, seconds(15));
    assert!(
        failure.details[0].contains("cluster01 and cluster00 used 30 s of vCPU time"),
        "{:?}",
        failure.details
    );
}

fn progress(wall: u64, guest: u64, starved: u64) -> Progress {
    let ms = Duration::from_millis;
    Progress { clocks: Reading { wall: ms(wall), guest: ms(guest) }, starved: ms(starved) }
}

proptest! {
    /// Only totals count: no split of the same passing of time spends more or less, nothing ends before the budget could be
    /// spent, and nothing outlives it.
    #[test]
    fn spending_depends_on_totals_alone(
        steps in proptest::collection::vec((0u64..100_000, 0u64..100_000, 0u64..100), 0..50),
        budget in 1u64..1_000_000,
    ) {
        let budget = Budget(Duration::from_millis(budget));
        let start = progress(7000, 3000, 2000);
        let deadline = Deadline::new(start, budget);
        let mut now = start;
        let mut before = Duration::ZERO;
        for (wall, guest, starved) in steps {
            let step = progress(wall, guest, wall * starved / 100);
            now.clocks.wall += step.clocks.wall;
            now.clocks.guest += step.clocks.guest;
            now.starved += step.starved;
            let spent = deadline.spent(now);
            prop_assert!(spent >= before, "nothing is given back");
            before = spent;
            let passed = now.since(start);
            let Reading { wall, guest } = passed.clocks;
            prop_assert_eq!(
                spent, guest.max((wall - passed.starved) / 4).max(wall / 16)
            );
            prop_assert_eq!(deadline.expired(now).is_some(), spent >= budget.0);
            prop_assert_eq!(deadline.expired(now) == Some(Expiry::Worked), guest >= budget.0);
            if guest < budget.0 && wall < budget.0 * 4 {
                prop_assert_eq!(deadline.expired(now), None, "neither worked nor waited long enough");
            }
            if wall >= budget.0 * 16 {
                prop_assert!(deadline.expired(now).is_some(), "every wait ends");
            }
        }
    }

    /// Load does not matter: the same work and the same idling spend the same, however long the host kept them waiting, up to
    /// three quarters of the time; and the wait ends in the same way.
    #[test]
    fn starvation_spends_nothing(
        work in 0u64..1_000_000,
        idle in 0u64..1_000_000,
        starved in 0u64..=3_000_000,
        budget in 1u64..1_000_000,
    ) {
        let starved = starved.min(3 * (work + idle));
        let deadline = Deadline::new(Progress::default(), Budget(Duration::from_millis(budget)));
        let alone = progress(work + idle, work, 0);
        let loaded = progress(work + idle + starved, work, starved);
        prop_assert_eq!(deadline.spent(loaded), deadline.spent(alone));
        prop_assert_eq!(deadline.expired(loaded), deadline.expired(alone));
    }

    /// Several threads that wait at the same time count several times, which never ends a wait early, nor breaks the law.
    #[test]
    fn more_starvation_never_spends_more(
        wall in 0u64..1_000_000,
        guest in 0u64..1_000_000,
        starved in 0u64..4_000_000,
        more in 0u64..4_000_000,
    ) {
        let deadline = Deadline::new(Progress::default(), Budget::seconds(1));
        let spent = |starved| deadline.spent(progress(wall, guest, starved));
        prop_assert!(spent(starved + more) <= spent(starved));
        prop_assert!(spent(starved + more) >= Duration::from_millis(guest.max(wall / 16)));
    }
}

#[test]
fn a_failed_wait_says_what_was_last_seen() {
    let run = TestRun::new();
    let guest = run.machine("cluster01");
    *locked(&guest.lines) = (1..=9).map(|line| format!("console line {line}")).collect();
    run.story.power_on("cluster01", "virt");
    run.clock.world(move |passed| guest.works(passed / 2));
    let looks = AtomicU32::new(0);
    let failure = run
        .story
        .step("the worker netboots", || {
            let spec = WaitSpec::new("cluster01", "an SSH banner", Budget::seconds(30))
                .hint("is its key there?");
            run.story.wait::<()>(spec, || {
                let look = looks.fetch_add(1, Ordering::Relaxed);
                Poll::Seen(format!("connection refused, attempt {}", look.min(3)))
            })
        })
        .unwrap_err();
    let text = std::iter::once(failure.message.clone())
        .chain(failure.details.clone())
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(text, @r#"
    waited for an SSH banner on cluster01 in step 1, "the worker netboots": it did not come within 30 s of guest work
    waited 60 s, in which cluster01 used 30 s of vCPU time, of a budget of 30 s
    last seen: connection refused, attempt 3
    last event on cluster01, 60 s ago: power on (virt)
    last on the console of cluster01:
      | console line 4
      | console line 5
      | console line 6
      | console line 7
      | console line 8
      | console line 9
    "#);
    assert_eq!(failure.hint.as_deref(), Some("is its key there?"));
    assert_eq!(failure.node.as_deref(), Some("cluster01"));
    let ended = run.events().into_iter().rev().find_map(|event| match event {
        Event::WaitEnded { reached, last_seen, took, .. } => Some((reached, last_seen, took)),
        _ => None,
    });
    let took = Reading { wall: seconds(60), guest: seconds(30) };
    assert_eq!(ended, Some((false, Some("connection refused, attempt 3".into()), took)));
}

/// A world in which something happens at a time.
fn at(clock: &FakeClock, when: Duration, mut what: impl FnMut() + Send + 'static) {
    let mut now = Duration::ZERO;
    clock.world(move |passed| {
        now += passed;
        if now >= when {
            what();
        }
    });
}

#[test]
fn a_lost_machine_ends_the_wait_early() {
    let run = TestRun::new();
    let (master, worker) = (run.machine("cluster00"), run.machine("cluster01"));
    *locked(&worker.lines) = vec!["Waiting for the root".into()];
    *locked(&master.lines) = vec!["Kernel panic - not syncing".into()];
    at(&run.clock, seconds(5), move || {
        *locked(&master.fate) = Some(Fate::product("panicked: not syncing"));
    });
    let spec = WaitSpec::new("cluster01", "ssh", Budget::seconds(300)).watching(["cluster00"]);
    let failure = run.story.wait::<()>(spec, || Poll::Pending).unwrap_err();
    assert!(run.story.now().wall < seconds(6));
    assert_eq!(failure.message, "waited for ssh on cluster01: cluster00 panicked: not syncing");
    assert_eq!(failure.node.as_deref(), Some("cluster00"));
    let text = failure.details.join("\n");
    assert!(text.contains("| Waiting for the root") && text.contains("| Kernel panic"), "{text}");
}

#[test]
fn an_emulator_that_died_is_the_harness_s_fault() {
    let run = TestRun::new();
    let fate = Fate { class: Class::Harness, what: "died: SIGSEGV".into() };
    *locked(&run.machine("cluster01").fate) = Some(fate);
    let spec = WaitSpec::new("cluster01", "ssh", Budget::seconds(300));
    assert_eq!(run.story.wait::<()>(spec, || Poll::Pending).unwrap_err().class, Class::Harness);
}

#[test]
fn whoever_waits_for_the_end_gets_it() {
    let run = TestRun::new();
    let guest = run.machine("cluster01");
    let dying = guest.clone();
    at(&run.clock, seconds(5), move || {
        *locked(&dying.fate) = Some(Fate::product("powered itself off"));
    });
    let spec = WaitSpec::new("cluster01", "its end", Budget::seconds(300));
    let came = run.story.wait(spec, || match guest.fate() {
        Some(_) => Poll::Ready(()),
        None => Poll::Pending,
    });
    assert_eq!(came, Ok(()));
}

#[test]
fn a_unit_that_failed_ends_the_wait_early() {
    let run = TestRun::new();
    run.machine("cluster00");
    let failed = Arc::new(Mutex::new(None));
    let fails = Arc::clone(&failed);
    at(&run.clock, seconds(3), move || {
        *locked(&fails) = Some(Fate::product("cannot start dnsmasq.service: bad option"));
    });
    let spec = WaitSpec::new("cluster00", "dnsmasq.service", Budget::seconds(300))
        .doomed_if(|| locked(&failed).clone());
    let failure = run.story.wait::<()>(spec, || Poll::Pending).unwrap_err();
    assert!(run.story.now().wall < seconds(4));
    assert_eq!(
        failure.message,
        "waited for dnsmasq.service on cluster00: cluster00 cannot start dnsmasq.service: bad option"
    );
}

#[test]
fn an_interrupt_ends_the_wait_at_once() {
    let run = TestRun::new();
    run.machine("cluster01");
    let flag = Arc::clone(&run.interrupt);
    at(&run.clock, seconds(2), move || flag.store(true, Ordering::Relaxed));
    let spec = WaitSpec::new("cluster01", "ssh", Budget::seconds(300));
    let failure = run.story.wait::<()>(spec, || Poll::Pending).unwrap_err();
    assert_eq!(failure.class, Class::Interrupted);
    assert!(run.story.now().wall < seconds(3));
}

#[test]
fn a_blocking_call_asks_whether_to_go_on() {
    let run = TestRun::new();
    let guest = run.machine("cluster01");
    run.clock.world(move |passed| guest.works(passed));
    let spec = || WaitSpec::new("cluster01", "login:", Budget::seconds(20));
    let clock = run.story.clock();
    let failure = run
        .story
        .wait_in::<()>(spec(), |waiting| {
            while waiting.go_on() {
                waiting.saw("booting");
                clock.pause(clock.rung(), seconds(1));
            }
            assert!(!waiting.go_on(), "no stays no");
            None
        })
        .unwrap_err();
    assert_eq!(run.story.now().wall, seconds(20));
    assert!(failure.details.contains(&"last seen: booting".to_owned()), "{failure:?}");
    assert_eq!(run.story.wait_in(spec(), |_| Some("login:")), Ok("login:"));
    let failure = run.story.wait_in::<()>(spec(), |_| None).unwrap_err();
    assert_eq!(failure.class, Class::Harness, "giving up early is a bug of the caller");
}

#[test]
fn what_gets_on_has_its_budget_for_each_part() {
    let run = TestRun::new();
    let guest = run.machine("cluster01");
    run.clock.world(move |passed| guest.works(passed));
    let spec = WaitSpec::new("cluster01", "a kernel", Budget::seconds(20));
    let clock = run.story.clock();
    let failure = run
        .story
        .wait_in::<()>(spec, |waiting| {
            for part in 1_u32.. {
                if part % 15 == 0 && part < 70 {
                    waiting.got_on();
                }
                if !waiting.go_on() {
                    break;
                }
                clock.pause(clock.rung(), seconds(1));
            }
            None
        })
        .unwrap_err();
    assert!(
        (79..=81).contains(&run.story.now().wall.as_secs()),
        "{}",
        run.story.now().wall.as_secs()
    );
    assert!(failure.message.ends_with("it did not come within 20 s of guest work"), "{failure}");
}

#[test]
fn an_event_wakes_a_wait() {
    let run = TestRun::new();
    run.machine("cluster01");
    let spec = WaitSpec::new("cluster01", "its power to go", Budget::seconds(300));
    let story = run.story.clone();
    let mut looks = 0;
    let came = run.story.wait(spec, || {
        looks += 1;
        if looks == 1 {
            story.power_off("cluster01", PowerEnd::Cut, None);
            return Poll::Pending;
        }
        Poll::Ready(())
    });
    assert_eq!(came, Ok(()));
    assert_eq!(run.story.now().wall, Duration::ZERO, "no tick had to pass");
}
