use feeder_process::{Cmd, find_program};

use super::*;

/// A directory, and in it the log that QEMU wrote of these commands on an empty disk of 4 MiB, and the disk.
struct Logged {
    tmp: tempfile::TempDir,
}

impl Logged {
    /// `None` without `qemu-io`.
    fn of(commands: &[&str]) -> Option<Self> {
        find_program("qemu-io")?;
        let logged = Self { tmp: tempfile::tempdir().unwrap() };
        let disk = logged.path("disk.qcow2");
        fs::write(logged.path("log"), "").unwrap();
        Cmd::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", disk.as_str(), "4M"])
            .run()
            .unwrap();
        let image = format!(
            "driver=blklogwrites,log-super-update-interval=1,discard=unmap,file.driver=qcow2,file.file.driver=file,file.file.filename={disk},log.driver=file,log.filename={}",
            logged.path("log")
        );
        let commands = commands.iter().flat_map(|command| ["-c", command]);
        Cmd::new("qemu-io")
            .args(commands)
            .args(["-t", "writeback", "--image-opts", &image])
            .run()
            .unwrap();
        Some(logged)
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.tmp.path()).unwrap().join(name)
    }

    fn log(&self) -> WriteLog {
        WriteLog::open(&self.path("log")).unwrap()
    }

    /// The first byte of each of the first sectors after a cut.
    fn after(&self, cut: Cut) -> [u8; 8] {
        let log = self.log();
        let image = self.path("image");
        fs::write(&image, vec![0; 4 << 20]).unwrap();
        log.apply(&image, &log.steps(&cut)).unwrap();
        let bytes = fs::read(image).unwrap();
        std::array::from_fn(|sector| bytes[sector * 512])
    }
}

/// The shape of a request: offset, length, letters.
fn shape(entry: &Entry) -> (u64, u64, String) {
    let kind = match &entry.kind {
        Kind::Write => "w",
        Kind::Discard => "d",
        Kind::Mark(text) => text,
    };
    let flush = if entry.flush { "f" } else { "" };
    (entry.offset, entry.length, format!("{kind}{flush}{}", if entry.fua { "u" } else { "" }))
}

const STORY: [&str; 6] = [
    "write -q -P 1 0 2k",
    "flush",
    "write -q -P 2 512 1k",
    "write -q -P 3 1536 512",
    "write -q -P 4 2k 2k",
    "write -q -P 5 0 512",
];

#[test]
fn what_qemu_logged_is_read() {
    let Some(logged) = Logged::of(&STORY) else { return };
    let log = logged.log();
    assert_eq!(log.sector(), 512);
    let shapes: Vec<_> = log.entries().iter().map(shape).collect();
    let expected = [
        (0, 2048, "w"),
        (0, 0, "wf"),
        (512, 1024, "w"),
        (1536, 512, "w"),
        (2048, 2048, "w"),
        (0, 512, "w"),
    ];
    // QEMU flushes once more, or twice, when it closes the disk.
    assert_eq!(shapes[..6], expected.map(|(at, bytes, kind)| (at, bytes, kind.to_owned())));
    assert!(shapes[6..].iter().all(|(_, bytes, kind)| *bytes == 0 && kind == "wf"), "{shapes:?}");
}

#[test]
fn the_disk_is_as_it_was_after_any_request() {
    let Some(logged) = Logged::of(&STORY) else { return };
    let after = |entries| logged.after(Cut::after(entries));
    assert_eq!(after(0), [0; 8]);
    assert_eq!(after(2), [1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(after(3), [1, 2, 2, 1, 0, 0, 0, 0]);
    assert_eq!(after(4), [1, 2, 2, 3, 0, 0, 0, 0]);
    assert_eq!(after(5), [1, 2, 2, 3, 4, 4, 4, 4]);
    assert_eq!(after(6), [5, 2, 2, 3, 4, 4, 4, 4]);

    // At the end it is what QEMU has.
    let (disk, raw, image) = (logged.path("disk.qcow2"), logged.path("raw"), logged.path("image"));
    let convert = ["convert", "-O", "raw", disk.as_str(), raw.as_str()];
    Cmd::new("qemu-img").args(convert).run().unwrap();
    after(usize::MAX);
    assert!(fs::read(raw).unwrap() == fs::read(image).unwrap());
}

#[test]
fn what_was_discarded_reads_as_zeros() {
    let commands = ["write -q -P 1 0 2k", "discard -q 512 512", "write -q -z 1k 512"];
    let Some(logged) = Logged::of(&commands) else { return };
    let log = logged.log();
    let discard = log.entries().iter().position(|entry| entry.kind == Kind::Discard).unwrap();
    assert_eq!(shape(&log.entries()[discard]), (512, 512, "d".to_owned()));
    assert_eq!(logged.after(Cut::after(discard)), [1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(logged.after(Cut::after(discard + 1)), [1, 0, 1, 1, 0, 0, 0, 0]);
    assert_eq!(logged.after(Cut::after(usize::MAX)), [1, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn the_last_write_may_be_torn() {
    let Some(logged) = Logged::of(&STORY) else { return };
    let torn = |after, sectors| logged.after(Cut { torn: Some(sectors), ..Cut::after(after) });
    assert_eq!(torn(5, 0), [1, 2, 2, 3, 0, 0, 0, 0]);
    assert_eq!(torn(5, 1), [1, 2, 2, 3, 4, 0, 0, 0]);
    assert_eq!(torn(5, 9), [1, 2, 2, 3, 4, 4, 4, 0]);
    assert_eq!(torn(3, 1), [1, 2, 1, 1, 0, 0, 0, 0]);
    // A single sector is written or not.
    assert_eq!(torn(4, 1), [1, 2, 2, 1, 0, 0, 0, 0]);
}

#[test]
fn what_was_not_flushed_may_be_lost() {
    let Some(logged) = Logged::of(&STORY) else { return };
    let log = logged.log();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let cut = Cut { lost: Some(seed), ..Cut::after(6) };
        assert_eq!(log.steps(&cut), log.steps(&cut));
        let kept: Vec<_> = log.steps(&cut).iter().map(|step| step.entry).collect();
        assert_eq!(kept[0], 0, "what was flushed stays");
        seen.insert(kept);
    }
    // Each of four requests is there or not.
    assert_eq!(seen.len(), 16);
    let flushed = Cut { lost: Some(1), ..Cut::after(2) };
    assert_eq!(logged.after(flushed), [1, 1, 1, 1, 0, 0, 0, 0]);
}

#[test]
fn what_is_no_log_says_so() {
    let Some(logged) = Logged::of(&STORY) else { return };
    let path = logged.path("log");
    let good = fs::read(&path).unwrap();
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let text = WriteLog::open(&path).unwrap_err().to_string();
        text.replace(path.as_str(), "LOG")
    };
    assert_eq!(error(b""), "LOG is no log of writes: it has only 0 bytes");
    assert_eq!(error(&[0; 512]), "LOG is no log of writes: it does not begin as one");
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(error(&with(8, 2)), "LOG is no log of writes: it is of version 2, not 1");
    assert_eq!(error(&with(24, 1)), "LOG is no log of writes: its sectors have 513 bytes");
    assert!(
        error(&with(512 + 17, 1)).starts_with("LOG is no log of writes: entry 1 has flags 100")
    );
    assert!(error(&with(512 + 7, 255)).contains("entry 1 lies beyond every disk"));
    assert!(error(&good[..2000]).starts_with("LOG ends in entry 1 of "));
    assert!(error(&with(23, 255)).starts_with("LOG ends in entry "));

    fs::write(&path, &good).unwrap();
    let (log, small) = (logged.log(), logged.path("small"));
    fs::write(&small, [0; 1024]).unwrap();
    let error = log.apply(&small, &log.steps(&Cut::after(1))).unwrap_err().to_string();
    assert!(error.ends_with("has 1024 bytes, but entry 0 of the log ends at byte 2048"), "{error}");
}

#[test]
fn a_mark_is_read_and_does_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(tmp.path()).unwrap().join("log");
    // Written as dm-log-writes does: a mark, then a write with FUA.
    let words = |words: &[u64]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let sector = |mut bytes: Vec<u8>| {
        bytes.resize(512, 0);
        bytes
    };
    let log = [
        sector(words(&[0x006a_7366_7773_6872, 1, 2, 512])),
        sector(words(&[0, 0, 8, 6])),
        sector(b"copied".to_vec()),
        sector(words(&[1, 1, 2, 0])),
        sector(vec![7]),
    ];
    fs::write(&path, log.concat()).unwrap();
    let log = WriteLog::open(&path).unwrap();
    let shapes: Vec<_> = log.entries().iter().map(shape).collect();
    assert_eq!(shapes, [(0, 0, "copied".to_owned()), (512, 512, "wu".to_owned())]);
    // Nothing was flushed, but FUA is.
    for seed in 0..20 {
        let steps = log.steps(&Cut { lost: Some(seed), ..Cut::after(2) });
        assert_eq!(steps, [Step { entry: 1, bytes: 512 }]);
    }
}

#[test]
fn one_image_goes_from_cut_to_cut() {
    let commands = ["write -q -P 6 0 4k", "flush", "discard -q 512 512"];
    let Some(logged) = Logged::of(&[&STORY[..], &commands].concat()) else { return };
    let log = logged.log();
    let image = logged.path("forwards");
    fs::write(&image, vec![0; 4 << 20]).unwrap();
    let mut rewind = Rewind::new(&log, &image);
    for after in 0..=log.entries().len() {
        let (torn, lost) = ([None, Some(0), Some(1)], [None, Some(1), Some(2), Some(3)]);
        for (torn, lost) in torn.into_iter().flat_map(|t| lost.map(|l| (t, l))) {
            let cut = Cut { after, torn, lost };
            rewind.go_to(&cut).unwrap();
            let bytes = fs::read(&image).unwrap();
            let seen: [u8; 8] = std::array::from_fn(|sector| bytes[sector * 512]);
            assert_eq!(seen, logged.after(cut), "{cut:?}");
        }
    }
}

#[test]
#[should_panic(expected = "cuts of a log come in their order")]
fn nothing_is_cut_before_what_was_flushed() {
    let Some(logged) = Logged::of(&STORY) else { panic!("cuts of a log come in their order") };
    let log = logged.log();
    let image = logged.path("image");
    fs::write(&image, vec![0; 4 << 20]).unwrap();
    let mut rewind = Rewind::new(&log, &image);
    rewind.go_to(&Cut::after(3)).unwrap();
    rewind.go_to(&Cut::after(1)).unwrap();
}

#[test]
fn logs_that_grow_are_seen_together() {
    let tmp = tempfile::tempdir().unwrap();
    let logs = ["card", "ssd"].map(|name| Utf8Path::from_path(tmp.path()).unwrap().join(name));
    let grow = |log: usize, entries: u64| {
        let words = [0x006a_7366_7773_6872, 1, entries, 512];
        fs::write(&logs[log], words.map(u64::to_le_bytes).concat()).unwrap();
    };
    for log in &logs {
        fs::write(log, "").unwrap();
    }
    let follow = Follow::start(&logs).unwrap();
    follow.say("empty").unwrap();
    grow(0, 3);
    follow.say("one").unwrap();
    grow(1, 2);
    grow(0, 4);
    let moments = follow.stop().unwrap();
    let said: Vec<_> = moments.iter().filter(|moment| moment.said.is_some()).cloned().collect();
    let moment = |counts: [usize; 2], said: &str| Moment {
        counts: counts.to_vec(),
        said: Some(said.to_owned()),
    };
    assert_eq!(said, [moment([0, 0], "empty"), moment([3, 0], "one")]);
    assert_eq!(moments.last().unwrap().counts, [4, 2]);

    let error = Follow::start(&[logs[0].with_file_name("none")]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /") && error.contains("none"), "{error}");
}
