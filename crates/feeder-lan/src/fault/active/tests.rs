use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use smoltcp::wire::checksum;

use super::*;
use crate::fault::Probability;
use crate::frame;

const NOW: Duration = Duration::from_secs(1);
const A: Crossing<'_> = Crossing::Leaving { from: "a" };
const B: Crossing<'_> = Crossing::Leaving { from: "b" };
const A_TO_B: Crossing<'_> = Crossing::Reaching { from: "a", to: "b" };
const B_TO_A: Crossing<'_> = Crossing::Reaching { from: "b", to: "a" };

fn half() -> Probability {
    Probability::percent(50)
}

/// One fault of every kind that leaves something to chance.
fn chances() -> Vec<Fault> {
    let kinds = [
        FaultKind::Loss(half()),
        FaultKind::Jitter(Duration::from_secs(1)),
        FaultKind::Duplicate(half()),
        FaultKind::Reorder { probability: half(), by: Duration::from_secs(1) },
        FaultKind::Corrupt(half()),
    ];
    kinds.map(|kind| Fault::on("a", kind)).into()
}

fn faults(seed: u64, wanted: impl IntoIterator<Item = Fault>) -> Faults {
    let mut faults = Faults::new(seed);
    for fault in wanted {
        faults.inject(NOW, fault);
    }
    faults
}

fn fates(faults: &mut Faults, frames: &[Vec<u8>]) -> Vec<Fate> {
    frames.iter().map(|frame| faults.cross(NOW, A, frame)).collect()
}

fn some_frames(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(|n| [&[0x02; HEADER][..], &n.to_be_bytes(), &[7; 40]].concat()).collect()
}

fn passes(faults: &mut Faults, crossing: Crossing<'_>) -> bool {
    !faults.cross(NOW, crossing, &[0x02; 60]).deliveries.is_empty()
}

proptest! {
    /// What becomes of a frame does not depend on what else is on the wire, on its link or on others.
    #[test]
    fn fates_do_not_depend_on_other_frames(
        seed in any::<u64>(),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), HEADER..80), 1..20),
        others in prop::collection::vec(prop::collection::vec(any::<u8>(), HEADER..80), 1..20),
        turns in prop::collection::vec(any::<(bool, bool)>(), 40),
    ) {
        let frames: Vec<_> = frames.into_iter().filter(|frame| !others.contains(frame)).collect();
        for fault in chances() {
            let expected = fates(&mut faults(seed, [fault.clone()]), &frames);
            let mut mixed = faults(seed, [fault]);
            let mut others = others.iter().cycle();
            let mut fates = Vec::new();
            let mut turns = turns.iter().cycle();
            while fates.len() < frames.len() {
                match turns.next() {
                    Some((true, from_a)) => {
                        let other = others.next().expect("endless");
                        mixed.cross(NOW, if *from_a { A } else { B_TO_A }, other);
                    }
                    // The very frame on another link is no repetition of it.
                    _ => {
                        let frame = &frames[fates.len()];
                        mixed.cross(NOW, B_TO_A, frame);
                        fates.push(mixed.cross(NOW, A, frame));
                    }
                }
                if turns.clone().take(40).all(|(other, _)| *other) {
                    break; // it would never be our turn
                }
            }
            prop_assert_eq!(&fates[..], &expected[..fates.len()]);
        }
    }

    /// The header stays, the length stays, and something behind the header changes, which the Internet checksum finds.
    #[test]
    fn corruption_spares_the_header(seed in any::<u64>(), frame in prop::collection::vec(any::<u8>(), HEADER..80)) {
        prop_assume!(!is_arp(&frame));
        let mut faults = faults(seed, [Fault::on("a", FaultKind::Corrupt(Probability::ALWAYS))]);
        let fate = faults.cross(NOW, A, &frame);
        let [Delivery { delay: Duration::ZERO, bytes }] = &fate.deliveries[..] else {
            return Err(TestCaseError::fail(format!("{fate:?}")));
        };
        let Some(bytes) = bytes else {
            prop_assert_eq!(frame.len(), HEADER);
            return Ok(());
        };
        prop_assert_eq!(bytes.len(), frame.len());
        prop_assert_eq!(&bytes[..HEADER], &frame[..HEADER]);
        let flipped: u32 = bytes.iter().zip(&frame).map(|(a, b)| (a ^ b).count_ones()).sum();
        prop_assert!((1..=3).contains(&flipped));
        prop_assert_ne!(checksum::data(&bytes[HEADER..]), checksum::data(&frame[HEADER..]));
    }

    /// Whatever is asked for happens about that often.
    #[test]
    fn rates_are_near_what_is_asked_for(seed in any::<u64>(), percent in 0..=100u8) {
        let frames = some_frames(4000);
        let often = Probability::percent(percent);
        for kind in [
            FaultKind::Loss(often),
            FaultKind::Duplicate(often),
            FaultKind::Corrupt(often),
            FaultKind::Reorder { probability: often, by: NOW },
        ] {
            let mut faults = faults(seed, [Fault::on("a", kind)]);
            fates(&mut faults, &frames);
            let counts = faults.reports()[0].counts;
            let share = (counts.lost + counts.duplicated + counts.corrupted + counts.delayed) as f64 / 4000.0;
            let p = f64::from(percent) / 100.0;
            // Six standard deviations: one case in hundreds of millions.
            prop_assert!((share - p).abs() <= 6.0 * (p * (1.0 - p) / 4000.0).sqrt(), "{share} for {p}");
        }
    }
}

#[test]
fn what_has_no_checksum_is_lost_when_it_is_damaged() {
    let mut faults = faults(1, [Fault::on("a", FaultKind::Corrupt(Probability::ALWAYS))]);
    let arp = frame::arp_reply(([2; 6], Ipv4Addr::LOCALHOST), ([4; 6], Ipv4Addr::BROADCAST));
    let fate = faults.cross(NOW, A, &arp);
    assert_eq!((fate.deliveries.len(), fate.counts.lost), (0, 1));
    assert_eq!(fate.counts.corrupted, 0);
}

#[test]
fn one_seed_decides_alike_and_another_does_not() {
    let frames = some_frames(200);
    for fault in chances() {
        let with = |seed| fates(&mut faults(seed, [fault.clone()]), &frames);
        assert_eq!(with(1), with(1));
        assert_ne!(with(1), with(2), "{fault}");
        // The second fault of a kind is not an echo of the first.
        let mut second = faults(1, [Fault::cut("elsewhere"), fault.clone()]);
        let decided =
            |fates: Vec<Fate>| fates.into_iter().map(|fate| fate.deliveries).collect::<Vec<_>>();
        assert_ne!(decided(fates(&mut second, &frames)), decided(with(1)), "{fault}");
    }
}

#[test]
fn a_frame_that_is_sent_again_has_another_chance() {
    let frame = vec![0x02; 60];
    let mut faults = faults(1, [Fault::loss("a", half())]);
    let again: Vec<bool> =
        (0..64).map(|_| faults.cross(NOW, A, &frame).deliveries.is_empty()).collect();
    assert!(again.contains(&true) && again.contains(&false), "{again:?}");
}

#[test]
fn jitter_is_spread_over_its_range() {
    let max = Duration::from_millis(100);
    let mut faults = faults(1, [Fault::on("a", FaultKind::Jitter(max))]);
    let delays: Vec<Duration> = fates(&mut faults, &some_frames(1000))
        .iter()
        .map(|fate| fate.deliveries[0].delay)
        .collect();
    assert!(delays.iter().all(|delay| *delay <= max));
    let mean = delays.iter().sum::<Duration>() / 1000;
    assert!((40..60).contains(&mean.as_millis()), "{mean:?}");
}

#[test]
fn faults_are_where_they_are_said_to_be() {
    let crossings = [A, B, A_TO_B, B_TO_A];
    let works =
        |fault: Fault| crossings.map(|crossing| !passes(&mut faults(1, [fault.clone()]), crossing));
    assert_eq!(works(Fault::cut("a")), [true, false, false, true]);
    assert_eq!(works(Fault::cut("a").from_node()), [true, false, false, false]);
    assert_eq!(works(Fault::cut("a").to_node()), [false, false, false, true]);
    assert_eq!(works(Fault::partition(["a"])), [false, false, true, true]);
    assert_eq!(works(Fault::partition(["a"]).from_node()), [false, false, true, false]);
    assert_eq!(works(Fault::partition(["a", "b"])), [false; 4]);
    let group = |name: &str| BTreeSet::from([name.to_owned()]);
    let between = Place::Between { these: group("a"), those: Some(group("c")) };
    assert_eq!(works(Fault::at(between, FaultKind::Cut)), [false; 4]);
}

#[test]
fn faults_add_up_until_the_frame_is_lost() {
    let mut faults = faults(
        1,
        [
            Fault::delay("a", NOW),
            Fault::on("a", FaultKind::Duplicate(Probability::ALWAYS)),
            Fault::delay("a", NOW),
        ],
    );
    let fate = faults.cross(NOW, A, &[0x02; 60]);
    let late = Delivery { delay: NOW * 2, bytes: None };
    assert_eq!(fate.deliveries, [late.clone(), late]);
    assert_eq!(
        fate.note,
        "delayed by 1 s as it left a: fault 1, 1 s delay on a, both directions; \
         duplicated as it left a: fault 2, 100 % duplication on a, both directions; \
         delayed by 1 s as it left a: fault 3, 1 s delay on a, both directions"
    );
    let cut = faults.inject(NOW, Fault::cut("a"));
    faults.inject(NOW, Fault::delay("a", NOW));
    let fate = faults.cross(NOW, A, &[0x02; 60]);
    assert!(
        fate.deliveries.is_empty()
            && fate.note.ends_with("lost as it left a: fault 4, cut on a, both directions")
    );
    let report = faults.clear(NOW * 3, cut).expect("it was in force");
    assert_eq!((report.counts.met, report.counts.lost, report.ended), (1, 1, Some(NOW * 3)));
    assert_eq!(faults.clear(NOW, cut), None);
    let met: Vec<u64> = faults.reports().iter().map(|report| report.counts.met).collect();
    assert_eq!(met, [2, 2, 2, 1, 0]);
}

#[test]
fn a_fault_ends_when_its_time_is_over() {
    let mut faults = faults(1, [Fault::cut("a").lasting(NOW), Fault::cut("b")]);
    assert_eq!(faults.due(), Some(NOW * 2));
    assert_eq!(faults.expire(NOW), None);
    // Also when nobody has looked at the clock in between.
    assert!(!faults.cross(NOW * 2, A, &[0x02; 60]).deliveries.is_empty());
    let report = faults.expire(NOW * 2).expect("it is over");
    assert_eq!((report.ended, faults.due(), faults.is_empty()), (Some(NOW * 2), None, false));
}

#[test]
fn restored_faults_go_on_as_if_nothing_had_been() {
    let frames = some_frames(100);
    let fresh = || faults(5, chances().into_iter().map(|fault| fault.lasting(NOW * 10)));
    let mut whole = fresh();
    fates(&mut whole, &frames);
    let expected = fates(&mut whole, &frames);

    let mut first = fresh();
    fates(&mut first, &frames);
    let state = first.state(NOW * 4);
    let mut second = Faults::new(5);
    second.restore(Duration::ZERO, &state);
    assert_eq!(second.due(), Some(NOW * 7), "what was left of the time");
    assert_eq!(second.state(Duration::ZERO), state);
    assert_eq!(fates(&mut second, &frames), expected);
    assert_eq!(second.inject(NOW, Fault::cut("a")), FaultId(6));
}

#[test]
fn transfers_are_told_from_their_request_on() {
    let (client, server) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 1));
    let udp = |from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]| {
        let mut frame = vec![2; 12];
        frame.extend_from_slice(&[
            0x08,
            0,
            0x45,
            0,
            0,
            28 + payload.len() as u8,
            0,
            0,
            0,
            0,
            64,
            17,
            0,
            0,
        ]);
        frame.extend_from_slice(&from.0.octets());
        frame.extend_from_slice(&to.0.octets());
        for word in [from.1, to.1, 8 + payload.len() as u16, 0] {
            frame.extend_from_slice(&word.to_be_bytes());
        }
        frame.extend_from_slice(payload);
        frame
    };
    let request = udp((client, 2000), (server, 69), b"\0\x01kernel8.img\0octet\0");
    let data = udp((server, 3000), (client, 2000), b"\0\x03\0\x01bytes");
    let ack = udp((client, 2000), (server, 3000), b"\0\x04\0\x01");
    let others = [
        udp((server, 3000), (client, 2001), b"\0\x03\0\x01bytes"),
        udp((Ipv4Addr::new(10, 0, 0, 3), 3000), (client, 2000), b"\0\x03\0\x01bytes"),
        udp((client, 2000), (Ipv4Addr::new(10, 0, 0, 3), 53), b"name?"),
        vec![2; 60],
    ];
    let mut faults = faults(1, [Fault::cut("a").only(Traffic::Tftp)]);
    let lost = |faults: &mut Faults, frame: &[u8]| {
        faults.observe(NOW, frame);
        faults.cross(NOW, A, frame).deliveries.is_empty()
    };
    assert!(!lost(&mut faults, &data), "nobody has asked for it");
    assert!(lost(&mut faults, &request) && lost(&mut faults, &data) && lost(&mut faults, &ack));
    for other in &others {
        assert!(!lost(&mut faults, other), "{other:?}");
    }
    let mut restored = Faults::new(1);
    restored.restore(NOW, &faults.state(NOW));
    assert!(lost(&mut restored, &data) && !lost(&mut restored, &others[0]));
}
