//! Fetching from a mirror that does what mirrors do: serves, has lost a file, sends another one, breaks off.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use camino::Utf8Path;
use feeder_image::{ImageError, Lock, Mirror, fetch};
use feeder_store::{Digest, Store};
use feeder_ui::{Exit, Expected, Progress};

/// What the mirror does when asked for a path.
#[derive(Clone)]
enum Answer {
    Body(&'static str),
    /// Promises the first, sends the second, closes.
    Truncated(&'static str, &'static str),
    Status(u16),
}

/// A mirror on the loopback, with a record of what it was asked for.
struct TestMirror {
    mirror: Mirror,
    asked: Arc<Mutex<Vec<String>>>,
}

impl TestMirror {
    fn serve(answers: &[(&str, Answer)]) -> Self {
        let answers: BTreeMap<String, Answer> = answers
            .iter()
            .map(|(path, answer)| (format!("/debian/{path}"), answer.clone()))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/debian/", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        // It lives as long as the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &answers, &record);
            }
        });
        Self { mirror: Mirror::from_url(&url).unwrap(), asked }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

fn answer(mut stream: TcpStream, answers: &BTreeMap<String, Answer>, record: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
    let path = request.split(' ').nth(1).unwrap().to_owned();
    record.lock().unwrap().push(path.trim_start_matches("/debian/").to_owned());
    let (status, length, body) = match &answers[&path] {
        Answer::Body(body) => (200, body.len(), *body),
        Answer::Truncated(promised, sent) => (200, promised.len(), *sent),
        Answer::Status(status) => (*status, 0, ""),
    };
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
}

/// A lock of packages named after their contents' places: `a` is `pool/main/a/a.deb`.
fn lock(packages: &[(&str, &str)]) -> Lock {
    let mut text = String::from(
        "schema = 1\nsuite = \"trixie\"\narchitecture = \"arm64\"\nrelease_date = \"2026-09-05T09:00:00Z\"\n\
         release_sha256 = \"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n\
         [[set]]\nname = \"s\"\npackages = []\n",
    );
    for (name, content) in packages {
        text.push_str(&format!(
            "[[package]]\nname = \"{name}\"\nversion = \"1\"\narchitecture = \"all\"\n\
             path = \"pool/main/{name}/{name}.deb\"\nsize = {}\nsha256 = \"{}\"\nsets = [\"s\"]\n",
            content.len(),
            Digest::of(content)
        ));
    }
    Lock::parse(&text, "test.lock").unwrap()
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
    (dir, store)
}

fn fails(
    wanted: &'static str,
    answer: Answer,
) -> (ImageError, TestMirror, Store, tempfile::TempDir) {
    let mirror = TestMirror::serve(&[("pool/main/a/a.deb", answer)]);
    let (dir, store) = store();
    let error =
        fetch(&store, &lock(&[("a", wanted)]), &mirror.mirror, &Progress::silent()).unwrap_err();
    assert_eq!(store.blob(&Digest::of(wanted)), None);
    let staging = store.root().join("staging").read_dir_utf8().unwrap().count();
    assert_eq!(staging, 0, "nothing half-made stays");
    (error, mirror, store, dir)
}

#[test]
fn only_what_is_missing_is_fetched() {
    let (_dir, store) = store();
    let first = [("a", "content of a"), ("b", "content of b")];
    let mirror = TestMirror::serve(&[
        ("pool/main/a/a.deb", Answer::Body(first[0].1)),
        ("pool/main/b/b.deb", Answer::Body(first[1].1)),
        ("pool/main/c/c.deb", Answer::Body("content of c")),
    ]);
    let (progress, record) = Progress::recording();
    let fetched = fetch(&store, &lock(&first), &mirror.mirror, &progress).unwrap();
    assert_eq!((fetched.files, fetched.bytes), (2, 24));
    assert_eq!(
        std::fs::read_to_string(store.blob(&Digest::of(first[1].1)).unwrap()).unwrap(),
        first[1].1
    );
    assert!(record.contains("2 of 2"), "{:?}", record.lines());

    let more = [first[0], first[1], ("c", "content of c")];
    assert_eq!(fetch(&store, &lock(&more), &mirror.mirror, &progress).unwrap().files, 1);
    assert_eq!(fetch(&store, &lock(&more), &mirror.mirror, &progress).unwrap().files, 0);
    assert_eq!(mirror.asked(), ["pool/main/a/a.deb", "pool/main/b/b.deb", "pool/main/c/c.deb"]);
}

#[test]
fn another_file_is_refused_with_everything_one_needs_to_know() {
    let (error, mirror, store, _dir) = fails("wanted", Answer::Body("planted"));
    let text = error.to_string();
    for part in [
        "pool/main/a/a.deb",
        &mirror.mirror.to_string(),
        "more bytes",
        &Digest::of("wanted").to_string(),
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(store.blob(&Digest::of("planted")), None);

    let (error, ..) = fails("wanted", Answer::Body("plante"));
    assert!(
        error.to_string().contains(&format!("got 6 bytes with SHA-256 {}", Digest::of("plante"))),
        "{error}"
    );
    assert_eq!(error.exit(), Exit::Failed);
    assert!(error.hint().unwrap().contains("--mirror"));
}

#[test]
fn a_lost_package_says_to_lock_anew_and_is_not_asked_for_twice() {
    let (error, mirror, ..) = fails("wanted", Answer::Status(404));
    assert!(matches!(error, ImageError::Gone { status: 404, .. }), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("cargo xtask image lock") && hint.contains("snapshot"), "{hint}");
    assert_eq!(mirror.asked().len(), 1);
}

#[test]
fn a_connection_that_breaks_off_is_tried_again_then_told() {
    let (error, mirror, ..) = fails("a long content", Answer::Truncated("a long content", "a lon"));
    assert!(matches!(error, ImageError::Network { .. }), "{error}");
    let text = feeder_ui::render(&error);
    assert!(text.contains("broke off after 5 of 14 bytes"), "{text}");
    assert_eq!(error.exit(), Exit::Host);
    assert_eq!(mirror.asked().len(), 3);
}

#[test]
fn a_mirror_that_is_down_is_told() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mirror = Mirror::from_url(&format!("http://{nobody}/debian")).unwrap();
    let (_dir, store) = store();
    let error = fetch(&store, &lock(&[("a", "x")]), &mirror, &Progress::silent()).unwrap_err();
    let text = feeder_ui::render(&error);
    assert!(text.contains(&nobody.to_string()) && text.contains("refused"), "{text}");
}
