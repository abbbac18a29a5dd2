//! What the store promises, seen from outside: complete or absent, once, whoever else is at work, however one dies.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};

use camino::{Utf8Path, Utf8PathBuf};
use feeder_store::{Derivation, Digest, Store, StoreError};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Utf8Path::from_path(dir.path()).unwrap()).unwrap();
    (dir, store)
}

fn staged(store: &Store) -> Vec<Utf8PathBuf> {
    let entries = store.root().join("staging").read_dir_utf8().unwrap();
    entries.map(|entry| entry.unwrap().into_path()).collect()
}

fn mode(path: &Utf8Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_blob_lies_under_its_digest_and_is_read_only() {
    let (_dir, store) = store();
    let digest = Digest::of("hello");
    assert_eq!(store.blob(&digest), None);
    let path = store.put_blob(&b"hello"[..], Some((digest, 5))).unwrap();
    assert_eq!(store.blob(&digest).unwrap(), path);
    assert_eq!(fs::read(&path).unwrap(), b"hello");
    assert_eq!(mode(&path), 0o444);
    assert_eq!(store.put_blob(&b"hello"[..], None).unwrap(), path, "again is no error");
    assert_eq!(staged(&store), Vec::<Utf8PathBuf>::new());
}

#[test]
fn wrong_bytes_are_refused_and_not_kept() {
    let (_dir, store) = store();
    let promised = Digest::of("hello");
    for (bytes, seen) in [("hellO", 5), ("hell", 4), ("hello, and very much more", 6)] {
        match store.put_blob(bytes.as_bytes(), Some((promised, 5))) {
            Err(StoreError::Mismatch { expected, expected_size: 5, got, size }) => {
                assert_eq!(expected, promised);
                assert_eq!((got, size), (Digest::of(&bytes[..seen]), seen as u64));
            }
            other => panic!("{bytes}: {other:?}"),
        }
    }
    assert_eq!(store.blob(&promised), None);
    assert_eq!(store.blob(&Digest::of("hellO")), None);
    assert_eq!(staged(&store), Vec::<Utf8PathBuf>::new());
}

#[test]
fn a_source_that_breaks_off_leaves_nothing() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let (_dir, store) = store();
    let error = store.put_blob((&b"hel"[..]).chain(Broken), None).unwrap_err();
    assert!(matches!(error, StoreError::Read { bytes: 3, .. }), "{error:?}");
    assert_eq!(staged(&store), Vec::<Utf8PathBuf>::new());
}

#[test]
fn an_output_is_built_once_and_tells_what_it_was_built_from() {
    let (_dir, store) = store();
    let derivation = Derivation::new("thing").input("recipe", "write x");
    let built = AtomicUsize::new(0);
    let build = |out: &Utf8Path| {
        built.fetch_add(1, Ordering::Relaxed);
        fs::create_dir(out.join("sub")).unwrap();
        fs::write(out.join("sub/x"), "x").unwrap();
        Ok::<_, StoreError>(())
    };
    assert_eq!(store.output(&derivation), None);
    let path = store.realise(&derivation, build).unwrap();
    assert_eq!(store.realise(&derivation, build).unwrap(), path);
    assert_eq!(store.output(&derivation).unwrap(), path);
    assert_eq!(built.into_inner(), 1);

    assert!(path.file_name().unwrap().ends_with("-thing"));
    let json = fs::read_to_string(path.join("derivation.json")).unwrap();
    assert!(json.contains(r#""recipe": "write x""#), "{json}");
    for read_only in
        [path.clone(), path.join("sub"), path.join("sub/x"), path.join("derivation.json")]
    {
        assert_eq!(mode(&read_only) & 0o222, 0, "{read_only}");
    }
}

#[test]
fn a_failed_build_leaves_nothing_and_can_be_tried_again() {
    let (_dir, store) = store();
    let derivation = Derivation::new("thing");
    let error = store.realise(&derivation, |out| {
        fs::write(out.join("half"), "half").unwrap();
        let source = io::ErrorKind::StorageFull.into();
        Err(StoreError::Read { bytes: 0, source })
    });
    assert!(error.is_err());
    assert_eq!(store.output(&derivation), None);
    assert_eq!(staged(&store), Vec::<Utf8PathBuf>::new());
    store.realise(&derivation, |_| Ok::<_, StoreError>(())).unwrap();
}

#[test]
fn two_builders_at_once_build_once() {
    let (_dir, store) = store();
    let derivation = Derivation::new("thing");
    let built = AtomicUsize::new(0);
    let start = Barrier::new(8);
    let paths: Vec<_> = std::thread::scope(|scope| {
        let build = || {
            start.wait();
            let build = |out: &Utf8Path| {
                assert!(store.is_being_built(&derivation));
                built.fetch_add(1, Ordering::Relaxed);
                fs::write(out.join("x"), "x")
                    .map_err(|source| StoreError::Read { bytes: 0, source })
            };
            store.realise(&derivation, build).unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(build)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(built.into_inner(), 1);
    assert!(paths.iter().all(|path| path == &paths[0]));
    assert!(!store.is_being_built(&derivation));
}

#[test]
fn opening_leaves_the_work_of_the_living_alone() {
    let (_dir, store) = store();
    let scratch = store.scratch("notes").unwrap();
    let kept = scratch.path().to_owned();
    Store::open(store.root()).unwrap();
    assert!(kept.is_dir());
    drop(scratch);
    assert!(!kept.exists());
}

#[test]
fn a_secret_is_made_once_and_closed_to_others() {
    let (_dir, store) = store();
    let make = |text: &'static str| {
        move |dir: &Utf8Path| {
            fs::write(dir.join("key"), text).unwrap();
            Ok::<_, StoreError>(())
        }
    };
    let path = store.secret("ssh", make("first")).unwrap();
    assert_eq!(store.secret("ssh", make("second")).unwrap(), path);
    assert_eq!(fs::read_to_string(path.join("key")).unwrap(), "first");
    assert_eq!(mode(&path), 0o700);
}

/// The other half of the next test: builds until it is killed. Does nothing in an ordinary run.
#[test]
fn child_builds_until_killed() {
    let Ok(root) = std::env::var("FEEDER_TEST_STORE") else { return };
    let store = Store::open(Utf8Path::new(&root)).unwrap();
    let _blob = store
        .put_blob(Announced { before: &b"half a blob"[..] }, Some((Digest::of("never"), 1 << 30)));
}

/// Gives some bytes, then builds an output in the middle of the blob, and never ends.
struct Announced<'a> {
    before: &'a [u8],
}

impl Read for Announced<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.before.is_empty() {
            return self.before.read(buf);
        }
        let store =
            Store::open(Utf8Path::new(&std::env::var("FEEDER_TEST_STORE").unwrap())).unwrap();
        let build = |out: &Utf8Path| {
            fs::create_dir(out.join("closed")).unwrap();
            fs::write(out.join("closed/half"), "half").unwrap();
            fs::set_permissions(out.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
            fs::write(store.root().join("ready"), "").unwrap();
            loop {
                std::thread::park();
            }
        };
        store
            .realise::<StoreError>(&Derivation::new("thing"), build)
            .map(|_| 0)
            .map_err(io::Error::other)
    }
}

#[test]
fn a_killed_builder_leaves_no_result_and_its_rest_is_removed() {
    let (_dir, store) = store();
    let child = duct::cmd(
        std::env::current_exe().unwrap(),
        ["--exact", "child_builds_until_killed", "--test-threads=1"],
    )
    .env("FEEDER_TEST_STORE", store.root())
    .stdout_null()
    .stderr_null()
    .unchecked()
    .start()
    .unwrap();
    while !store.root().join("ready").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child ended before it was killed");
        std::thread::yield_now();
    }
    assert_eq!(staged(&store).len(), 2, "a blob and an output are under way");
    assert!(store.is_being_built(&Derivation::new("thing")));

    // Another builder waits for the lock, and goes on with an empty directory when the first one is dead.
    let (started, waiting) = mpsc::channel();
    let other = {
        let store = store.clone();
        std::thread::spawn(move || {
            started.send(()).unwrap();
            store.realise(&Derivation::new("thing"), |out| {
                assert_eq!(out.read_dir_utf8().unwrap().count(), 0);
                Ok::<_, StoreError>(())
            })
        })
    };
    waiting.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let path = other.join().unwrap().unwrap();
    assert_eq!(store.output(&Derivation::new("thing")), Some(path));

    Store::open(store.root()).unwrap();
    assert_eq!(staged(&store), Vec::<Utf8PathBuf>::new());
}
