//! The one ordered log of a run.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::{
    Clock, Event, Guests, Reading,
    clock::{locked, seconds},
};

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// 1 for the first event of a run, and so on without a gap.
    pub seq: u64,
    /// Both clocks when it was written down: the wall's, and the vCPU time of all guests together. Never goes back.
    pub at: Reading,
    /// The machine it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// That machine's own vCPU time, once it was powered on.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_seconds")]
    pub node_guest_s: Option<Duration>,
    /// It did not happen in this run but in an earlier one, whose snapshot this run goes on from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Called with every record, in order, from the thread that emits it. Must not emit: that would never return.
type Listener = Box<dyn FnMut(&Record) + Send>;

/// Takes events from any thread, gives them numbers and times, writes them down and passes them on. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    guests: Guests,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    /// What both clocks showed in the runs whose records are reused here, as far as the clocks do not know it yet.
    before: Reading,
    file: Option<fs_err::File>,
    lost: Option<String>,
    records: Vec<Record>,
    listeners: Vec<Listener>,
}

impl Journal {
    /// A journal that is kept in memory only.
    pub fn new(clock: Arc<dyn Clock>, guests: Guests) -> Self {
        Self { shared: Arc::new(Shared { clock, guests, log: Mutex::default() }) }
    }

    /// Writes every further event to a file, one JSON object per line, each with one `write`: a killed run leaves whole
    /// lines.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn write_to(&self, path: &Utf8Path) -> std::io::Result<()> {
        locked(&self.shared.log).file = Some(fs_err::File::create(path)?);
        Ok(())
    }

    /// Calls a listener with every further event, in order. It must not emit events itself.
    pub fn subscribe(&self, listener: impl FnMut(&Record) + Send + 'static) {
        locked(&self.shared.log).listeners.push(Box::new(listener));
    }

    /// Writes an event down. Times are taken inside, so that order and times agree.
    pub fn emit(&self, node: Option<&str>, event: Event) {
        let mut guard = locked(&self.shared.log);
        let log = &mut *guard;
        let (guest, node_guest_s) = self.shared.guests.total_and(node);
        let record = Record {
            seq: log.records.len() as u64 + 1,
            at: log.reading(self.shared.clock.now(), guest),
            node: node.map(str::to_owned),
            node_guest_s: node_guest_s.map(whole),
            reused: false,
            event,
        };
        log.take(record);
        drop(guard);
        self.shared.clock.ring();
    }

    /// Takes over what an earlier run wrote down between two points, with times counted from the first of them; `took` is the
    /// distance of the second. From now on both clocks show that much more.
    pub fn reuse(&self, records: &[Record], took: Reading) {
        let mut guard = locked(&self.shared.log);
        let log = &mut *guard;
        let start = log.reading(self.shared.clock.now(), self.shared.guests.total_and(None).0);
        for record in records {
            let record = Record {
                seq: log.records.len() as u64 + 1,
                at: start + record.at,
                reused: true,
                ..record.clone()
            };
            log.take(record);
        }
        log.before = log.before + took;
        drop(guard);
        self.shared.clock.ring();
    }

    /// The guests' clocks have been set to what they showed in the run that is gone on from.
    pub(crate) fn guests_know_their_past(&self) {
        locked(&self.shared.log).before.guest = Duration::ZERO;
    }

    /// Everything from the given place on, with times counted from the reading that is given; for [`Journal::reuse`].
    pub fn since(&self, place: usize, start: Reading) -> Vec<Record> {
        let log = locked(&self.shared.log);
        let records = log.records.get(place..).unwrap_or_default();
        records
            .iter()
            .map(|record| Record { at: record.at.since(start), ..record.clone() })
            .collect()
    }

    /// How many events there are so far: the place of the next one.
    pub fn len(&self) -> usize {
        locked(&self.shared.log).records.len()
    }

    /// Whether nothing has happened yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Both clocks now, the guests' for all machines together.
    pub fn now(&self) -> Reading {
        let log = locked(&self.shared.log);
        log.reading(self.shared.clock.now(), self.shared.guests.total_and(None).0)
    }

    /// All events so far.
    pub fn records(&self) -> Vec<Record> {
        locked(&self.shared.log).records.clone()
    }

    /// The last event about a machine for which `matters` gives something, and what it gives.
    pub fn last_about<T>(
        &self,
        node: &str,
        matters: impl Fn(&Event) -> Option<T>,
    ) -> Option<(Reading, T)> {
        let log = locked(&self.shared.log);
        log.records
            .iter()
            .rev()
            .filter(|record| record.node.as_deref() == Some(node))
            .find_map(|record| Some((record.at, matters(&record.event)?)))
    }

    /// Why the file does not hold all events, when that is so (a full disk).
    pub fn lost(&self) -> Option<String> {
        locked(&self.shared.log).lost.clone()
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log = locked(&self.shared.log);
        f.debug_struct("Journal").field("events", &log.records.len()).finish_non_exhaustive()
    }
}

/// Without what is less than a millisecond.
fn whole(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis().try_into().unwrap_or(u64::MAX))
}

impl Log {
    /// What the story's clocks show when those of this run show this, in whole milliseconds, as they are written down: what is
    /// computed from a journal is the same when it is read again. They never go back.
    fn reading(&self, wall: Duration, guest: Duration) -> Reading {
        let last = self.records.last().map_or_else(Reading::default, |record| record.at);
        let now = self.before + Reading { wall: whole(wall), guest: whole(guest) };
        Reading { wall: now.wall.max(last.wall), guest: now.guest.max(last.guest) }
    }

    fn take(&mut self, record: Record) {
        self.write(&record);
        for listener in &mut self.listeners {
            listener(&record);
        }
        self.records.push(record);
    }

    fn write(&mut self, record: &Record) {
        let Some(file) = &mut self.file else { return };
        let result =
            serde_json::to_vec(record).map_err(std::io::Error::from).and_then(|mut line| {
                line.push(b'\n');
                file.write_all(&line)
            });
        if let Err(error) = result {
            // A log with a hole would lie about the order of things: it ends here.
            self.lost = Some(error.to_string());
            self.file = None;
        }
    }
}

mod maybe_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::seconds;

    #[derive(Serialize, Deserialize)]
    struct Seconds(#[serde(with = "seconds")] Duration);

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration.map(Seconds).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Seconds>::deserialize(deserializer)?.map(|Seconds(duration)| duration))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use camino::Utf8PathBuf;
    use proptest::prelude::*;

    use super::*;
    use crate::{Firmware, PowerEnd, RunClock, clock::fake::FakeClock, guests::fake::FakeGuest};

    fn note(text: impl Into<String>) -> Event {
        Event::Note { text: text.into() }
    }

    fn read(path: &Utf8Path) -> Vec<Record> {
        let text = fs_err::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn temp_file() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(dir.path().join("events.jsonl")).unwrap();
        (dir, path)
    }

    #[test]
    fn times_read_back_as_they_were_kept() {
        let (_dir, path) = temp_file();
        let guests = Guests::default();
        let guest = Arc::new(FakeGuest::default());
        guests.power_on("node", guest.clone());
        let clock = Arc::new(FakeClock::default());
        let journal = Journal::new(clock.clone(), guests);
        journal.write_to(&path).unwrap();
        for _ in 0..3 {
            clock.advance(Duration::from_micros(1_700));
            guest.works(Duration::from_micros(900));
            journal.emit(Some("node"), note("later"));
        }
        assert_eq!(read(&path), journal.records());
        assert_eq!(journal.now().wall, Duration::from_millis(5));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Whatever threads write at once, memory, file and listeners agree on one order, without a gap, in which times
        /// never go back and each thread's own events stay in its order.
        #[test]
        fn threads_agree_on_one_order(counts in proptest::collection::vec(0usize..40, 1..6)) {
            let (_dir, path) = temp_file();
            let guests = Guests::default();
            let guest = Arc::new(FakeGuest::default());
            guests.power_on("node", guest.clone());
            let journal = Journal::new(Arc::new(RunClock::new()), guests);
            journal.write_to(&path).unwrap();
            let (sender, heard) = mpsc::channel();
            journal.subscribe(move |record| sender.send(record.clone()).unwrap());

            std::thread::scope(|scope| {
                for (thread, count) in counts.iter().enumerate() {
                    let (journal, guest) = (journal.clone(), guest.clone());
                    scope.spawn(move || for event in 0..*count {
                        guest.works(Duration::from_millis(1));
                        journal.emit(Some("node"), note(format!("{thread} {event}")));
                    });
                }
            });

            let records = journal.records();
            prop_assert_eq!(records.len(), counts.iter().sum::<usize>());
            prop_assert!(records.iter().zip(1..).all(|(record, seq)| record.seq == seq));
            prop_assert!(records.windows(2).all(|pair| pair[0].at.wall <= pair[1].at.wall));
            prop_assert!(records.windows(2).all(|pair| pair[0].at.guest <= pair[1].at.guest));
            let texts = |records: &[Record]| -> Vec<String> {
                records.iter().map(|record| match &record.event {
                    Event::Note { text } => text.clone(),
                    other => panic!("{other:?} was never emitted"),
                }).collect()
            };
            for (thread, count) in counts.iter().enumerate() {
                let own: Vec<_> = texts(&records).into_iter()
                    .filter(|text| text.starts_with(&format!("{thread} "))).collect();
                let wanted: Vec<_> = (0..*count).map(|event| format!("{thread} {event}")).collect();
                prop_assert_eq!(own, wanted);
            }
            prop_assert_eq!(texts(&read(&path)), texts(&records));
            prop_assert_eq!(heard.try_iter().collect::<Vec<_>>(), records);
        }
    }

    #[test]
    fn a_line_has_both_clocks_and_the_nodes_own() {
        let (_dir, path) = temp_file();
        let clock = Arc::new(FakeClock::default());
        let guests = Guests::default();
        let journal = Journal::new(clock.clone(), guests.clone());
        journal.write_to(&path).unwrap();
        for name in ["cluster00", "cluster01"] {
            let guest = Arc::new(FakeGuest::default());
            guest.works(Duration::from_millis(1500));
            guests.power_on(name, guest);
        }
        clock.advance(Duration::from_millis(2250));
        let fetched =
            Firmware::Fetched { file: "9f27eb/kernel8.img".into(), bytes: 12, retransmits: 0 };
        journal.emit(Some("cluster01"), Event::Firmware(fetched));
        assert_eq!(
            fs_err::read_to_string(&path).unwrap(),
            concat!(
                r#"{"seq":1,"at":{"wall_s":2.25,"guest_s":3.0},"node":"cluster01","node_guest_s":1.5,"kind":"firmware","#,
                r#""what":"fetched","file":"9f27eb/kernel8.img","bytes":12,"retransmits":0}"#,
                "\n"
            )
        );
        assert_eq!(read(&path), journal.records());
    }

    /// One of each, so that a change of a stable name shows.
    #[test]
    fn names_in_json_are_stable() {
        let journal = Journal::new(Arc::new(FakeClock::default()), Guests::default());
        let events = crate::report::samples::events();
        for (node, event) in events {
            journal.emit(node, event);
        }
        let lines: Vec<String> = journal
            .records()
            .iter()
            .map(|record| {
                let line = serde_json::to_string(record).unwrap();
                assert_eq!(&serde_json::from_str::<Record>(&line).unwrap(), record);
                line
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn the_last_event_about_a_node_is_found_behind_others() {
        let journal = Journal::new(Arc::new(FakeClock::default()), Guests::default());
        journal.emit(Some("a"), Event::PowerOff { end: PowerEnd::Cut, why: None });
        journal.emit(Some("b"), Event::Ready { name: "ssh".into() });
        journal.emit(Some("a"), note("no boot event"));
        let last = journal.last_about("a", Event::boot_line);
        assert_eq!(last.map(|(_, line)| line).as_deref(), Some("power cut"));
        assert!(journal.last_about("c", Event::boot_line).is_none());
    }

    #[test]
    fn a_full_disk_ends_the_file_and_is_told() {
        let journal = Journal::new(Arc::new(FakeClock::default()), Guests::default());
        journal.write_to(Utf8Path::new("/dev/full")).unwrap();
        journal.emit(None, note("one"));
        journal.emit(None, note("two"));
        assert_eq!(journal.records().len(), 2);
        assert!(journal.lost().unwrap().contains("space"), "{:?}", journal.lost());
    }
}
