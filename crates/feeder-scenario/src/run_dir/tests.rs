//! Directories of runs that live, are over, or were killed.

use super::*;

fn root() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap();
    (dir, path)
}

#[test]
fn a_run_has_its_marker_and_latest_points_at_it() {
    let (_guard, root) = root();
    let first = RunDir::create(&root, "netboot", 10).unwrap();
    let second = RunDir::create(&root, "netboot", 10).unwrap();
    assert_ne!(first.path(), second.path(), "two runs in one second are two");
    assert_eq!(first.started().unwrap().pid, std::process::id());
    let latest = root.join("netboot/latest");
    assert_eq!(latest.canonicalize_utf8().unwrap(), second.path().canonicalize_utf8().unwrap());
    let report = |run: &RunDir| shown(run.path(), "report.json");
    assert!(report(&second).ends_with("netboot/latest/report.json"));
    assert!(!report(&first).as_str().contains("latest"));
}

#[test]
fn sockets_are_short_private_and_gone_in_the_end() {
    let (_guard, root) = root();
    let mut run = RunDir::create(&root, "netboot", 10).unwrap();
    let sockets = run.sockets().to_owned();
    assert!(sockets.as_str().len() + 1 + SOCKET_NAME <= SOCKET_PATH, "{sockets}");
    assert_eq!(fs_err::metadata(&sockets).unwrap().permissions().mode() & 0o777, 0o700);
    let name = "n".repeat(SOCKET_NAME);
    std::os::unix::net::UnixListener::bind(sockets.join(name)).unwrap();
    fs_err::write(run.scratch().join("disk.img"), "x").unwrap();
    run.keep_scratch();
    let scratch = run.scratch().to_owned();
    let evidence = run.path().to_owned();
    drop(run);
    assert!(!sockets.exists() && scratch.exists() && evidence.join(STARTED).exists());
}

#[test]
fn the_newest_dead_runs_stay_and_living_ones_too() {
    let (_guard, root) = root();
    let alive = RunDir::create(&root, "netboot", 2).unwrap();
    let dead = |second: u32| root.join(format!("netboot/2025-11-23T06-43-0{second}-4711"));
    for second in [3, 1, 4, 2] {
        fs_err::create_dir(dead(second)).unwrap();
        fs_err::write(dead(second).join(lease::LOCK), "").unwrap();
    }
    fs_err::create_dir(root.join("netboot/notes")).unwrap();
    assert_eq!(gc(&root, 3).unwrap().runs, 1);
    assert!(!dead(1).exists() && dead(2).exists());
    drop(RunDir::create(&root, "netboot", 2).unwrap());
    assert!(!dead(2).exists() && dead(3).exists(), "a new run prunes, too");
    assert!(alive.path().exists());
    assert!(root.join("netboot/notes").exists(), "what is no run is not ours");
}

#[test]
fn what_a_killed_run_left_is_found() {
    let (_guard, root) = root();
    let run = RunDir::create(&root, "netboot", 10).unwrap();
    let (evidence, sockets) = (run.path().to_owned(), run.sockets().to_owned());
    // As after SIGKILL: the lock is released by the kernel, and nothing is removed.
    drop(run);
    fs_err::create_dir(evidence.join("scratch")).unwrap();
    fs_err::create_dir(&sockets).unwrap();
    fs_err::write(sockets.join(lease::LOCK), "").unwrap();
    let freed = gc(&root, 10).unwrap();
    // The sockets may have been found by a run that another test began meanwhile.
    assert_eq!(freed.scratch, 1);
    assert!(evidence.exists() && !evidence.join("scratch").exists() && !sockets.exists());
}

#[test]
fn a_long_base_is_passed_over() {
    assert!(fits(Utf8Path::new("/run/user/1000")));
    assert!(!fits(Utf8Path::new(&format!("/{}", "x".repeat(60)))));
}

#[test]
fn a_refusing_file_system_names_the_path() {
    let error = RunDir::create(Utf8Path::new("/proc/nowhere"), "netboot", 1).unwrap_err();
    assert!(error.to_string().contains("/proc/nowhere/netboot"), "{error}");
    assert_eq!(error.exit(), Exit::Host);
}
