//! The parts of the page that are text, of sample runs.

use std::time::Duration;

use super::{console::Console, ladder, sample, svg, timeline, topology};
use crate::{Report, report::samples};

#[test]
fn what_guests_say_stays_text() {
    let html = sample::passed().html();
    assert!(!html.contains(sample::HOSTILE) && !html.contains("<img"));
    assert!(html.contains("&lt;&#x2f;script&gt;&lt;img src=x onerror="), "it is shown");
    assert_eq!(html.matches("<script").count(), 1);
    assert_eq!(html.matches("</script").count(), 1);
    let drawn = svg::escape("<img onerror='x'>\u{1b}[0m & \"\n");
    assert_eq!(drawn, "&lt;img onerror=&#39;x&#39;&gt;\u{fffd}[0m &amp; &quot; ");
}

#[test]
fn nothing_is_fetched() {
    for html in [sample::passed().html(), sample::failed().html()] {
        assert!(!html.contains(" src=\"") && !html.contains("url(") && !html.contains("@import"));
        let outside = html.match_indices("http").filter(|(at, _)| {
            html[*at..].starts_with("http://") || html[*at..].starts_with("https://")
        });
        for (at, _) in outside {
            assert!(html[at..].starts_with("http://www.w3.org/2000/svg"), "{}", &html[at..at + 60]);
        }
    }
}

#[test]
fn conversations_of_boots() {
    let texts = [sample::passed(), sample::failed()].map(|sample| {
        let devices = topology::devices(&sample.records);
        let ladders = ladder::ladders(&sample.records, &devices);
        let text =
            |l: &ladder::Ladder| format!("{} {}\n  {}\n", l.node, l.boot, l.lines().join("\n  "));
        ladders.iter().map(text).collect::<String>()
    });
    insta::assert_snapshot!("ladders", texts.join("---\n"));
}

#[test]
fn drawings() {
    let sample = sample::failed();
    let devices = topology::devices(&sample.records);
    insta::assert_snapshot!("topology", topology::draw(&devices));
    let ladders = ladder::ladders(&sample.records, &devices);
    insta::assert_snapshot!("ladder", ladders[1].draw());
    let records = samples::failed_run();
    insta::assert_snapshot!("timeline", timeline::draw(&Report::from_records(&records), &records));
}

#[test]
fn every_run_has_a_page() {
    for records in [samples::passed_run(), samples::failed_run(), samples::loose_failure(), vec![]]
    {
        let report = Report::from_records(&records);
        let html = report.html(&records, |_| None).unwrap();
        if let Some(failure) = &report.failure {
            assert!(html.contains(&failure.message), "{}", failure.message);
        }
    }
}

#[test]
fn consoles_are_lined_up_by_their_kernels() {
    let sample = sample::passed();
    let console = Console::parse(&sample.consoles["cluster01"], "cluster01", &sample.records);
    let kernels: Vec<_> = console
        .lines
        .iter()
        .filter(|(_, text)| text.contains("Booting Linux"))
        .map(|(at, _)| *at)
        .collect();
    let wanted: Vec<_> = sample
        .records
        .iter()
        .filter(|record| record.node.as_deref() == Some("cluster01"))
        .filter(|record| {
            matches!(&record.event, crate::Event::Milestone { name, .. } if name == "kernel")
        })
        .map(|record| record.at.wall)
        .collect();
    assert_eq!((kernels.len(), &kernels), (2, &wanted));
    assert!(console.lines.is_sorted_by_key(|(at, _)| *at));
}

#[test]
fn a_console_without_a_kernel_begins_when_the_firmware_was_done() {
    let sample = sample::passed();
    let text = "[    1.000] first\n[    2.500] \n[    0.500] second power\nbroken\n[    0.7";
    let console = Console::parse(text, "cluster01", &sample.records);
    let starts: Vec<_> = sample
        .records
        .iter()
        .filter(|record| record.node.as_deref() == Some("cluster01"))
        .filter(|record| {
            matches!(&record.event, crate::Event::Firmware(crate::Firmware::Starts { .. }))
        })
        .map(|record| record.at.wall)
        .collect();
    let millis = Duration::from_millis;
    let wanted = [
        (starts[0] + millis(1000), "first".to_owned()),
        (starts[0] + millis(2500), String::new()),
        (starts[1] + millis(500), "second power".to_owned()),
    ];
    assert_eq!(console.lines, wanted);
}

#[test]
fn long_consoles_keep_their_beginning_and_their_end() {
    let line = |n: usize| format!("[{:9.3}] line {n}\n", n as f64 / 10.0);
    let text: String = (0..10_000).map(line).collect();
    let mut sample = sample::passed();
    let console = Console::parse(&text, "cluster00", &sample.records);
    assert_eq!((console.lines.len(), console.left_out), (4000, 6000));
    assert_eq!(console.lines[999].1, "line 999");
    assert_eq!(console.lines[1000].1, "line 7000");
    sample.consoles.insert("cluster00".to_owned(), text);
    assert!(sample.html().contains("6000 of 10000 lines are in the log only"));
}
